//! The compiler of the tree that is built, whatever toolchain runs us.

use std::path::Path;

use crate::error::Result;
use crate::process::Run;

/// `program` (`cargo`, `rustc`) of the toolchain that the tree at `root` names, run there. `CARGO` and
/// `RUSTUP_TOOLCHAIN` are set by the cargo that runs us, for the tree that it was called in, and
/// `RUSTC` would bypass every tree's choice.
pub fn tool(root: &Path, program: &str) -> Run {
    let others = ["CARGO", "RUSTC", "RUSTDOC", "RUSTUP_TOOLCHAIN"].into_iter();
    others.fold(Run::new(program).cwd(root), Run::env_remove)
}

/// Whether the toolchain of the tree at `root` can build for `triple`.
///
/// # Errors
/// When `rustc` cannot be run.
pub fn has_target(root: &Path, triple: &str) -> Result<bool> {
    let libdir = tool(root, "rustc")
        .args(["--print", "target-libdir", "--target", triple])
        .output()?;
    Ok(Path::new(&libdir).exists())
}
