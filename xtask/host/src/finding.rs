//! Findings: the problems that a check reports, each with file, line, column and excerpt.
//!
//! A check collects all findings before it fails, so one run shows all the work to be done.

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

use crate::outcome::Outcome;
use crate::place::Place;
use crate::reports;
use crate::say;

/// Whether a finding fails the check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// Fails the check.
    Error,
    /// Shown, but does not fail the check.
    Warning,
}

/// A problem that a check found.
#[derive(Debug, Clone)]
pub struct Finding {
    /// The identifier of the rule, which users can search for.
    pub rule: &'static str,
    /// Whether it fails the check.
    pub severity: Severity,
    /// What is wrong and what was expected.
    pub message: String,
    /// The location; `None` if the subject is missing altogether.
    pub place: Option<Place>,
    /// The next step.
    pub help: Option<String>,
    /// The outcome of the run if this is an error: [`Outcome::Findings`], unless a server is at fault.
    pub outcome: Outcome,
}

impl Finding {
    /// An error at `place`.
    pub fn error(rule: &'static str, place: Place, message: impl Into<String>) -> Self {
        Self {
            rule,
            severity: Severity::Error,
            message: message.into(),
            place: Some(place),
            help: None,
            outcome: Outcome::Findings,
        }
    }

    /// A warning at `place`.
    pub fn warning(rule: &'static str, place: Place, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(rule, place, message)
        }
    }

    /// Whether its severity is [`Severity::Error`].
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// Adds the next step.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Attributes the finding to a server that serves something else or does not answer, instead of the tree.
    #[must_use]
    pub fn with_outcome(mut self, outcome: Outcome) -> Self {
        self.outcome = outcome;
        self
    }

    /// The finding as text, with an excerpt of the source.
    pub fn render(&self, color: bool) -> String {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let message = say::shown(&self.message);
        let snippet = self.place.as_ref().map(|place| {
            let shown = |range| say::shown(&place.excerpt[range]);
            let (start, end) = (place.highlight.start, place.highlight.end);
            let (before, meant) = (shown(0..start), shown(start..end));
            let highlight = before.len()..before.len() + meant.len();
            let excerpt = format!("{before}{meant}{}", shown(end..place.excerpt.len()));
            Snippet::source(excerpt)
                .line_start(place.line)
                .path(say::shown(&place.path))
                .annotation(AnnotationKind::Primary.span(highlight))
        });
        let group = level.primary_title(&*message).id(self.rule);
        let mut group = group.elements(snippet);
        if let Some(help) = &self.help {
            group = group.element(Level::HELP.message(say::shown(help)));
        }
        let renderer = if color {
            Renderer::styled()
        } else {
            Renderer::plain()
        };
        renderer.render(&[group])
    }

    /// The finding in a JSON report.
    pub fn reported(&self) -> reports::Finding<'_> {
        let place = self.place.as_ref();
        reports::Finding {
            rule: self.rule,
            severity: match self.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
            },
            message: &self.message,
            path: place.map(|place| place.path.as_str()),
            line: place.map(|place| place.line),
            column: place.map(|place| place.column),
            excerpt: place.map(|place| place.excerpt.as_str()),
            help: self.help.as_deref(),
        }
    }
}

/// Whether any finding fails the check.
pub fn any_error(findings: &[Finding]) -> bool {
    findings.iter().any(Finding::is_error)
}
