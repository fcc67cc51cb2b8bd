//! Builds and runs the programs of the verbs that compile more than `xtask` does.
//!
//! Cargo builds, and the program is run by us, unlike in `cargo run`: so no compiler, build script or procedural macro
//! gets a secret, and the program gets the ones that it may need.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use xtask_host::error::{Error, Outcome, Result};
use xtask_host::process::Run;
use xtask_host::{say, secrets};

/// A package with verbs of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Package {
    /// What needs the JSON Schema validator.
    Check,
    /// What prepares a developer's machine, tests and measures.
    Dev,
    /// What builds images and the files of a release: archives, signatures.
    Dist,
    /// What needs the network.
    Online,
    /// What starts machines.
    Proof,
}

impl Package {
    /// The name of the package and of its program.
    pub fn name(self) -> &'static str {
        match self {
            Self::Check => "xtask-check",
            Self::Dev => "xtask-dev",
            Self::Dist => "xtask-dist",
            Self::Online => "xtask-online",
            Self::Proof => "polis-stack-proof",
        }
    }

    /// The secrets that its program may need.
    fn secrets(self) -> &'static [&'static str] {
        match self {
            Self::Check | Self::Dev | Self::Proof => &[],
            Self::Dist => &[secrets::SIGNING_KEY, secrets::SIGNING_PASSWORD],
            Self::Online => &secrets::READ,
        }
    }
}

/// Builds `package` and runs its program with this process's own arguments; returns its exit code. On Unix this process
/// becomes the program, so a signal reaches one process.
///
/// # Errors
/// When cargo or the program cannot be started. Cargo itself explains a failed build, whose exit code is "this machine".
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
        .passing(&["*"])
        .args(std::env::args_os().skip(1));
    for name in package.secrets() {
        if let Some(secret) = secrets::get(name) {
            run = run.env(name, secret.reveal());
        }
    }
    let code = run.exec()?;
    Ok(u8::try_from(code).unwrap_or(Outcome::Machine.code()))
}

/// Builds `package` and returns its program, or cargo's exit code.
fn build(package: Package, quiet: bool) -> Result<std::result::Result<PathBuf, i32>> {
    let name = package.name();
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    if !quiet && !is_built(name) {
        say::note(&format!(
            "building {name}, once: it compiles more than the offline verbs need"
        ));
    }
    let built = Run::cargo()
        .args(["build", "--quiet", "--locked", "--package", name])
        .arg("--message-format=json-render-diagnostics")
        .arg("--manifest-path")
        .arg(manifest)
        .output_or_code()?;
    match built {
        Err(code) => Ok(Err(code)),
        Ok(messages) => executable(&messages, name).map(Ok).ok_or_else(|| {
            Error::machine(format!(
                "cargo built `{name}` but reported no executable of it"
            ))
        }),
    }
}

/// The executable `name` in cargo's messages, one JSON document a line.
fn executable(messages: &str, name: &str) -> Option<PathBuf> {
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

/// Whether the program was built before, beside ours.
fn is_built(name: &str) -> bool {
    let sibling = std::env::current_exe()
        .map(|exe| exe.with_file_name(format!("{name}{}", std::env::consts::EXE_SUFFIX)));
    sibling.is_ok_and(|path| path.exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_executable_comes_from_cargos_messages() {
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
        let found = executable(&messages.join("\n"), "xtask-dist");
        assert_eq!(found, Some(PathBuf::from("/t/xtask-dist")));
        assert_eq!(executable(&messages[..3].join("\n"), "xtask-dist"), None);
    }
}
