//! Fixtures shared by all test processes of one run.
//!
//! nextest runs each test in its own process, so a `OnceLock` would build an expensive fixture once per test.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long the fixtures of an earlier run stay on disk: longer than any run takes.
const STALE: Duration = Duration::from_secs(6 * 60 * 60);

/// The directory that `make` fills, once per test run; other tests that ask for `name` wait for it.
///
/// Nothing removes it before the run ends, and no test may write to it.
///
/// # Panics
/// If `make` does, or if the target directory is not writable. The next caller then starts afresh.
pub fn prepared(name: &str, make: impl FnOnce(&Path)) -> PathBuf {
    let run = run_dir();
    fs::create_dir_all(&run).expect("a directory for this test run");
    let lock = File::create(run.join(format!("{name}.lock"))).expect("the lock file");
    lock.lock().expect("the lock");
    let (dir, done) = (run.join(name), run.join(format!("{name}.done")));
    if !done.exists() {
        if dir.exists() {
            fs::remove_dir_all(&dir).expect("an unfinished fixture is removed");
        }
        fs::create_dir(&dir).expect("a directory for the fixture");
        make(&dir);
        fs::write(done, "").expect("the marker of a finished fixture");
    }
    dir
}

/// `target/tmp/prepared/RUN`, where RUN is nextest's run or else this process.
fn run_dir() -> PathBuf {
    let program = std::env::current_exe().expect("the path of the test program");
    // target/debug/deps/PROGRAM
    let target = program.ancestors().nth(3).expect("the target directory");
    let all = target.join("tmp/prepared");
    let run = match std::env::var("NEXTEST_RUN_ID") {
        Ok(id) => id,
        Err(_) => format!("process-{}", std::process::id()),
    };
    let dir = all.join(run);
    if !dir.exists() {
        remove_stale(&all);
    }
    dir
}

/// Removes the fixtures of earlier runs. Another process may do the same at the same time.
fn remove_stale(all: &Path) {
    for entry in fs::read_dir(all).into_iter().flatten().flatten() {
        let modified = entry.metadata().and_then(|metadata| metadata.modified());
        let age = modified.ok().and_then(|modified| modified.elapsed().ok());
        if age.is_some_and(|age| age > STALE) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fixture_is_made_once() {
        let make = |dir: &Path| fs::write(dir.join("file"), "made").expect("a file");
        let dir = prepared("made-once", make);
        let again = prepared("made-once", |_| panic!("made twice"));
        assert_eq!(dir, again);
        assert_eq!(
            fs::read_to_string(dir.join("file")).expect("a file"),
            "made"
        );
    }

    #[test]
    fn a_failed_fixture_is_made_again() {
        let failed = std::panic::catch_unwind(|| {
            prepared("made-afresh", |dir| {
                fs::write(dir.join("half"), "").expect("a file");
                panic!("half made");
            })
        });
        assert!(failed.is_err());
        let dir = prepared("made-afresh", |_| {});
        assert!(!dir.join("half").exists());
    }
}
