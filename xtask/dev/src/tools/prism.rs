//! GitHub's description of its API, and Prism, which validates requests and answers against it. Both come from npm,
//! below the build directory, as pinned by the lock file beside the tests.

use std::path::{Path, PathBuf};

use xtask_host::error::{Error, Result};
use xtask_host::process::Run;
use xtask_host::progress::Progress;
use xtask_host::tools::installed;
use xtask_host::workspace::Workspace;
use xtask_host::write;

/// The directory with the lock file.
const PINNED: &str = "xtask/online/tests/prism";
const LOCK: &str = "package-lock.json";
/// The only one of GitHub's descriptions that is used; the others take 350 MB.
const DESCRIPTION: &str = "api.github.com.json";

/// The message about what is skipped without Prism, if it is missing.
pub(super) fn missing() -> Option<String> {
    (!installed("prism")).then(|| {
        "prism: validates our requests to GitHub, and the responses of our own server, by GitHub's API description"
            .to_owned()
    })
}

/// Installs the packages below the build directory, unless these were installed before, and returns the directory of
/// the programs.
pub(super) fn provide(workspace: &Workspace, progress: Progress) -> Result<PathBuf> {
    let pinned = workspace.root.join(PINNED);
    let dir = workspace.target.join("parts/prism");
    let read = |path: &Path| std::fs::read(path).map_err(|error| Error::io("read", path, &error));
    let lock = read(&pinned.join(LOCK))?;
    if std::fs::read(dir.join(LOCK)).is_ok_and(|there| there == lock) {
        return Ok(dir.join("node_modules/.bin"));
    }
    progress.note("installing Prism and GitHub's API description below target/, to validate our requests to GitHub (half a minute, once)");
    write::directory(&dir, LOCK, |new| {
        for name in ["package.json", LOCK] {
            write::atomically(&new.join(name), &read(&pinned.join(name))?)?;
        }
        Run::new("npm")
            .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
            .arg("--loglevel=error")
            .cwd(new)
            .output()?;
        drop_other_descriptions(&new.join("node_modules/@octokit/openapi/generated"))
    })?;
    Ok(dir.join("node_modules/.bin"))
}

fn drop_other_descriptions(dir: &Path) -> Result<()> {
    let mut files = Vec::new();
    write::files_below(dir, ".", &mut files)?;
    let path = |file: &String| dir.join(file.trim_start_matches("./"));
    let used = dir.join(DESCRIPTION);
    for file in files.iter().map(path).filter(|file| *file != used) {
        std::fs::remove_file(&file).map_err(|error| Error::io("remove", &file, &error))?;
    }
    Ok(())
}
