//! Shared by the tests: real programs, hand-made image layouts, clients with short timeouts.

pub(crate) mod docker;
pub(crate) mod keys;
pub(crate) mod layout;
pub(crate) mod oras;
pub(crate) mod prism;
pub(crate) mod test_env;
pub(crate) mod tokens;
pub(crate) mod twin;

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;
use std::{env, str};

use xtask_online::{Endpoints, RetryPolicy};

/// If set to `1`, as in CI, every external tool must be installed.
const REQUIRE: &str = "POLIS_REQUIRE_REAL_PARTS";

/// The path of the external tool `name`. Prints a line and returns `None` if it is neither installed nor required.
pub(crate) fn external_tool(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path)
        .map(|dir| dir.join(name))
        .find(|file| file.is_file());
    if found.is_none() {
        assert!(
            env::var_os(REQUIRE).is_none_or(|value| value != "1"),
            "{name} is not installed, and {REQUIRE}=1 demands it"
        );
        println!("skipped: {name} is not installed");
    }
    found
}

/// A command for an external tool, with nothing of our environment except PATH.
#[expect(
    clippy::disallowed_methods,
    reason = "the tests' own wrapper: `run` checks success and quotes the command and its output"
)]
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("HOME", env::temp_dir());
    command.envs(env::var_os("PATH").map(|path| ("PATH", path)));
    command
}

/// Runs a program, which must succeed, and returns its standard output.
pub(crate) fn run<I>(program: impl AsRef<OsStr>, args: I) -> Vec<u8>
where
    I: IntoIterator,
    I::Item: AsRef<OsStr>,
{
    let mut command = command(program);
    command.args(args);
    let output: Output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

/// Endpoints with `overrides` (`HOST=URL`) and short timeouts: three attempts in total.
pub(crate) fn endpoints(overrides: &[String]) -> Endpoints {
    Endpoints::parse(overrides)
        .expect("overrides")
        .with_retry_policy(RetryPolicy {
            connect: Duration::from_secs(5),
            read: Duration::from_secs(20),
            retries: 2,
            delay: Duration::from_millis(1),
            deadline: None,
        })
}

/// As [`endpoints`], with half a second to answer and only one attempt.
pub(crate) fn hasty(overrides: &[String]) -> Endpoints {
    endpoints(overrides).with_retry_policy(RetryPolicy {
        connect: Duration::from_millis(200),
        read: Duration::from_millis(300),
        retries: 0,
        delay: Duration::ZERO,
        deadline: None,
    })
}

/// The names in a directory, sorted.
pub(crate) fn names(dir: &Path) -> Vec<String> {
    let entries = dir.read_dir().expect("directory");
    let mut names: Vec<String> = entries
        .map(|entry| {
            entry
                .expect("entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    names.sort();
    names
}

/// Copies the directory `from` to `to`.
pub(crate) fn copy(from: &Path, to: &Path) {
    place(from, to, &|from, to| {
        fs::copy(from, to).unwrap();
    });
}

/// Recreates the directory `from` as `to`; `file` copies or links each file.
pub(crate) fn place(from: &Path, to: &Path, file: &dyn Fn(&Path, &Path)) {
    if from.is_dir() {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            place(&entry.path(), &to.join(entry.file_name()), file);
        }
    } else {
        file(from, to);
    }
}
