//! The targets of a release that this machine can build for: without them `polis` and `polis-init` are not what a release
//! carries, no rehearsal is whole, and nothing runs the code for Windows.

use xtask_host::error::Result;
use xtask_host::process::Run;
use xtask_host::progress::Progress;
use xtask_host::toolchain::has_target;
use xtask_host::workspace::Workspace;

/// Each target, with what it is for. Rust links the static ones itself.
const TARGETS: [(&str, &str); 3] = [
    ("x86_64-unknown-linux-musl", STATIC),
    ("aarch64-unknown-linux-musl", STATIC),
    ("x86_64-pc-windows-gnu", "polis.exe, which Wine runs"),
];

const STATIC: &str = "rehearsals, and programs without a C library";

/// Adds the targets that are missing to the toolchain of the tree.
///
/// # Errors
/// When rustup does not know them, or cannot download them.
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

/// What cannot be proven without them.
///
/// # Errors
/// When `rustc` cannot be asked.
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
