//! `verify-pins --offline`: what the files themselves can tell about every pin.

use clap::Args;

use crate::inventory::table::{self, Row};
use crate::inventory::{Inventory, judge};
use crate::pins_env::{self, Pins};
use crate::waivers;
use crate::yaml;
use xtask_host::error::{Error, Result};
use xtask_host::report::Report;
use xtask_host::workspace::Workspace;

/// Arguments of `verify-pins`.
#[derive(Debug, Clone, Args)]
pub struct VerifyPinsArgs {
    /// Only what the files themselves can tell; no socket is opened
    #[arg(long)]
    pub offline: bool,
    /// Also have `cosign` verify the signatures of the images whose contracts name a signer
    #[arg(long, conflicts_with = "offline")]
    pub signatures: bool,
    /// The day on which waivers are judged [default: today, UTC]
    #[arg(long, value_name = "YYYY-MM-DD")]
    pub today: Option<String>,
}

/// Runs the verb, of which only `today` counts here.
///
/// # Errors
/// When a file cannot be read at all; everything else is a finding of the report.
pub fn run(workspace: &Workspace, args: &VerifyPinsArgs) -> Result<Report> {
    let today = waivers::today(args.today.as_deref())?;
    let inventory = Inventory::read(&workspace.root)?;
    let findings = judge(&inventory, today);
    let rows = Row::offline(&inventory.pins);
    let text = table::summary(&inventory.pins) + &table::unread(&inventory.findings);
    Ok(Report::new("verify-pins", table::to_json(&rows), text)
        .with_findings(findings)
        .with_table(table::markdown(&rows)))
}

/// The pins of what the VM downloads, where all of them are right.
///
/// # Errors
/// When a pin is wrong; the error shows every place.
pub fn read_downloads(workspace: &Workspace) -> Result<Pins> {
    let source = workspace.read(pins_env::CLOUD_INIT)?;
    yaml::parse(&source)
        .map_err(|finding| vec![*finding])
        .and_then(|root| pins_env::read(&source, &root))
        .map_err(|findings| Error::in_file(pins_env::CLOUD_INIT, findings))
}
