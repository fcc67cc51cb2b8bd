//! Progress of long work: a bar or spinner on a terminal, plain lines elsewhere, nothing with
//! `--quiet`. Always on standard error; standard output belongs to results.
//!
//! Only a program with the feature `bars` draws: the offline verbs have nothing to draw, and do not compile it.

#[cfg(feature = "bars")]
mod bar;
#[cfg(not(feature = "bars"))]
#[path = "progress/no_bar.rs"]
mod bar;

use std::io::{IsTerminal, stderr};
use std::time::Instant;

use crate::say;

use bar::Bar;

/// Where progress goes.
#[derive(Debug, Clone, Copy)]
pub enum Progress {
    /// Nowhere.
    Silent,
    /// A line when a task starts and one when it ends.
    Lines,
    /// A live line on a terminal.
    Live,
}

/// A task under way. Dropped before [`Task::done`], it does not claim to have ended.
#[derive(Debug)]
pub struct Task {
    progress: Progress,
    bar: Bar,
    name: String,
    started: Instant,
}

impl Progress {
    /// What suits this run.
    pub fn new(quiet: bool) -> Self {
        match (quiet, cfg!(feature = "bars") && stderr().is_terminal()) {
            (true, _) => Self::Silent,
            (false, true) => Self::Live,
            (false, false) => Self::Lines,
        }
    }

    /// Starts a task of unknown length.
    pub fn task(self, name: impl Into<String>) -> Task {
        let name = say::shown(&name.into()).into_owned();
        let bar = match self {
            Self::Live => Bar::start(&name),
            Self::Lines => {
                say::note(&format!("{name} ..."));
                Bar::hidden()
            }
            Self::Silent => Bar::hidden(),
        };
        Task {
            progress: self,
            bar,
            name,
            started: Instant::now(),
        }
    }

    /// Prints a line, above the bars where there are any.
    pub fn note(self, text: &str) {
        match self {
            Self::Silent => {}
            Self::Lines => say::note(text),
            Self::Live => bar::suspend(|| say::note(text)),
        }
    }
}

impl Task {
    /// Shows how many bytes are done; of how many, where that is known.
    pub fn bytes(&self, done: u64, total: Option<u64>) {
        if matches!(self.progress, Progress::Live) {
            self.bar.bytes(done, total);
        }
    }

    /// Ends the task and says how.
    pub fn done(self, how: &str) {
        self.bar.clear();
        let seconds = self.started.elapsed().as_secs_f64();
        self.progress
            .note(&format!("{}: {how} ({seconds:.1} s)", self.name));
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.bar.clear();
    }
}
