//! What a verb returns: the findings, the data and the words, printed in one place.
//!
//! In JSON a verb prints exactly one document on standard output, described by
//! `schemas/report.schema.json`; people get the same facts as text. What verbs find is also
//! printed as SARIF, as commands of GitHub Actions, and as Markdown.

pub(crate) mod github;
pub mod markdown;
pub(crate) mod sarif;

use serde::Serialize;
use serde_json::Value;

use crate::error::Outcome;
use crate::finding::{Finding, Severity};

/// The result of a verb that ran to its end.
#[derive(Debug)]
pub struct Report {
    /// The verb, as typed.
    pub verb: &'static str,
    /// How it ended, unless a finding makes it worse.
    pub outcome: Outcome,
    /// What it found.
    pub findings: Vec<Finding>,
    /// The facts for programs.
    pub data: Value,
    /// The same for people: whole lines, without the findings.
    pub text: String,
    /// A table for Markdown, where the verb has one.
    pub table: Option<String>,
}

impl Report {
    /// A report that went well. `data` is one of [`crate::reports`].
    ///
    /// # Panics
    /// When `data` has keys that are no strings.
    pub fn new(verb: &'static str, data: impl Serialize, text: impl Into<String>) -> Self {
        Self {
            verb,
            outcome: Outcome::Ok,
            findings: Vec::new(),
            data: json(data),
            text: text.into(),
            table: None,
        }
    }

    /// Adds the fields of `more` to the data.
    ///
    /// # Panics
    /// As [`Self::new`].
    pub fn add(&mut self, more: impl Serialize) {
        if let (Value::Object(data), Value::Object(more)) = (&mut self.data, json(more)) {
            data.extend(more);
        }
    }

    /// Adds the table that Markdown shows.
    #[must_use]
    pub fn with_table(mut self, table: String) -> Self {
        self.table = Some(table);
        self
    }

    /// Adds findings.
    #[must_use]
    pub fn with_findings(mut self, findings: Vec<Finding>) -> Self {
        self.findings.extend(findings);
        self
    }

    /// The most severe of the verb's own outcome and its findings.
    pub fn outcome(&self) -> Outcome {
        let findings = self.findings.iter();
        let errors = findings.filter(|finding| finding.severity == Severity::Error);
        errors.fold(self.outcome, |outcome, finding| {
            outcome.max(finding.outcome)
        })
    }
}

/// `data` as it is printed.
pub(crate) fn json(data: impl Serialize) -> Value {
    serde_json::to_value(data).expect("data whose keys are strings")
}
