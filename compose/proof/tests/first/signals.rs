//! A signal to `polis exec` reaches the command in the workspace, through the real `docker exec`, which passes none on.

use std::thread;
use std::time::{Duration, Instant};

use polis_stack_proof::Result;
use polis_stack_proof::bench::Bench;

use crate::ensure;

/// Nobody else runs this.
const ENDLESS: [&str; 2] = ["sleep", "86399"];
/// How long the command may take to begin, and to end.
const LIMIT: Duration = Duration::from_secs(30);

/// TERM ends the command in the workspace, and `polis` with the code of that.
pub(crate) fn signals(bench: &mut Bench) -> Result<()> {
    bench.polis("start, when all is well", &["start"])?;
    let polis = bench
        .world
        .start_polis(&[&["exec", "--"], &ENDLESS[..]].concat());
    until(bench, true)?;
    polis.terminate();
    let ran = polis.wait();
    ensure(ran.code == Some(143), || ran.seen())?;
    until(bench, false)
}

/// Waits until the command runs, or does not any more.
fn until(bench: &Bench, runs: bool) -> Result<()> {
    let start = Instant::now();
    while start.elapsed() < LIMIT {
        let line = ENDLESS.join(" ");
        // Ends with 1 when nothing is found.
        let found = bench.inside("workspace", &["pgrep", "-fx", &line]).ran()?;
        if (found.code == 0) == runs {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(100));
    }
    Err(format!("`{}` runs: {}", ENDLESS.join(" "), !runs))
}
