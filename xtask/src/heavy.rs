//! Verbs that compile more than `xtask` does live in packages of their own; this builds and runs
//! them.
//!
//! Building and running are apart, unlike in `cargo run`: no compiler, build script or procedural
//! macro gets a secret, and the program gets those that it may need.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::cli::Package;
use xtask_host::error::{Error, Outcome, Result};
use xtask_host::process::Run;
use xtask_host::{say, secrets};

/// Builds `package` and runs its program with this process's own arguments; returns its exit code.
/// On Unix it does not return: this process becomes the program.
///
/// # Errors
/// When cargo or the program cannot be started. A failed build of the package is cargo's to
/// explain; its exit code is "this machine".
pub fn run(package: Package, quiet: bool) -> Result<u8> {
    if secrets::get(secrets::SIGNING_KEY).is_some() && std::env::var_os("CARGO").is_some() {
        say::note(
            "note: cargo was given the signing key, and so was whatever it compiled for this command",
        );
        say::note(
            "note: build the programs first and start them directly: RELEASING.md, \"Without Actions\"",
        );
    }
    let Ok(program) = build(package, quiet)? else {
        return Ok(Outcome::Machine.code());
    };
    let mut run = Run::new(program)
        // It is this program going on: it needs what this one needs.
        .passing(&["*"])
        .args(std::env::args_os().skip(1));
    for name in package.secrets() {
        if let Some(secret) = secrets::get(name) {
            run = run.env(name, secret.reveal());
        }
    }
    let code = run.become_it()?;
    Ok(u8::try_from(code).unwrap_or(Outcome::Machine.code()))
}

/// Builds `package` and returns its program, or cargo's exit code.
fn build(package: Package, quiet: bool) -> Result<std::result::Result<PathBuf, i32>> {
    let name = package.name();
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    if !quiet && !built(name) {
        say::note(&format!(
            "building {name}, once: it compiles more than the offline verbs need"
        ));
    }
    let said = Run::cargo()
        .args(["build", "--quiet", "--locked", "--package", name])
        .arg("--message-format=json-render-diagnostics")
        .arg("--manifest-path")
        .arg(manifest)
        .output_or_code()?;
    match said {
        Err(code) => Ok(Err(code)),
        Ok(messages) => program(&messages, name).map(Ok).ok_or_else(|| {
            Error::machine(format!("cargo built `{name}` and named no program of it"))
        }),
    }
}

/// The program `name` in cargo's messages, which are one JSON document a line.
fn program(messages: &str, name: &str) -> Option<PathBuf> {
    #[derive(Deserialize)]
    struct Message {
        target: Target,
        executable: Option<PathBuf>,
    }
    #[derive(Deserialize)]
    struct Target {
        name: String,
        kind: Vec<String>,
    }
    // Other messages have other fields.
    let messages = messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Message>(line).ok());
    messages
        .filter(|found| found.target.name == name && found.target.kind == ["bin"])
        .find_map(|found| found.executable)
}

/// Whether the program stands beside ours already.
fn built(name: &str) -> bool {
    let sibling = std::env::current_exe()
        .map(|exe| exe.with_file_name(format!("{name}{}", std::env::consts::EXE_SUFFIX)));
    sibling.is_ok_and(|path| path.exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_the_one_that_cargo_names() {
        let artifact = |name: &str, kind: &str, executable: &str| {
            format!(
                r#"{{"reason":"compiler-artifact","target":{{"name":"{name}","kind":["{kind}"]}},"executable":{executable}}}"#
            )
        };
        let messages = [
            artifact("xtask-dist", "lib", "null"),
            artifact("other", "bin", r#""/t/other""#),
            r#"{"reason":"build-script-executed"}"#.to_owned(),
            artifact("xtask-dist", "bin", r#""/t/xtask-dist""#),
            r#"{"reason":"build-finished","success":true}"#.to_owned(),
        ];
        let found = program(&messages.join("\n"), "xtask-dist");
        assert_eq!(found, Some(PathBuf::from("/t/xtask-dist")));
        assert_eq!(program(&messages[..3].join("\n"), "xtask-dist"), None);
    }
}
