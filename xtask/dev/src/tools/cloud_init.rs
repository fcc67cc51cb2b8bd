//! cloud-init's own validator, unpacked and not installed: installed, it would configure the
//! machine at its next boot.
//!
//! Debian 12's accepts unknown keys at the top of a document, so a newer release's package is
//! taken there.

use std::path::PathBuf;

use xtask_host::error::Result;
use xtask_host::process::Run;
use xtask_host::progress::Progress;
use xtask_host::workspace::Workspace;

use super::debian::{self, SUITE};

/// The first release that is strict about the top of a document.
const OLDEST: u32 = 24;

/// What is left out where there is no such cloud-init.
pub(super) fn missing() -> Option<String> {
    (!is_there())
        .then(|| format!("cloud-init >= {OLDEST}: judges the same documents as our schema"))
}

fn is_there() -> bool {
    let version = Run::new("cloud-init")
        .arg("--version")
        .output()
        .unwrap_or_default();
    let number = version
        .split_whitespace()
        .last()
        .and_then(|number| number.split('.').next()?.parse::<u32>().ok());
    number.is_some_and(|major| major >= OLDEST)
}

/// Unpacks a cloud-init package below the build directory, where none that is new enough is
/// installed, and returns the directory.
pub(super) fn provide(workspace: &Workspace, progress: Progress) -> Result<Option<PathBuf>> {
    if is_there() {
        return Ok(None);
    }
    let purpose = format!(
        "unpacking {SUITE}'s cloud-init below target/: its validator judges the same documents as our schema"
    );
    debian::unpack(workspace, "cloud-init", &purpose, progress).map(Some)
}
