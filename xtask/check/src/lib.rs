//! `check`: everything that the files of the tree must satisfy, reported at once.
//!
//! Its own package, because the JSON Schema validator doubles what an offline verb compiles.

#![warn(clippy::print_stdout, clippy::print_stderr)]

use clap::{Args, Subcommand};
use serde_json::json;

use xtask_host::error::{Error, Result};
use xtask_host::finding::Finding;
use xtask_host::program;
use xtask_host::report::Report;
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

/// Where the schema of our cloud-config stands.
pub const CLOUD_CONFIG_SCHEMA: &str = "schemas/cloud-config.schema.json";

/// The workflow that builds the CLI for its targets.
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
    /// Judge only these [default: everything]
    #[arg(value_name = "FILE", value_parser = [pins_env::CLOUD_INIT, compose::PATH])]
    pub files: Vec<String>,
    /// Leave shellcheck out: it takes longer than all the rest
    #[arg(long)]
    pub no_shell: bool,
    /// The day on which waivers are judged [default: today, UTC]
    #[arg(long, value_name = "YYYY-MM-DD")]
    pub today: Option<String>,
}

/// Runs the verb.
///
/// # Errors
/// When a file cannot be read at all; everything else is a finding of the report.
pub fn run(workspace: &Workspace, args: &CheckArgs) -> Result<Report> {
    let today = waivers::today(args.today.as_deref())?;
    let wanted = |path: &str| args.files.is_empty() || args.files.iter().any(|file| file == path);
    let mut findings = Vec::new();
    let mut version = None;
    if wanted(pins_env::CLOUD_INIT) {
        let official = guest(workspace, args.no_shell, &mut findings)?;
        version = Some(official.version);
        findings.extend(official.findings);
    }
    if wanted(compose::PATH) {
        stack(workspace, args.no_shell, today, &mut findings)?;
    }
    if args.files.is_empty() {
        pins(workspace, today, &mut findings)?;
    }
    let is_error =
        |finding: &&Finding| xtask_host::finding::any_error(std::slice::from_ref(finding));
    let errors = findings.iter().filter(is_error).count();
    let judge = match &version {
        None => "the cloud-init file was left out".to_owned(),
        Some(None) => {
            "cloud-init is not installed here, so its own validator was not asked".to_owned()
        }
        Some(Some(version)) => format!("also judged by {version}"),
    };
    let text = format!(
        "{errors} errors, {} warnings; {judge}",
        findings.len() - errors
    );
    let data = json!({"official_cloud_init": version.flatten()});
    Ok(Report::new("check", data, text).with_findings(findings))
}

/// Judges the pins of all files, workflows and Dockerfiles too, as `verify-pins --offline` does.
fn pins(workspace: &Workspace, today: Date, findings: &mut Vec<Finding>) -> Result<()> {
    let all = judge(&Inventory::read(&workspace.root)?, today);
    for finding in all {
        let same = |known: &Finding| known.rule == finding.rule && known.place == finding.place;
        if !findings.iter().any(same) {
            findings.push(finding);
        }
    }
    Ok(())
}

/// Judges the cloud-init file and its scripts; returns what cloud-init itself says.
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

/// Judges the compose file, its scripts, its pins and its version.
fn stack(
    workspace: &Workspace,
    no_shell: bool,
    today: Date,
    findings: &mut Vec<Finding>,
) -> Result<()> {
    let source = workspace.read(compose::PATH)?;
    // One report of a missing shellcheck is enough.
    let told = findings
        .iter()
        .any(|finding| finding.rule == shell::MISSING);
    if !no_shell && !told {
        findings.extend(shell::in_stack(workspace, &source)?);
    }
    let compose = match Compose::parse(source) {
        Ok(compose) => compose,
        Err(finding) => {
            findings.push(*finding);
            return Ok(());
        }
    };
    findings.extend(contracts(workspace, &compose)?);
    let exists = |path: &str| workspace.root.join(path).exists();
    findings.extend(stack::check(&compose, &exists));
    findings.extend(stack::beside(&compose, &exists));
    let waivers = waivers::parse(&workspace.read(waivers::PATH)?).unwrap_or_else(|more| {
        findings.extend(more);
        Vec::new()
    });
    findings.extend(judge(&Inventory::of_stack(&compose, waivers), today));
    let manifest = workspace.read("Cargo.toml")?;
    let changelog = workspace.read("CHANGELOG.md")?;
    findings.extend(versions::check(&manifest, &changelog, &compose));
    Ok(())
}

/// Judges the compose file and the promises of the tree by the contracts of the images.
fn contracts(workspace: &Workspace, compose: &Compose) -> Result<Vec<Finding>> {
    let (contracts, malformed) = xtask_pins::contract::read(&workspace.root)?;
    if !malformed.is_empty() {
        // What a contract that cannot be read would have promised, nobody knows.
        return Ok(malformed);
    }
    let texts = |path: &str| texts(workspace, path);
    let mut findings = contract::check(compose, &contracts, &texts);
    let guest = workspace.read(pins_env::CLOUD_INIT)?;
    // The cloud-init file is judged on its own.
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

/// The texts at and below `path`; what is no text holds no path that could be checked.
fn texts(workspace: &Workspace, path: &str) -> Vec<(String, Source)> {
    let mut found = Vec::new();
    if workspace.root.join(path).is_dir() {
        // A directory that cannot be read is missing to Docker too, which another rule reports.
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

/// The targets that the workflow `source` builds the CLI for.
fn targets(source: &Source) -> Vec<String> {
    let lines = source.text.lines().map(str::trim);
    let targets = lines.filter_map(|line| line.strip_prefix("- target: "));
    targets.map(str::to_owned).collect()
}

/// The schema and the rules on the cloud-init file.
fn check_cloud_init(workspace: &Workspace, source: &Source, root: &Node) -> Result<Vec<Finding>> {
    let schema = workspace.read(CLOUD_CONFIG_SCHEMA)?;
    let schema = schema::Schema::parse(&schema).map_err(|why| {
        Error::findings(format!("`{CLOUD_CONFIG_SCHEMA}` is no JSON Schema")).because(why)
    })?;
    let mut findings = cloud_init::check(source, root);
    // A rule of ours explains better than the schema what is wrong at the same place.
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
