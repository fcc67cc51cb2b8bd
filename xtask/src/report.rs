//! What a verb returns: the findings, the data and the words, printed in one place.
//!
//! In JSON a verb prints exactly one document on standard output, described by
//! `schemas/report.schema.json`; people get the same facts as text.

use std::io::{self, IsTerminal, Write};

use serde_json::{Value, json};

use crate::cli::Format;
use crate::error::{Error, Outcome};
use crate::finding::{Finding, any_error};

/// The version of the JSON report; it grows when a field changes its meaning.
pub const REPORT_VERSION: u32 = 1;

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
}

impl Report {
    /// A report that went well.
    pub fn new(verb: &'static str, data: Value, text: impl Into<String>) -> Self {
        Self {
            verb,
            outcome: Outcome::Ok,
            findings: Vec::new(),
            data,
            text: text.into(),
        }
    }

    /// Adds findings.
    #[must_use]
    pub fn with_findings(mut self, findings: Vec<Finding>) -> Self {
        self.findings.extend(findings);
        self
    }

    /// The most severe of the verb's own outcome and its findings.
    pub fn outcome(&self) -> Outcome {
        if any_error(&self.findings) {
            self.outcome.max(Outcome::Findings)
        } else {
            self.outcome
        }
    }
}

/// Prints a verb's result in `format` and returns the exit code.
///
/// Text for people: findings and errors on standard error, facts on standard output.
pub fn finish(verb: &'static str, format: Format, result: Result<Report, Error>) -> u8 {
    let (outcome, printed) = match (&result, format) {
        (Ok(report), Format::Json) => (report.outcome(), print_json(&report_json(report))),
        (Err(error), Format::Json) => (error.outcome, print_json(&error_json(verb, error))),
        (Ok(report), Format::Human) => (report.outcome(), print_human(report)),
        (Err(error), Format::Human) => (error.outcome, writeln!(io::stderr(), "{error}")),
    };
    match printed {
        Ok(()) => outcome.code(),
        // The reader has gone away; there is nobody left to tell.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => outcome.code(),
        Err(_) => Outcome::Machine.code(),
    }
}

fn print_json(document: &Value) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{document:#}")
}

fn print_human(report: &Report) -> io::Result<()> {
    let color = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    for finding in &report.findings {
        writeln!(io::stderr().lock(), "{}\n", finding.render(color))?;
    }
    let text = report.text.trim_end();
    if text.is_empty() {
        return Ok(());
    }
    writeln!(io::stdout().lock(), "{text}")
}

fn report_json(report: &Report) -> Value {
    json!({
        "version": REPORT_VERSION,
        "verb": report.verb,
        "outcome": report.outcome().word(),
        "findings": report.findings.iter().map(Finding::to_json).collect::<Vec<_>>(),
        "data": report.data,
        "error": Value::Null,
    })
}

fn error_json(verb: &str, error: &Error) -> Value {
    json!({
        "version": REPORT_VERSION,
        "verb": verb,
        "outcome": error.outcome.word(),
        "findings": error.findings.iter().map(Finding::to_json).collect::<Vec<_>>(),
        "data": Value::Null,
        "error": {"message": error.message, "causes": error.causes, "hints": error.hints},
    })
}
