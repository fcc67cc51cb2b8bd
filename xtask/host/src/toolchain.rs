//! The toolchain of the tree that is built, regardless of the toolchain that runs us.

use std::path::Path;

use crate::error::Result;
use crate::process::{Run, SET_BY_CARGO};

/// `program` (`cargo` or `rustc`) of the toolchain that the tree at `root` selects, run in that tree. Removes `CARGO`
/// and `RUSTUP_TOOLCHAIN`, which the cargo that runs us set for its own tree, and `RUSTC`, which would override the
/// choice of any tree.
pub fn tool(root: &Path, program: &str) -> Run {
    let others = ["CARGO", "RUSTC", "RUSTDOC", "RUSTUP_TOOLCHAIN"];
    let others = others.into_iter().chain(SET_BY_CARGO);
    others.fold(Run::new(program).cwd(root), Run::env_remove)
}

/// Whether the toolchain of the tree at `root` has the target `triple`.
///
/// # Errors
/// If `rustc` cannot be run.
pub fn has_target(root: &Path, triple: &str) -> Result<bool> {
    let libdir = tool(root, "rustc")
        .args(["--print", "target-libdir", "--target", triple])
        .output()?;
    Ok(Path::new(&libdir).exists())
}
