//! Progress of long operations: a bar or spinner on a terminal, plain lines elsewhere, nothing with `--quiet`. Always
//! on standard error, because standard output is reserved for results.
//!
//! Bars need the feature `bars`. Offline verbs have no use for them, so they do not compile it.

#[cfg(feature = "bars")]
mod bar;
#[cfg(not(feature = "bars"))]
#[path = "progress/no_bar.rs"]
mod bar;

use std::io::{IsTerminal, stderr};
use std::time::Instant;

use crate::say;

use bar::Bar;

/// How progress is shown.
#[derive(Debug, Clone, Copy)]
pub enum Progress {
    /// Not at all.
    Silent,
    /// A line when a task starts and one when it ends.
    Lines,
    /// A live line on a terminal.
    Live,
}

/// A running task. If it is dropped before [`Task::done`], it is not reported as done.
#[derive(Debug)]
pub struct Task {
    progress: Progress,
    bar: Bar,
    name: String,
    started: Instant,
}

impl Progress {
    /// The mode for this run: silent, lines or live.
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

    /// Prints a line, above the bars if there are any.
    pub fn note(self, text: &str) {
        match self {
            Self::Silent => {}
            Self::Lines => say::note(text),
            Self::Live => bar::suspend(|| say::note(text)),
        }
    }
}

impl Task {
    /// Updates the number of bytes done, of `total` if known.
    pub fn bytes(&self, done: u64, total: Option<u64>) {
        if matches!(self.progress, Progress::Live) {
            self.bar.bytes(done, total);
        }
    }

    /// Finishes the task and prints `how` it ended.
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
