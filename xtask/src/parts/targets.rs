//! The targets of a release that this machine can build for without another linker: without them `polis` and `polis-init` are
//! not what a release carries, and no rehearsal is whole.

use crate::error::Result;
use crate::process::Run;
use crate::progress::Progress;
use crate::rust_build;
use crate::workspace::Workspace;

/// The static targets, which Rust links itself.
const MUSL: [&str; 2] = ["x86_64-unknown-linux-musl", "aarch64-unknown-linux-musl"];

/// Adds the targets that are missing to the toolchain of the tree.
///
/// # Errors
/// When rustup does not know them, or cannot download them.
pub(super) fn provide(workspace: &Workspace, progress: Progress) -> Result<()> {
    let missing = missing_targets(workspace)?;
    if missing.is_empty() {
        return Ok(());
    }
    progress.note(&format!("installing the targets {}", missing.join(" and ")));
    let add = Run::new("rustup").args(["target", "add"]).args(missing);
    add.cwd(&workspace.root).output().map(drop)
}

/// What cannot be proven without them.
///
/// # Errors
/// When `rustc` cannot be asked.
pub(super) fn missing(workspace: &Workspace) -> Result<Vec<String>> {
    let reason = |triple| format!("target {triple}: rehearsals, and programs without a C library");
    Ok(missing_targets(workspace)?
        .into_iter()
        .map(reason)
        .collect())
}

fn missing_targets(workspace: &Workspace) -> Result<Vec<&'static str>> {
    let mut missing = Vec::new();
    for triple in MUSL {
        if !rust_build::installed(workspace, triple)? {
            missing.push(triple);
        }
    }
    Ok(missing)
}
