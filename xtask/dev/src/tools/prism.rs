//! GitHub's own description of its API and Prism, which compares requests and answers with it:
//! from npm, below the build directory, as the lock file beside the tests pins them.

use std::path::{Path, PathBuf};

use xtask_host::error::{Error, Result};
use xtask_host::process::Run;
use xtask_host::progress::Progress;
use xtask_host::tools::installed;
use xtask_host::workspace::Workspace;
use xtask_host::write;

/// Where the packages are pinned, with their hashes.
const PINNED: &str = "xtask/online/tests/prism";
const LOCK: &str = "package-lock.json";
/// The one of GitHub's descriptions that is used; the others are 350 MB.
const DESCRIPTION: &str = "api.github.com.json";

/// What is left out where there is no Prism.
pub(super) fn missing() -> Option<String> {
    (!installed("prism")).then(|| {
        "prism: compares our requests to GitHub, and the answers of our own server, with GitHub's description"
            .to_owned()
    })
}

/// Installs the packages below the build directory, where these are not there yet, and returns
/// the directory of the programs.
pub(super) fn provide(workspace: &Workspace, progress: Progress) -> Result<PathBuf> {
    let pinned = workspace.root.join(PINNED);
    let dir = workspace.target.join("parts/prism");
    let read = |path: &Path| std::fs::read(path).map_err(|error| Error::io("read", path, &error));
    let lock = read(&pinned.join(LOCK))?;
    if std::fs::read(dir.join(LOCK)).is_ok_and(|there| there == lock) {
        return Ok(dir.join("node_modules/.bin"));
    }
    progress.note("installing Prism and GitHub's description of its API below target/: they judge what we ask GitHub (half a minute, once)");
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
