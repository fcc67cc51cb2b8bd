//! Verbs that compile more than `xtask` does live in packages of their own; this runs them.

use std::path::Path;

use crate::cli::Package;
use crate::error::Result;
use crate::process::Run;

/// Runs `package` through cargo with this process's own arguments; returns its exit code.
///
/// # Errors
/// When cargo cannot be started. A failed build of the package is cargo's to explain; its exit
/// code (101) is passed on as "this machine".
pub fn run(package: Package, quiet: bool) -> Result<u8> {
    let name = package.name();
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    if !quiet && !built(name) {
        eprintln!("building {name}, once: it compiles more than the offline verbs need");
    }
    let code = Run::cargo()
        .args(["run", "--quiet", "--locked", "--package", name])
        .arg("--manifest-path")
        .arg(manifest)
        .arg("--")
        .args(std::env::args_os().skip(1))
        .inherit_code()?;
    Ok(match u8::try_from(code) {
        Ok(101) | Err(_) => crate::error::Outcome::Machine.code(),
        Ok(code) => code,
    })
}

/// Whether the program stands beside ours already.
fn built(name: &str) -> bool {
    let sibling = std::env::current_exe()
        .map(|exe| exe.with_file_name(format!("{name}{}", std::env::consts::EXE_SUFFIX)));
    sibling.is_ok_and(|path| path.exists())
}
