//! cloud-init's own validator. Unpacked instead of installed, because an installed one would configure the machine at
//! its next boot.
//!
//! Debian 12's version accepts unknown top-level keys, so there we take the package of a newer Debian.

use std::path::PathBuf;

use xtask_host::error::Result;
use xtask_host::process::Run;
use xtask_host::progress::Progress;
use xtask_host::workspace::Workspace;

use super::debian::{self, SUITE};

/// The first major version that rejects unknown top-level keys.
const OLDEST: u32 = 24;

/// The message about what is skipped without cloud-init, if it is missing.
pub(super) fn missing() -> Option<String> {
    (!is_installed())
        .then(|| format!("cloud-init >= {OLDEST}: validates the same documents as our schema"))
}

fn is_installed() -> bool {
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

/// Unpacks a cloud-init package below the build directory unless a recent one is installed, and returns the directory.
pub(super) fn provide(workspace: &Workspace, progress: Progress) -> Result<Option<PathBuf>> {
    if is_installed() {
        return Ok(None);
    }
    let purpose = format!(
        "unpacking {SUITE}'s cloud-init below target/: its validator checks the same documents as our schema"
    );
    debian::unpack(workspace, "cloud-init", &purpose, progress).map(Some)
}
