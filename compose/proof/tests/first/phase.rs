//! The phases of a first start, each recognized from outside: by the machine, the record of the calls of `multipass`, or the
//! output of `polis`. Never by time.

use std::time::{Duration, Instant};

use fake_multipass::Running;
use polis_stack_proof::Result;
use polis_stack_proof::bench::Bench;

/// How long to wait for a phase.
const LIMIT: Duration = Duration::from_secs(120);
/// How often to check for it.
const GLANCE: Duration = Duration::from_millis(20);

/// How to recognize a phase.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Shown {
    /// The machine is on.
    On,
    /// A shell script in the machine exits with 0.
    Machine(&'static str),
    /// A call of `multipass` has started, and perhaps ended, whose command line contains this.
    Call(&'static str),
    /// `polis` prints this on standard error.
    Told(&'static str),
}

/// `polis start` in one of its phases.
pub(crate) struct Begun {
    pub(crate) polis: Running,
    /// The number of calls before it.
    before: usize,
}

impl Begun {
    /// Starts `polis start` and waits until it is in the phase.
    ///
    /// # Errors
    /// When it ends first, or the phase does not start in time.
    pub(crate) fn until(bench: &Bench, shown: Shown) -> Result<Self> {
        let before = bench.sandbox.calls().len();
        let polis = bench.sandbox.start_polis(&["start"]);
        let mut begun = Self { polis, before };
        begun.wait(bench, shown)?;
        Ok(begun)
    }

    /// Waits until it is in a later phase.
    ///
    /// # Errors
    /// When it ends first, or the phase does not start in time.
    pub(crate) fn wait(&mut self, bench: &Bench, shown: Shown) -> Result<()> {
        let start = Instant::now();
        while !self.shows(bench, shown)? {
            let ended = !self.polis.runs();
            if ended || start.elapsed() > LIMIT {
                let what = if ended {
                    "ended before"
                } else {
                    "did not reach"
                };
                return Err(format!(
                    "polis start {what} {shown:?}\n{}{}\n{}",
                    self.polis.stdout(),
                    self.polis.stderr(),
                    story(bench)
                ));
            }
            std::thread::sleep(GLANCE);
        }
        Ok(())
    }

    /// Kills it together with its call of `multipass`.
    pub(crate) fn kill(self) {
        drop(self);
    }

    fn shows(&self, bench: &Bench, shown: Shown) -> Result<bool> {
        match shown {
            Shown::On => bench.guest.is_on(),
            Shown::Machine(script) => Ok(bench.guest.ran(script)?.code == 0),
            Shown::Call(part) => {
                let calls = bench.sandbox.calls();
                let mut since = calls.iter().skip(self.before);
                Ok(since.any(|call| call.line().contains(part)))
            }
            Shown::Told(words) => Ok(self.polis.stderr().contains(words)),
        }
    }
}

/// What happened in the machine, for a failed check.
pub(crate) fn story(bench: &Bench) -> String {
    let jobs = "tail -n 25 /opt/polis/.jobs/*/log; docker ps --all";
    let jobs = bench.guest.ran(jobs).map(|ran| ran.stdout + &ran.stderr);
    bench.guest.story() + "\n" + &jobs.unwrap_or_else(|error| error)
}
