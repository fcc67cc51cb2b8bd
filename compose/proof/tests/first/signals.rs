//! A signal to `polis exec` reaches the command in the workspace, although the real `docker exec` forwards none.

use std::thread;
use std::time::{Duration, Instant};

use polis_stack_proof::Result;
use polis_stack_proof::bench::Bench;

use crate::ensure;

/// A command that only this test runs.
const ENDLESS: [&str; 2] = ["sleep", "86399"];
/// How long the command may take to start, and to end.
const LIMIT: Duration = Duration::from_secs(30);

/// SIGTERM ends the command in the workspace, and `polis` exits with its code.
pub(crate) fn signals(bench: &mut Bench) -> Result<()> {
    bench.polis("start, with nothing to do", &["start"])?;
    let polis = bench
        .sandbox
        .start_polis(&[&["exec", "--"], &ENDLESS[..]].concat());
    until(bench, true)?;
    polis.terminate();
    let ran = polis.wait();
    ensure(ran.code == Some(143), || ran.seen())?;
    until(bench, false)
}

/// Waits until the command is running, or no longer running.
fn until(bench: &Bench, runs: bool) -> Result<()> {
    let start = Instant::now();
    while start.elapsed() < LIMIT {
        let line = ENDLESS.join(" ");
        // Exits with 1 if nothing is found.
        let found = bench.inside("workspace", &["pgrep", "-fx", &line]).ran()?;
        if (found.code == 0) == runs {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(100));
    }
    Err(format!("`{}` runs: {}", ENDLESS.join(" "), !runs))
}
