//! `verify-pins --offline`: checks every pin by the files alone.

use clap::Args;

use crate::inventory::table::{self, Row};
use crate::inventory::{Inventory, judge};
use crate::pins_env::{self, Pins};
use crate::waivers;
use crate::yaml;
use xtask_host::error::{Error, Result};
use xtask_host::report::Report;
use xtask_host::workspace::Workspace;

/// What the report does not cover.
const NOT_LOOKED_UP: &str = "not looked up: `cargo xtask verify-pins` without `--offline` compares the pins with the servers";

/// Arguments of `verify-pins`.
#[derive(Debug, Clone, Args)]
pub struct VerifyPinsArgs {
    /// Check the files alone, without opening a socket
    #[arg(long)]
    pub offline: bool,
    /// Also run `cosign` to verify the signatures of images whose contracts name a signer
    #[arg(long, conflicts_with = "offline")]
    pub signatures: bool,
    /// The date on which waivers are checked for expiry [default: today, UTC]
    #[arg(long, value_name = "YYYY-MM-DD")]
    pub today: Option<String>,
}

/// Runs the verb. Only `today` of the arguments matters here.
///
/// # Errors
/// If a file cannot be read. Everything else is a finding of the report.
pub fn run(workspace: &Workspace, args: &VerifyPinsArgs) -> Result<Report> {
    let today = waivers::today(args.today.as_deref())?;
    let inventory = Inventory::read(&workspace.root)?;
    let findings = judge(&inventory, today);
    let rows = Row::offline(&inventory.pins);
    let text = format!(
        "{}{}\n{NOT_LOOKED_UP}",
        table::summary(&inventory.pins),
        table::unread(&inventory.findings)
    );
    Ok(Report::new("verify-pins", table::reported(&rows), text)
        .with_findings(findings)
        .with_table(table::markdown(&rows)))
}

/// The pins of `pins.env`.
///
/// # Errors
/// If a pin is malformed; the error shows every place.
pub fn read_downloads(workspace: &Workspace) -> Result<Pins> {
    let source = workspace.read(pins_env::CLOUD_INIT)?;
    yaml::parse(&source)
        .map_err(|finding| vec![*finding])
        .and_then(|root| pins_env::read(&source, &root))
        .map_err(|findings| Error::in_file(pins_env::CLOUD_INIT, findings))
}
