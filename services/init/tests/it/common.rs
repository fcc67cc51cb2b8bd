//! What the tests share: running the real binary, and saying so when a real part is missing.
//!
//! A missing part (root, `iptables-nft`, `unshare`) skips a test with a message on a developer's
//! machine; with `POLIS_REQUIRE_REAL_PARTS=1`, as in CI, it fails.

use std::ffi::OsStr;
use std::io::Write as _;
use std::process::{Command, Output};

/// The binary under test.
pub(crate) const POLIS_INIT: &str = env!("CARGO_BIN_EXE_polis-init");

/// Prepares a program with nothing of the caller's environment but a search path that reaches
/// administrators' tools.
#[expect(
    clippy::disallowed_methods,
    reason = "tests look at failures too; this is their one place to start a program"
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

/// What a program said and how it ended.
#[derive(Debug)]
pub(crate) struct Ran {
    /// Exit code; `None` after a signal.
    pub(crate) code: Option<i32>,
    /// Standard output.
    pub(crate) stdout: String,
    /// Standard error.
    pub(crate) stderr: String,
}

/// Runs a program to its end.
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

/// Whether a real part is there; without it prints why the test is skipped, or panics where parts
/// are required.
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

/// Says that a test was skipped, past the test runner, which would swallow it as a pass.
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
