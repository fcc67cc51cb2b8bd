//! Where the double's program is, and those for Windows.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde_json::Value;

use crate::process;

/// The program, built at most once in each test process.
///
/// Cargo tells a test where the programs of its own package are (`CARGO_BIN_EXE_...`) and nothing about those of another
/// one, nor does it build them: a dev-dependency means the library alone. So this asks cargo, which has nothing to do when
/// the program is fresh. `cargo test` has let go of the build directory by the time that tests run.
///
/// # Panics
/// When it cannot be built.
pub(super) fn path() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| {
        let built = build(&["--bin", "fake-multipass"]);
        built.into_iter().next().expect("a program was built")
    })
}

/// `polis.exe` and `multipass.exe`, built at most once in each test process.
///
/// # Panics
/// When they cannot be built.
pub fn exes() -> &'static [PathBuf] {
    static PATHS: OnceLock<Vec<PathBuf>> = OnceLock::new();
    const ARGS: [&str; 6] = [
        "-p",
        "polis",
        "-p",
        "multipass-exe",
        "--target",
        "x86_64-pc-windows-gnu",
    ];
    PATHS.get_or_init(|| build(&ARGS))
}

fn build(args: &[&str]) -> Vec<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    let mut command = process::command(cargo);
    command
        .args(["build", "--locked", "--quiet", "--message-format=json"])
        .args(args)
        .arg("--manifest-path")
        .arg(manifest);
    if let Some(target) = target_directory() {
        command.arg("--target-dir").arg(target);
    }
    let output = command.output().expect("cargo starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo build failed: {stderr}");
    let stdout = String::from_utf8_lossy(&output.stdout);
    let executable = stdout
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter_map(|message| message["executable"].as_str().map(PathBuf::from));
    executable.collect()
}

/// The target directory of the running test, `TARGET/debug/deps/NAME`: what is built there is shared.
fn target_directory() -> Option<PathBuf> {
    let test = std::env::current_exe().ok()?;
    let deps = test.parent().filter(|dir| dir.ends_with("deps"))?;
    Some(deps.parent()?.parent()?.to_owned())
}
