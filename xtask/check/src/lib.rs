//! `check`: everything that the files of the tree must satisfy, reported at once.
//!
//! Its own package, because the JSON Schema validator doubles what an offline verb compiles.

use serde_json::json;

use xtask::cli::CheckArgs;
use xtask::compose::{self, Compose};
use xtask::error::{Error, Result};
use xtask::finding::Finding;
use xtask::pins;
use xtask::pins_env;
use xtask::report::Report;
use xtask::source::Source;
use xtask::versions;
use xtask::waivers;
use xtask::workspace::Workspace;
use xtask::yaml::{self, Node};

pub mod cloud_init;
pub mod official;
pub mod schema;
pub mod shell;
pub mod stack;

/// Where the schema of our cloud-config stands.
pub const CLOUD_CONFIG_SCHEMA: &str = "schemas/cloud-config.schema.json";

/// Runs the verb.
///
/// # Errors
/// When a file cannot be read at all; everything else is a finding of the report.
pub fn run(workspace: &Workspace, args: &CheckArgs) -> Result<Report> {
    let today = waivers::today(args.today.as_deref())?;
    let mut findings = Vec::new();
    let cloud_init = workspace.read(pins_env::CLOUD_INIT)?;
    match yaml::parse(&cloud_init) {
        Err(finding) => findings.push(*finding),
        Ok(root) => {
            findings.extend(check_cloud_init(workspace, &cloud_init, &root)?);
            if !args.no_shell {
                findings.extend(shell::check(workspace, &cloud_init, &root)?);
            }
        }
    }
    let official = official::check(workspace, &cloud_init);
    findings.extend(official.findings);

    let compose = workspace.read(compose::PATH)?;
    match Compose::parse(compose) {
        Err(finding) => findings.push(*finding),
        Ok(compose) => {
            let exists = |path: &str| workspace.root.join(path).exists();
            findings.extend(stack::check(&compose, &exists));
            let waivers = match waivers::parse(&workspace.read(waivers::PATH)?) {
                Ok(waivers) => waivers,
                Err(more) => {
                    findings.extend(more);
                    Vec::new()
                }
            };
            findings.extend(pins::verify(&compose, &waivers, today).1);
            let manifest = workspace.read("Cargo.toml")?;
            let changelog = workspace.read("CHANGELOG.md")?;
            findings.extend(versions::check(&manifest, &changelog, &compose));
        }
    }
    let errors = findings
        .iter()
        .filter(|finding| xtask::finding::any_error(std::slice::from_ref(finding)))
        .count();
    let data = json!({"official_cloud_init": official.version});
    let official = official.version.map_or_else(
        || "cloud-init is not installed here, so its own validator was not asked".to_owned(),
        |version| format!("also judged by {version}"),
    );
    let text = format!(
        "{errors} errors, {} warnings; {official}",
        findings.len() - errors
    );
    Ok(Report::new("check", data, text).with_findings(findings))
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
