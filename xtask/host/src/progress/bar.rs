//! The live line of a task.

use std::sync::LazyLock;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// The lines of all running tasks. They share one terminal.
static LIVE: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);

/// A spinner, or a bar once the length is known.
#[derive(Debug)]
pub(super) struct Bar(ProgressBar);

impl Bar {
    pub(super) fn start(name: &str) -> Self {
        let bar = LIVE.add(ProgressBar::new_spinner().with_message(name.to_owned()));
        bar.enable_steady_tick(Duration::from_millis(120));
        Self(bar)
    }

    pub(super) fn hidden() -> Self {
        Self(ProgressBar::hidden())
    }

    pub(super) fn bytes(&self, done: u64, total: Option<u64>) {
        if let Some(total) = total
            && self.0.length() != Some(total)
        {
            self.0.set_length(total);
            if let Ok(style) = ProgressStyle::with_template("{msg} {bar:30} {bytes}/{total_bytes}")
            {
                self.0.set_style(style);
            }
        }
        self.0.set_position(done);
    }

    pub(super) fn clear(&self) {
        self.0.finish_and_clear();
    }
}

/// Runs `print` with all bars hidden.
pub(super) fn suspend(print: impl FnOnce()) {
    LIVE.suspend(print);
}
