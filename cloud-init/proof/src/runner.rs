//! The `main` function of test programs that run their own cases: options, `--list`, selection by name, and skipping if the machine
//! lacks something.

use std::process::ExitCode;

use crate::run::{Run, on_path};
use crate::{PROGRAMS, Result};

/// The variable that makes a missing prerequisite fail a test instead of skipping it.
const REQUIRE: &str = "POLIS_REQUIRE_REAL_PARTS";

/// The arguments of a test program: words select cases whose names contain them, `--list` prints names, and other options are
/// ignored.
#[derive(Debug)]
pub struct Arguments {
    list: bool,
    wanted: Vec<String>,
}

impl Arguments {
    /// Reads the arguments of this program.
    pub fn read() -> Self {
        let (options, wanted): (Vec<String>, Vec<String>) = std::env::args()
            .skip(1)
            .partition(|argument| argument.starts_with('-'));
        let list = options.iter().any(|option| option == "--list");
        Self { list, wanted }
    }

    /// Whether the case `name` is selected.
    pub fn choose(&self, name: &str) -> bool {
        self.wanted.is_empty() || self.wanted.iter().any(|part| name.contains(part))
    }

    /// Prints the selected cases of `names`, or runs them unless something is `missing`. `run` returns how many failed; `what` names the
    /// cases in the summary, for instance `checks of the stack`.
    pub fn main(
        &self,
        what: &str,
        names: &[&str],
        missing: impl FnOnce() -> Option<String>,
        run: impl FnOnce() -> Result<usize>,
    ) -> ExitCode {
        if self.list {
            for name in names {
                println!("{name}: test");
            }
            return ExitCode::SUCCESS;
        }
        if let Some(missing) = missing() {
            println!("skipped: {missing}");
            return if std::env::var_os(REQUIRE).is_some() {
                ExitCode::FAILURE
            } else {
                ExitCode::SUCCESS
            };
        }
        match run() {
            Ok(0) => ExitCode::SUCCESS,
            Ok(failed) => {
                println!("{failed} of {} {what} failed", names.len());
                ExitCode::FAILURE
            }
            Err(error) => {
                println!("{error}");
                ExitCode::FAILURE
            }
        }
    }
}

/// The programs of [`PROGRAMS`] and of `more` that are not installed, each with its Debian package.
pub fn missing_programs(
    more: &[(&'static str, &'static str)],
) -> Vec<(&'static str, &'static str)> {
    let programs = PROGRAMS.iter().chain(more).copied();
    programs.filter(|(program, _)| !on_path(program)).collect()
}

/// What this machine lacks for a proof: a program of [`PROGRAMS`] or of `more`, which pairs programs with their Debian packages;
/// root; or the architecture.
pub fn missing(more: &[(&'static str, &'static str)]) -> Option<String> {
    if let Some((program, package)) = missing_programs(more).first() {
        return Some(format!("{program} is not installed (package {package})"));
    }
    let root = Run::new(&["id", "--user"])
        .output()
        .is_ok_and(|id| id == "0");
    if !root {
        return Some(
            "root is needed to start a Docker engine and to create a root file system".to_owned(),
        );
    }
    let amd64 = std::env::consts::ARCH == "x86_64";
    (!amd64).then(|| "the stand-ins are built for amd64".to_owned())
}

/// Reports why a test is skipped.
///
/// # Panics
/// When `POLIS_REQUIRE_REAL_PARTS` is set, which allows no skips.
pub fn skip(why: &str) {
    assert!(std::env::var_os(REQUIRE).is_none(), "{why}");
    eprintln!("skipped: {why}");
}
