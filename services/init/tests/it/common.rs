//! Shared by the tests: runs the real binary, and reports missing prerequisites.
//!
//! Without a prerequisite (root, `iptables-nft`, `unshare`), a test is skipped with a message on a developer's machine; with
//! `POLIS_REQUIRE_REAL_PARTS=1`, as in CI, it fails.

use std::ffi::OsStr;
use std::io::Write as _;
use std::process::{Command, Output};

/// The binary under test.
pub(crate) const POLIS_INIT: &str = env!("CARGO_BIN_EXE_polis-init");

/// Prepares a program without the caller's environment, except for a search path that includes administrators' tools.
#[expect(
    clippy::disallowed_methods,
    reason = "tests examine failures too; this is the only place where they start a program"
)]
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env(
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        )
        .env("LC_ALL", "C");
    command
}

/// The output and exit code of a program.
#[derive(Debug)]
pub(crate) struct Ran {
    /// Exit code; `None` if a signal killed it.
    pub(crate) code: Option<i32>,
    /// Standard output.
    pub(crate) stdout: String,
    /// Standard error.
    pub(crate) stderr: String,
}

/// Runs a program until it exits.
pub(crate) fn run(command: &mut Command) -> Ran {
    let output: Output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    Ran {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Runs a program that has to succeed; returns its standard output.
pub(crate) fn succeed(command: &mut Command) -> String {
    let ran = run(command);
    assert_eq!(ran.code, Some(0), "{command:?}: {ran:?}");
    ran.stdout
}

/// Whether a prerequisite is available. If not, prints why the test is skipped, or panics if prerequisites are required.
pub(crate) fn have(part: &str, there: bool) -> bool {
    if !there {
        let required =
            std::env::var_os("POLIS_REQUIRE_REAL_PARTS").is_some_and(|value| value == "1");
        assert!(
            !required,
            "POLIS_REQUIRE_REAL_PARTS=1, but {part} is missing"
        );
        skip(&format!("{part} is missing"));
    }
    there
}

/// Reports a skipped test directly to the terminal, since the test runner would hide it as a pass.
pub(crate) fn skip(reason: &str) {
    let test = std::thread::current();
    let test = test.name().unwrap_or("a test");
    let _ = writeln!(std::io::stderr(), "skipped {test}: {reason}");
}

/// Whether this program is installed.
pub(crate) fn have_program(program: &str, package: &str) -> bool {
    let there = command(program)
        .arg("--version")
        .output()
        .is_ok_and(|output| output.status.success());
    have(&format!("{program} (Debian package {package})"), there)
}
