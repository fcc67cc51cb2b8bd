//! `check`: every rule on the files of the tree, reported at once.
//!
//! This is a separate crate because the JSON Schema validator doubles the compile time of an offline verb.

#![warn(clippy::print_stdout, clippy::print_stderr)]

use clap::{Args, Subcommand};

use xtask_host::error::{Error, Result};
use xtask_host::finding::Finding;
use xtask_host::program;
use xtask_host::report::Report;
use xtask_host::reports::release::Checked;
use xtask_host::say::counted;
use xtask_host::source::Source;
use xtask_host::workspace::Workspace;
use xtask_host::write;
use xtask_pins::compose::{self, Compose};
use xtask_pins::date::Date;
use xtask_pins::inventory::{Inventory, judge};
use xtask_pins::pins_env;
use xtask_pins::versions;
use xtask_pins::waivers;
use xtask_pins::yaml::{self, Node};

pub mod cloud_init;
pub mod contract;
pub mod official;
pub mod sandbox;
pub mod schema;
pub mod shell;
pub mod stack;

/// The path of our schema for the cloud-init file.
pub const CLOUD_CONFIG_SCHEMA: &str = "schemas/cloud-config.schema.json";

/// The workflow that builds the CLI for each target.
const BUILD: &str = ".github/workflows/build.yml";

/// The verb of this program.
#[derive(Debug, Clone, Subcommand)]
pub enum Verb {
    /// Check the cloud-init file, the compose file, the pins and the versions
    Check(CheckArgs),
}

impl program::Verb for Verb {
    fn name(&self) -> &'static str {
        "check"
    }

    fn has_findings(&self) -> bool {
        true
    }
}

/// Arguments of `check`.
#[derive(Debug, Clone, Default, Args)]
pub struct CheckArgs {
    /// Check only these files [default: everything]
    #[arg(value_name = "FILE", value_parser = [pins_env::CLOUD_INIT, compose::PATH])]
    pub files: Vec<String>,
    /// Skip shellcheck, which takes longer than everything else
    #[arg(long)]
    pub no_shell: bool,
    /// The date on which waivers are checked for expiry [default: today, UTC]
    #[arg(long, value_name = "YYYY-MM-DD")]
    pub today: Option<String>,
}

/// Runs the verb.
///
/// # Errors
/// If a file cannot be read. Everything else is a finding of the report.
pub fn run(workspace: &Workspace, args: &CheckArgs) -> Result<Report> {
    let today = waivers::today(args.today.as_deref())?;
    let all = args.files.is_empty();
    let selected = |path: &str| all || args.files.iter().any(|file| file == path);
    let mut findings = Vec::new();
    let mut version = None;
    if selected(pins_env::CLOUD_INIT) {
        let official = guest(workspace, args.no_shell, &mut findings)?;
        version = Some(official.version);
        findings.extend(official.findings);
    }
    if selected(compose::PATH) {
        scripts(workspace, args.no_shell, &mut findings)?;
        // A pin that cannot be read may cause findings of the stack, so it comes first.
        let pins = match all {
            true => judge(&Inventory::read(&workspace.root)?, today),
            false => pins_of_stack(workspace, today)?,
        };
        add_new(pins, &mut findings);
        add_new(stack(workspace)?, &mut findings);
    }
    let errors = findings.iter().filter(|finding| finding.is_error()).count();
    let validator = match &version {
        None => "cloud-init.yaml was not selected".to_owned(),
        Some(None) => {
            "not checked by cloud-init's own validator: cloud-init is not installed".to_owned()
        }
        Some(Some(version)) => format!("also checked by {version}"),
    };
    let text = format!(
        "{}, {}; {validator}",
        counted(errors, "error"),
        counted(findings.len() - errors, "warning")
    );
    let data = Checked {
        official_cloud_init: version.flatten(),
    };
    Ok(Report::new("check", data, text).with_findings(findings))
}

/// Adds the findings whose rule and place are not known yet: two readers report a file that is not YAML.
fn add_new(more: Vec<Finding>, findings: &mut Vec<Finding>) {
    for finding in more {
        let same = |known: &Finding| known.rule == finding.rule && known.place == finding.place;
        if !findings.iter().any(same) {
            findings.push(finding);
        }
    }
}

/// Judges the cloud-init file and its scripts. Returns the result of cloud-init's own validator.
fn guest(
    workspace: &Workspace,
    no_shell: bool,
    findings: &mut Vec<Finding>,
) -> Result<official::Official> {
    let source = workspace.read(pins_env::CLOUD_INIT)?;
    match yaml::parse(&source) {
        Err(finding) => findings.push(*finding),
        Ok(root) => {
            findings.extend(check_cloud_init(workspace, &source, &root)?);
            if !no_shell {
                findings.extend(shell::in_cloud_init(&source, &root)?);
            }
        }
    }
    Ok(official::check(workspace, &source))
}

