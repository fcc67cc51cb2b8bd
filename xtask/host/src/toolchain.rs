//! The toolchain of the tree that is built, regardless of the toolchain that runs us.

use std::ffi::OsString;
use std::path::Path;

use crate::error::Result;
use crate::process::Run;

/// Cargo sets these for the programs that it runs, and sets them again for each build.
const SET_BY_CARGO: [&str; 2] = ["CARGO_MANIFEST_*", "CARGO_PKG_*"];

impl Run {
    /// The cargo that runs us, or else the one in `PATH`, without the variables that cargo sets for the programs it
    /// runs. Some build scripts (ring's, for example) read such a variable and would be rerun by every build that a
    /// program starts.
    pub fn cargo() -> Self {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
        let unset = SET_BY_CARGO.into_iter();
        unset.fold(Self::new(cargo), Self::env_remove)
    }
}

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
