//! Builds and runs the programs of the verbs that need more dependencies than `xtask` has.
//!
//! Cargo builds the program, and then we run it, instead of using `cargo run`. No compiler, build script or procedural
//! macro sees a secret, and the program gets only those that it may need.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use xtask_host::error::{Error, Outcome, Result};
use xtask_host::process::Run;
use xtask_host::{say, secrets};

/// A package with its own verbs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Package {
    /// Verbs that need the JSON Schema validator.
    Check,
    /// Verbs for a developer's machine: tests, tools, benchmarks.
    Dev,
    /// Verbs that build images and release files: archives, signatures.
    Dist,
    /// Verbs that need the network.
    Online,
    /// Verbs that start machines.
    Proof,
}

impl Package {
    /// The name of the package, which is also that of its program.
    pub fn name(self) -> &'static str {
        match self {
            Self::Check => "xtask-check",
            Self::Dev => "xtask-dev",
            Self::Dist => "xtask-dist",
            Self::Online => "xtask-online",
            Self::Proof => "polis-stack-proof",
        }
    }

    /// The secrets that the program may need.
    fn secrets(self) -> &'static [&'static str] {
        match self {
            Self::Check | Self::Dev | Self::Proof => &[],
            Self::Dist => &[secrets::SIGNING_KEY, secrets::SIGNING_PASSWORD],
            Self::Online => &secrets::READ,
        }
    }
}

/// Builds `package` and runs its program with this process's arguments; returns its exit code. On Unix the program
/// replaces this process, so that signals reach it directly.
///
/// # Errors
/// If cargo or the program cannot be started. A failed build is explained by cargo and returns [`Outcome::Machine`].
pub fn run(package: Package, quiet: bool) -> Result<u8> {
    if secrets::get(secrets::SIGNING_KEY).is_some() && std::env::var_os("CARGO").is_some() {
        say::note(
            "note: cargo and everything that it compiled for this command could read the signing key",
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

/// Builds `package` and returns the path of its program, or cargo's exit code.
fn build(package: Package, quiet: bool) -> Result<std::result::Result<PathBuf, i32>> {
    let name = package.name();
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    if !quiet && !is_built(name) {
        say::note(&format!(
            "building {name}, which has more dependencies than the offline verbs"
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
            Error::machine(format!("cargo built `{name}` but reported no executable"))
        }),
    }
}

/// The executable `name` in cargo's messages, which are one JSON document per line.
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

/// Whether the program was already built, beside ours.
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
