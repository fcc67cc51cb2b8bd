//! Installs the Rust targets that a release needs. Without them, `polis` and `polis-init` differ from those of a release,
//! rehearsals are incomplete, and the code for Windows is not run.

use xtask_host::error::Result;
use xtask_host::process::Run;
use xtask_host::progress::Progress;
use xtask_host::toolchain::has_target;
use xtask_host::workspace::Workspace;

/// The targets, each with its purpose. Rust links the static ones itself.
const TARGETS: [(&str, &str); 3] = [
    ("x86_64-unknown-linux-musl", STATIC),
    ("aarch64-unknown-linux-musl", STATIC),
    ("x86_64-pc-windows-gnu", "polis.exe, which Wine runs"),
];

const STATIC: &str = "rehearsals, and programs without a C library";

/// Adds the missing targets to the toolchain of the tree.
///
/// # Errors
/// If rustup does not support them, or cannot download them.
pub(super) fn provide(workspace: &Workspace, progress: Progress) -> Result<()> {
    let missing = missing_targets(workspace)?;
    if missing.is_empty() {
        return Ok(());
    }
    let missing: Vec<&str> = missing.iter().map(|(triple, _)| *triple).collect();
    progress.note(&format!("installing the targets {}", missing.join(" and ")));
    let add = Run::new("rustup").args(["target", "add"]).args(missing);
    add.cwd(&workspace.root).output().map(drop)
}

/// The missing targets, each with what is skipped without it.
///
/// # Errors
/// If `rustc` cannot be run.
pub(super) fn missing(workspace: &Workspace) -> Result<Vec<String>> {
    let reason = |(triple, why)| format!("target {triple}: {why}");
    Ok(missing_targets(workspace)?
        .into_iter()
        .map(reason)
        .collect())
}

fn missing_targets(workspace: &Workspace) -> Result<Vec<(&'static str, &'static str)>> {
    let mut missing = Vec::new();
    for (triple, why) in TARGETS {
        if !has_target(&workspace.root, triple)? {
            missing.push((triple, why));
        }
    }
    Ok(missing)
}
