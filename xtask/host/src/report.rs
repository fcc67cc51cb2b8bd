//! The result of a verb: findings, data and text, all printed in one place.
//!
//! As JSON, a verb prints exactly one document on standard output, described by `schemas/report.schema.json`; the text
//! holds the same facts. Findings can also be printed as SARIF, workflow commands of GitHub Actions, and Markdown.

pub(crate) mod github;
pub mod markdown;
pub(crate) mod sarif;

use serde::Serialize;
use serde_json::Value;

use crate::error::Outcome;
use crate::finding::{Finding, Severity};

/// The result of a verb that ran to completion.
#[derive(Debug)]
pub struct Report {
    /// The verb, as typed by the user.
    pub verb: &'static str,
    /// The outcome without the findings, which can only make it worse.
    pub outcome: Outcome,
    /// The findings.
    pub findings: Vec<Finding>,
    /// The result as data.
    pub data: Value,
    /// The result as text: whole lines, without the findings.
    pub text: String,
    /// The result as a Markdown table, for verbs that have one.
    pub table: Option<String>,
}

impl Report {
    /// A successful report. `data` is one of [`crate::reports`].
    ///
    /// # Panics
    /// If `data` has keys that are not strings.
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

    /// Adds the table for Markdown.
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

    /// The more severe of the verb's own outcome and that of its findings.
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
