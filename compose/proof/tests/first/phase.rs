//! The phases of a first start, each by what shows from outside that it is under way: the machine, the record of
//! the calls of `multipass`, or `polis` itself. Never by time.

use std::time::{Duration, Instant};

use fake_multipass::Running;
use polis_stack_proof::Result;
use polis_stack_proof::bench::Bench;

/// How long a phase may take to begin.
const LIMIT: Duration = Duration::from_secs(120);
/// How often it is looked for.
const GLANCE: Duration = Duration::from_millis(20);

/// What shows a phase.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Shown {
    /// The machine is on.
    On,
    /// A shell script in the machine ends with 0.
    Machine(&'static str),
    /// A call of `multipass`, begun and perhaps not ended, whose command line contains this.
    Call(&'static str),
    /// `polis` says this on standard error.
    Told(&'static str),
}

/// `polis start` in one of its phases.
pub(crate) struct Begun {
    pub(crate) polis: Running,
    /// How many calls there were before it.
    before: usize,
}

impl Begun {
    /// Starts `polis start` and returns when it is in the phase.
    ///
    /// # Errors
    /// When it ends before that, or the phase does not begin in time.
    pub(crate) fn until(bench: &Bench, shown: Shown) -> Result<Self> {
        let before = bench.world.calls().len();
        let polis = bench.world.start_polis(&["start"]);
        let mut begun = Self { polis, before };
        begun.wait(bench, shown)?;
        Ok(begun)
    }

    /// Waits until it is in a later phase.
    ///
    /// # Errors
    /// When it ends before that, or the phase does not begin in time.
    pub(crate) fn wait(&mut self, bench: &Bench, shown: Shown) -> Result<()> {
        let start = Instant::now();
        while !self.shows(bench, shown)? {
            let ended = !self.polis.runs();
            if ended || start.elapsed() > LIMIT {
                let what = if ended {
                    "ended before"
                } else {
                    "did not get to"
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

    /// Kills it with its call of `multipass`.
    pub(crate) fn kill(self) {
        drop(self);
    }

    fn shows(&self, bench: &Bench, shown: Shown) -> Result<bool> {
        match shown {
            Shown::On => bench.guest.is_on(),
            Shown::Machine(script) => Ok(bench.guest.ran(script)?.code == 0),
            Shown::Call(part) => {
                let calls = bench.world.calls();
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
