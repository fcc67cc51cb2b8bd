//! What the user sees while something takes long: on a terminal the steps that have ended, with a mark and their times, and
//! below them one line that moves; elsewhere a line for each thing that happens. Always on standard error.
//!
//! The line that moves never hides the cursor and never wraps, so that nothing has to be mended after a signal or a panic.

use std::ffi::OsString;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use polis_base::shown::shown;

use crate::error::cut;
use crate::guest::provision::Progress;
use crate::multipass::{screen, size};
use crate::output::{self, Printer};

/// How a step that has ended is marked.
const SUCCEEDED: &str = "✓";
const FAILED: &str = "✗";

/// The view of one run. A step that has not ended when it is dropped has failed.
#[derive(Debug)]
pub(crate) struct View {
    bar: Option<ProgressBar>,
    lines: bool,
    title: String,
    since: Instant,
    told: Vec<String>,
}

impl View {
    /// Nothing yet.
    pub(crate) fn new(output: Printer, verbose: bool) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let wanted = !verbose && !output.is_quiet() && !output.is_json();
        let bar = (wanted && may_move(terminal, |name| std::env::var_os(name))).then(|| {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg} {elapsed}") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        Self {
            lines: !output.is_quiet() && bar.is_none(),
            bar,
            title: String::new(),
            since: Instant::now(),
            told: Vec::new(),
        }
    }

    /// Nothing yet; elsewhere than on a terminal it stays so.
    pub(crate) fn moving(output: Printer, verbose: bool) -> Self {
        let mut view = Self::new(output, verbose);
        view.lines = false;
        view
    }

    /// How many bytes the step has done.
    pub(crate) fn bytes(&self, count: u64) {
        if let Some(bar) = &self.bar {
            self.now(bar, &size::words(count));
        }
    }

    /// A step begins; one that was under way is done.
    pub(crate) fn step(&mut self, title: &str) {
        if !self.title.is_empty() {
            self.done();
        }
        title.clone_into(&mut self.title);
        self.since = Instant::now();
        self.told.clear();
        match &self.bar {
            Some(bar) => {
                bar.reset_elapsed();
                bar.set_message(title.to_owned());
            }
            None => self.line(title),
        }
    }

    /// How it is with the step; said once each.
    pub(crate) fn detail(&mut self, detail: &str) {
        if detail.is_empty() || self.told.last().is_some_and(|last| last == detail) {
            return;
        }
        self.told.push(detail.to_owned());
        match &self.bar {
            Some(bar) => self.now(bar, detail),
            None => self.line(&format!("  {detail}")),
        }
    }

    /// How it is with the step, where that changes all the time; elsewhere than on a terminal only `rarely`.
    pub(crate) fn counted(&mut self, often: &str, rarely: &str) {
        match &self.bar {
            Some(bar) => self.now(bar, often),
            None => self.detail(rarely),
        }
    }

    /// What `who` said about the step.
    pub(crate) fn quote(&mut self, who: &str, said: &str) {
        self.detail(&format!("{who}: {}", cut(said)));
    }

    /// How far Multipass is, from what it has printed so far: on a terminal its newest stage, elsewhere each stage once.
    pub(crate) fn stages(&mut self, printed: &str) {
        let stages = screen::stages(printed);
        if let Some(bar) = &self.bar {
            if let Some(newest) = stages.last() {
                self.now(bar, newest);
            }
            return;
        }
        for stage in &stages {
            // Its percentage would make it another one each time.
            let name = stage.split(": ").next().unwrap_or(stage);
            if !self.told.iter().any(|told| told == name) {
                self.told.push(name.to_owned());
                self.line(&format!("  multipass: {}", cut(name)));
            }
        }
    }

    /// How far the provisioning is: its steps with their times, and on a terminal its last line.
    pub(crate) fn provisioning(&mut self, progress: &Progress) {
        for step in &progress.steps {
            let told = match step.state.as_str() {
                "start" => format!("{} ...", step.name),
                state => format!("{} {state} ({} s)", step.name, step.seconds),
            };
            if !self.told.contains(&told) {
                self.told.push(told.clone());
                match &self.bar {
                    Some(bar) if step.state != "start" => {
                        bar.println(format!("  {}", shown(&told)));
                    }
                    Some(_) => {}
                    None => self.line(&format!("  {told}")),
                }
            }
        }
        if let (Some(bar), Some(step)) = (&self.bar, progress.current()) {
            self.now(bar, &format!("{step}: {}", progress.last_line));
        }
    }

    /// The step is done; returns how long it took.
    pub(crate) fn done(&mut self) -> Duration {
        let took = self.since.elapsed();
        self.ended(&output::good(SUCCEEDED), took);
        took
    }

    fn ended(&mut self, mark: &str, took: Duration) {
        let title = std::mem::take(&mut self.title);
        if let Some(bar) = &self.bar {
            bar.set_message("");
            bar.println(format!("{mark} {} ({} s)", shown(&title), took.as_secs()));
        }
    }

    /// Shows on the terminal's line how it is with the step.
    fn now(&self, bar: &ProgressBar, text: &str) {
        bar.set_message(format!("{}: {}", self.title, shown(&cut(text))));
    }

    fn line(&self, text: &str) {
        if self.lines {
            output::tell(text);
        }
    }
}

/// Whether a line may move: on a terminal that can do that, unless the environment asks for plain lines.
fn may_move(terminal: bool, environment: impl Fn(&str) -> Option<OsString>) -> bool {
    let set = |name| environment(name).is_some_and(|value| !value.is_empty());
    let dumb = environment("TERM").is_some_and(|term| term == "dumb");
    terminal && !dumb && !set("CI") && !set("NO_COLOR")
}

impl Drop for View {
    fn drop(&mut self) {
        if !self.title.is_empty() {
            let took = self.since.elapsed();
            self.ended(&output::bad(FAILED), took);
        }
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_move_only_where_they_can() {
        let with = |terminal, name: &'static str, value: &'static str| {
            may_move(terminal, |asked| (asked == name).then(|| value.into()))
        };
        assert!(with(true, "TERM", "xterm-256color") && with(true, "", ""));
        assert!(with(true, "CI", "") && with(true, "NO_COLOR", ""));
        assert!(!with(false, "TERM", "xterm"));
        assert!(!with(true, "TERM", "dumb"));
        assert!(!with(true, "CI", "true") && !with(true, "NO_COLOR", "1"));
    }
}
