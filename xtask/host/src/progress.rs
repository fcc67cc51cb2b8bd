//! Progress of long work: a bar or spinner on a terminal, plain lines elsewhere, nothing with
//! `--quiet`. Always on standard error; standard output belongs to results.

use std::io::{IsTerminal, stderr};
use std::sync::LazyLock;
use std::time::Instant;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::say;

/// The live lines of all tasks under way: there is one terminal.
static LIVE: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);

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

/// A task under way. It says that it has ended when [`Task::done`] is called; dropped before,
/// it leaves no such claim.
#[derive(Debug)]
pub struct Task {
    progress: Progress,
    bar: ProgressBar,
    name: String,
    started: Instant,
}

impl Progress {
    /// What suits this run.
    pub fn new(quiet: bool) -> Self {
        match (quiet, stderr().is_terminal()) {
            (true, _) => Self::Silent,
            (false, true) => Self::Live,
            (false, false) => Self::Lines,
        }
    }

    /// Starts a task of unknown length.
    pub fn task(self, name: impl Into<String>) -> Task {
        let name = say::shown(&name.into()).into_owned();
        let bar = match self {
            Self::Live => {
                let bar = LIVE.add(ProgressBar::new_spinner().with_message(name.clone()));
                bar.enable_steady_tick(std::time::Duration::from_millis(120));
                bar
            }
            Self::Lines => {
                say::note(&format!("{name} ..."));
                ProgressBar::hidden()
            }
            Self::Silent => ProgressBar::hidden(),
        };
        Task {
            progress: self,
            bar,
            name,
            started: Instant::now(),
        }
    }

    /// Says something in passing.
    pub fn note(self, text: &str) {
        match self {
            Self::Silent => {}
            Self::Lines => say::note(text),
            Self::Live => LIVE.suspend(|| say::note(text)),
        }
    }
}

impl Task {
    /// Tells how far it is, in bytes; the total where it is known.
    pub fn bytes(&self, done: u64, total: Option<u64>) {
        if let (Progress::Live, Some(total)) = (self.progress, total)
            && self.bar.length() != Some(total)
        {
            self.bar.set_length(total);
            if let Ok(style) = ProgressStyle::with_template("{msg} {bar:30} {bytes}/{total_bytes}")
            {
                self.bar.set_style(style);
            }
        }
        self.bar.set_position(done);
    }

    /// Says that the task has ended, and how.
    pub fn done(self, how: &str) {
        self.bar.finish_and_clear();
        let seconds = self.started.elapsed().as_secs_f64();
        self.progress
            .note(&format!("{}: {how} ({seconds:.1} s)", self.name));
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
