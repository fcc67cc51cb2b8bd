//! How fast `polis-init chown -R` changes the owner of many files, compared with coreutils.

use std::fs::{self, File};
use std::path::Path;
use std::time::Instant;

use xtask_host::error::{Error, Result};
use xtask_host::process::Run;
use xtask_host::tools::installed;
use xtask_host::workspace::Workspace;

use super::measure::{Measured, build};
use crate::tools::is_root;

const DIRECTORIES: usize = 100;
const FILES: usize = 1000;
/// The number of measured runs of each program.
const RUNS: usize = 7;

/// The ratio of the fastest runs: coreutils to `polis-init`. The result depends on the file system of the build directory.
pub(super) fn speed(workspace: &Workspace) -> Result<Measured> {
    if !is_root() || !installed("chown") {
        return Ok(Measured::Skipped("it needs root and coreutils"));
    }
    build(workspace, &["--release", "--package", "polis-init"])?;
    let dir = tempfile::tempdir_in(&workspace.target)
        .map_err(|error| Error::io("create", &workspace.target, &error))?;
    make(dir.path())?;
    let ours = workspace.target.join("release/polis-init");
    let mut owner = 1000;
    let mut change = |program: Run| {
        owner += 1;
        let change = program.args(["-R", &format!("{owner}:{owner}")]);
        let change = change.arg(dir.path());
        let started = Instant::now();
        change.output()?;
        Ok::<_, Error>(started.elapsed().as_secs_f64())
    };
    let mut fastest = (f64::INFINITY, f64::INFINITY);
    for run in 0..=RUNS {
        let theirs = change(Run::new("chown"))?;
        let ours = change(Run::new(&ours).arg("chown"))?;
        // The first run fills the caches.
        if run > 0 {
            fastest = (fastest.0.min(theirs), fastest.1.min(ours));
        }
    }
    Ok(Measured::Value(fastest.0 / fastest.1))
}

fn make(dir: &Path) -> Result<()> {
    for directory in 0..DIRECTORIES {
        let below = dir.join(format!("directory-{directory}"));
        fs::create_dir(&below).map_err(|error| Error::io("create", &below, &error))?;
        for file in 0..FILES {
            let path = below.join(format!("file-{file}"));
            File::create(&path).map_err(|error| Error::io("create", &path, &error))?;
        }
    }
    Ok(())
}
