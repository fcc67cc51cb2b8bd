//! Progress on standard error. On a terminal: the finished steps, each with a mark and its time, above one line that
//! changes. Elsewhere: a line for each event.
//!
//! That line never hides the cursor and never wraps, so a signal or a panic leaves nothing to restore.

use std::ffi::OsString;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use polis_base::shown::shown;

use crate::error::cut;
use crate::guest::provision::Progress;
use crate::multipass::{screen, size};
use crate::output::{self, Printer};

/// The marks of finished steps.
const SUCCEEDED: &str = "✓";
const FAILED: &str = "✗";

/// The progress of one run. A step that is open when this is dropped counts as failed.
#[derive(Debug)]
pub(crate) struct View {
    bar: Option<ProgressBar>,
    lines: bool,
    title: String,
    since: Instant,
    told: Vec<String>,
}

impl View {
    pub(crate) fn new(output: Printer, verbose: bool) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let wanted = !verbose && !output.is_quiet() && !output.is_json();
        let bar = (wanted && may_redraw(terminal, |name| std::env::var_os(name))).then(|| {
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

    /// Progress that is shown on a terminal only.
    pub(crate) fn moving(output: Printer, verbose: bool) -> Self {
        let mut view = Self::new(output, verbose);
        view.lines = false;
        view
    }

    /// Shows how many bytes the step has processed.
    pub(crate) fn bytes(&self, count: u64) {
        if let Some(bar) = &self.bar {
            self.now(bar, &size::words(count));
        }
    }

    /// Begins a step, and ends the one before it.
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

    /// Shows a detail of the step, once.
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

    /// Shows a counter: `often` on a terminal, elsewhere only `rarely`.
    pub(crate) fn counted(&mut self, often: &str, rarely: &str) {
        match &self.bar {
            Some(bar) => self.now(bar, often),
            None => self.detail(rarely),
        }
    }

    /// Shows what `who` printed.
    pub(crate) fn quote(&mut self, who: &str, said: &str) {
        self.detail(&format!("{who}: {}", cut(said)));
    }

    /// Shows the stages in Multipass's output: on a terminal the newest, elsewhere each one once.
    pub(crate) fn stages(&mut self, printed: &str) {
        let stages = screen::stages(printed);
        if let Some(bar) = &self.bar {
            if let Some(newest) = stages.last() {
                self.now(bar, newest);
            }
            return;
        }
        for stage in &stages {
            // Without its percentage, which changes all the time.
            let name = stage.split(": ").next().unwrap_or(stage);
            if !self.told.iter().any(|told| told == name) {
                self.told.push(name.to_owned());
                self.line(&format!("  multipass: {}", cut(name)));
            }
        }
    }

    /// Shows the provisioning's steps with their times, and on a terminal its last line.
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

    /// Ends the step; returns how long it took.
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

    /// Shows `text` beside the step's title on the changing line.
    fn now(&self, bar: &ProgressBar, text: &str) {
        bar.set_message(format!("{}: {}", self.title, shown(&cut(text))));
    }

    fn line(&self, text: &str) {
        if self.lines {
            output::tell(text);
        }
    }
}

/// Whether a line may change in place: on a capable terminal, unless the environment asks for plain lines.
fn may_redraw(terminal: bool, environment: impl Fn(&str) -> Option<OsString>) -> bool {
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
    fn progress_lines_need_a_capable_terminal() {
        let with = |terminal, name: &'static str, value: &'static str| {
            may_redraw(terminal, |asked| (asked == name).then(|| value.into()))
        };
        assert!(with(true, "TERM", "xterm-256color") && with(true, "", ""));
        assert!(with(true, "CI", "") && with(true, "NO_COLOR", ""));
        assert!(!with(false, "TERM", "xterm"));
        assert!(!with(true, "TERM", "dumb"));
        assert!(!with(true, "CI", "true") && !with(true, "NO_COLOR", "1"));
    }
}
