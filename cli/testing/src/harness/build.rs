//! Finds or builds the fake, and the programs for Windows.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde_json::Value;

use crate::process;

/// The program, looked up at most once in each test process.
///
/// Cargo builds it together with the tests of the workspace, but reports its path only to its own package. With nextest, each
/// test is a process, and starting cargo takes longer than most tests. So this runs it only if the program is older than any
/// of its sources.
///
/// # Panics
/// When it cannot be built.
pub(super) fn path() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| {
        let fresh = target_directory()
            .map(|target| target.join("debug/fake-multipass"))
            .filter(|program| is_fresh(program));
        fresh.unwrap_or_else(|| {
            let built = build(&["--workspace", "--bin", "fake-multipass"]);
            built.into_iter().next().expect("a program was built")
        })
    })
}

/// Whether `program` was built from this checkout, and is newer than all of its sources, which cargo lists beside it.
fn is_fresh(program: &Path) -> bool {
    let changed = |path: &Path| fs::metadata(path).and_then(|meta| meta.modified()).ok();
    let Some((built, listed)) =
        changed(program).zip(fs::read_to_string(program.with_extension("d")).ok())
    else {
        return false;
    };
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let sources: Vec<&str> = listed.split_whitespace().skip(1).collect();
    let workspace = ["Cargo.toml", "../../Cargo.toml", "../../Cargo.lock"];
    let workspace = workspace.map(|name| package.join(name));
    sources
        .iter()
        .any(|path| Path::new(path) == package.join("src/main.rs"))
        && sources
            .iter()
            .map(Path::new)
            .chain(workspace.iter().map(PathBuf::as_path))
            .all(|source| changed(source).is_some_and(|changed| changed < built))
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

/// The target directory of the running test, `TARGET/debug/deps/NAME`. Programs built there are shared.
fn target_directory() -> Option<PathBuf> {
    let test = std::env::current_exe().ok()?;
    let deps = test.parent().filter(|dir| dir.ends_with("deps"))?;
    Some(deps.parent()?.parent()?.to_owned())
}