/// Judges the scripts of the stack.
fn scripts(workspace: &Workspace, no_shell: bool, findings: &mut Vec<Finding>) -> Result<()> {
    // A missing shellcheck is reported once.
    let is_missing = findings.iter().any(|found| found.rule == shell::MISSING);
    if !no_shell && !is_missing {
        findings.extend(shell::in_stack(workspace, &workspace.read(compose::PATH)?)?);
    }
    Ok(())
}

/// Judges the pins of the compose file alone.
fn pins_of_stack(workspace: &Workspace, today: Date) -> Result<Vec<Finding>> {
    let compose = match Compose::parse(workspace.read(compose::PATH)?) {
        Ok(compose) => compose,
        Err(finding) => return Ok(vec![*finding]),
    };
    let waivers = waivers::parse(&workspace.read(waivers::PATH)?);
    let (waivers, mut findings) = match waivers {
        Ok(waivers) => (waivers, Vec::new()),
        Err(findings) => (Vec::new(), findings),
    };
    findings.extend(judge(&Inventory::of_stack(&compose, waivers), today));
    Ok(findings)
}

/// Judges the compose file and its version.
fn stack(workspace: &Workspace) -> Result<Vec<Finding>> {
    let compose = match Compose::parse(workspace.read(compose::PATH)?) {
        Ok(compose) => compose,
        Err(finding) => return Ok(vec![*finding]),
    };
    let mut findings = contracts(workspace, &compose)?;
    let exists = |path: &str| workspace.root.join(path).exists();
    findings.extend(stack::check(&compose, &exists));
    findings.extend(stack::beside(&compose, &exists));
    let manifest = workspace.read("Cargo.toml")?;
    let changelog = workspace.read("CHANGELOG.md")?;
    findings.extend(versions::check(&manifest, &changelog, &compose));
    Ok(findings)
}

/// Compares the compose file, the pins and the documents with the contracts of the images.
fn contracts(workspace: &Workspace, compose: &Compose) -> Result<Vec<Finding>> {
    let (contracts, malformed) = xtask_pins::contract::read(&workspace.root)?;
    if !malformed.is_empty() {
        // Without all contracts, the comparison would report false differences.
        return Ok(malformed);
    }
    let texts = |path: &str| texts(workspace, path);
    let mut findings = contract::check(compose, &contracts, &texts);
    let guest = workspace.read(pins_env::CLOUD_INIT)?;
    // Its errors are reported by the rules on the cloud-init file.
    let pins = yaml::parse(&guest)
        .ok()
        .and_then(|root| pins_env::read(&guest, &root).ok());
    let Some(pins) = pins else {
        return Ok(findings);
    };
    let pinned: Vec<String> = pins
        .downloads
        .iter()
        .map(|download| download.architecture.to_owned())
        .collect();
    let targets = targets(&workspace.read(BUILD)?);
    let documents: Result<Vec<Source>> = contract::DOCUMENTS
        .iter()
        .map(|path| workspace.read(path))
        .collect();
    let promises = contract::Promises {
        pinned: &pinned,
        targets: &targets,
        documents: &documents?,
    };
    findings.extend(contract::check_platforms(&contracts, &promises));
    Ok(findings)
}

/// The files at and below `path` that are UTF-8: others hold no path that could be checked.
fn texts(workspace: &Workspace, path: &str) -> Vec<(String, Source)> {
    let mut found = Vec::new();
    if workspace.root.join(path).is_dir() {
        // Another rule reports a directory that cannot be read.
        drop(write::files_below(&workspace.root, path, &mut found));
    } else {
        found.push(path.to_owned());
    }
    let texts = found.into_iter().filter_map(|full| {
        let below = full.strip_prefix(path)?.trim_start_matches('/').to_owned();
        Some((below, workspace.read(&full).ok()?))
    });
    texts.collect()
}

/// The targets for which the workflow `source` builds the CLI.
fn targets(source: &Source) -> Vec<String> {
    let lines = source.text.lines().map(str::trim);
    let targets = lines.filter_map(|line| line.strip_prefix("- target: "));
    targets.map(str::to_owned).collect()
}

/// Judges the cloud-init file by our rules and by the schema.
fn check_cloud_init(workspace: &Workspace, source: &Source, root: &Node) -> Result<Vec<Finding>> {
    let schema = workspace.read(CLOUD_CONFIG_SCHEMA)?;
    let schema = schema::Schema::parse(&schema).map_err(|why| {
        Error::findings(format!(
            "`{CLOUD_CONFIG_SCHEMA}` is not a valid JSON Schema"
        ))
        .because(why)
    })?;
    let mut findings = cloud_init::check(source, root);
    // At the same place, our rules explain more than the schema.
    for finding in schema.check(source, root) {
        let known = findings.iter().any(|other| same_place(other, &finding));
        if !known {
            findings.push(finding);
        }
    }
    Ok(findings)
}

fn same_place(one: &Finding, other: &Finding) -> bool {
    let at = |finding: &Finding| {
        finding
            .place
            .as_ref()
            .map(|place| (place.line, place.column))
    };
    at(one) == at(other)
}
