//! Times the stages of a release: a heading for each stage, and a table at the end.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use xtask_host::error::Result;
use xtask_host::progress::Progress;

/// The stages that have run, with their times.
#[derive(Debug)]
pub(crate) struct Times {
    progress: Progress,
    rows: Vec<(&'static str, Duration)>,
}

impl Times {
    pub(crate) fn new(progress: Progress) -> Self {
        Self {
            progress,
            rows: Vec::new(),
        }
    }

    /// Runs the stage `name`.
    ///
    /// # Errors
    /// Those of the stage, with its name.
    pub(crate) async fn stage<T>(
        &mut self,
        name: &'static str,
        stage: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        self.progress.note(&format!("== {name}"));
        let started = Instant::now();
        let result = Box::pin(stage).await;
        self.rows.push((name, started.elapsed()));
        result.map_err(|error| error.because(format!("in the stage `{name}` of the release")))
    }

    /// The table.
    pub(crate) fn to_text(&self) -> String {
        let total: Duration = self.rows.iter().map(|(_, time)| *time).sum();
        let rows = self.rows.iter().copied().chain([("total", total)]);
        rows.map(|(name, time)| format!("  {name:<10} {:>6.1} s\n", time.as_secs_f64()))
            .collect()
    }

    /// The times as they appear in a JSON report, in seconds.
    pub(crate) fn seconds(&self) -> BTreeMap<String, f64> {
        let rows = self.rows.iter();
        rows.map(|(name, time)| ((*name).to_owned(), time.as_secs_f64()))
            .collect()
    }
}
