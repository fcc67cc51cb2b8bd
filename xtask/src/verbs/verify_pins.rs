//! `verify-pins --offline`: what the files themselves can tell about every pin.

use serde_json::json;

use crate::cli::VerifyPinsArgs;
use crate::compose::Compose;
use crate::error::{Error, Result};
use crate::finding::Finding;
use crate::pins::{self, PinState};
use crate::pins_env::{self, Pins};
use crate::report::Report;
use crate::waivers;
use crate::workspace::Workspace;
use crate::yaml;

/// Runs the verb.
///
/// # Errors
/// When a file cannot be read at all; everything else is a finding of the report.
pub fn run(workspace: &Workspace, args: &VerifyPinsArgs) -> Result<Report> {
    let today = waivers::today(args.today.as_deref())?;
    let compose = Compose::load(&workspace.root)?;
    let (states, findings) = pins::verify(&compose, &waivers::load(&workspace.root)?, today);
    let (downloads, more) = match downloads(workspace) {
        Ok(pins) => (Some(pins), Vec::new()),
        Err(findings) => (None, findings?),
    };
    let data = json!({
        "images": states.iter().map(PinState::to_json).collect::<Vec<_>>(),
        "downloads": downloads.iter().flat_map(|pins| &pins.downloads).map(|download| json!({
            "tool": download.tool,
            "version": download.version,
            "architecture": download.architecture,
            "url": download.url,
            "sha256": download.sha256.hex(),
        })).collect::<Vec<_>>(),
    });
    let text = text(&states, downloads.as_ref());
    Ok(Report::new("verify-pins", data, text)
        .with_findings(findings)
        .with_findings(more))
}

/// The pins of what the VM downloads: the findings where they are wrong, and an error inside
/// where the file cannot be read.
fn downloads(workspace: &Workspace) -> std::result::Result<Pins, Result<Vec<Finding>>> {
    let source = workspace.read(pins_env::CLOUD_INIT).map_err(Err)?;
    let root = yaml::parse(&source).map_err(|finding| Ok(vec![*finding]))?;
    pins_env::read(&source, &root).map_err(Ok)
}

/// The pins of what the VM downloads, where all of them are right.
///
/// # Errors
/// When a pin is wrong; the error shows every place.
pub fn read_downloads(workspace: &Workspace) -> Result<Pins> {
    downloads(workspace).map_err(|findings| match findings {
        Ok(findings) => Error::in_file(pins_env::CLOUD_INIT, findings),
        Err(error) => error,
    })
}

fn text(states: &[PinState], downloads: Option<&Pins>) -> String {
    let pinned = states
        .iter()
        .filter(|state| state.image.digest().is_some())
        .count();
    let waived = states.iter().filter(|state| state.waived.is_some()).count();
    let unpinned = states.len() - pinned - waived;
    let downloads = downloads.map_or(0, |pins| pins.downloads.len());
    format!(
        "images: {pinned} pinned, {waived} waived, {unpinned} unpinned; downloads: {downloads} pinned"
    )
}
