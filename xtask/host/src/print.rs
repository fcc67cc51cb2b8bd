//! Prints the result of a verb in the requested format.

use std::fs;
use std::io::{self, IsTerminal, Write};

use serde_json::Value;

use crate::error::{Error, Outcome};
use crate::finding::Finding;
use crate::options::Format;
use crate::report::{self, Report, github, markdown, sarif};
use crate::reports::{Document, Failure};
use crate::say;

/// Prints the result of a verb in `format` and returns the exit code.
///
/// In the human format, findings and errors go to standard error, facts to standard output.
pub fn finish(verb: &'static str, format: Format, result: Result<Report, Error>) -> u8 {
    let outcome = match &result {
        Ok(report) => report.outcome(),
        Err(error) => error.outcome,
    };
    let printed = match (&result, format) {
        (Ok(report), Format::Human) => print_human(report),
        (Err(error), Format::Human) => {
            say::note(&error.to_string());
            Ok(())
        }
        (Ok(report), Format::Json) => print_json(&report_json(report)),
        (Err(error), Format::Json) => print_json(&error_json(verb, error)),
        (Ok(report), Format::Sarif) => print_json(&sarif::of_report(report)),
        (Err(error), Format::Sarif) => print_json(&sarif::of_error(verb, error)),
        (Ok(report), Format::Markdown) => print(&markdown::of_report(report)),
        (Err(error), Format::Markdown) => print(&markdown::of_error(error)),
        (Ok(report), Format::Github) => {
            print(&github::of_report(report)).and_then(|()| summarize(&github::summary(report)))
        }
        (Err(error), Format::Github) => print(&github::of_error(verb, error))
            .and_then(|()| summarize(&github::summary_of_error(verb, error))),
    };
    match printed {
        Ok(()) => outcome.code(),
        // The reader of the pipe has closed it.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => outcome.code(),
        Err(error) => {
            let failed = Error::machine("cannot write the result").because(error.to_string());
            say::note(&failed.to_string());
            Outcome::Machine.code()
        }
    }
}

fn print_json(document: &Value) -> io::Result<()> {
    say::result(&say::shown_json(document))
}

fn print(text: &str) -> io::Result<()> {
    say::result(&say::shown(text))
}

/// Appends to the job summary of GitHub Actions, if there is one.
fn summarize(text: &str) -> io::Result<()> {
    let Some(path) = std::env::var_os("GITHUB_STEP_SUMMARY").filter(|path| !path.is_empty()) else {
        return Ok(());
    };
    let mut options = fs::OpenOptions::new();
    let mut file = options.append(true).create(true).open(path)?;
    writeln!(file, "{}", say::shown(text))
}

fn print_human(report: &Report) -> io::Result<()> {
    let color = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    for finding in &report.findings {
        // The colours are ours; control sequences in the finding's own text are already escaped.
        let _ = writeln!(io::stderr().lock(), "{}\n", finding.render(color));
    }
    match report.text.trim_end() {
        "" => Ok(()),
        text => print(&format!("{text}\n")),
    }
}

fn report_json(report: &Report) -> Value {
    report::json(Document {
        version: Document::VERSION,
        verb: report.verb,
        outcome: report.outcome().word(),
        findings: report.findings.iter().map(Finding::reported).collect(),
        data: Some(&report.data),
        error: None,
    })
}

fn error_json(verb: &str, error: &Error) -> Value {
    report::json(Document {
        version: Document::VERSION,
        verb,
        outcome: error.outcome.word(),
        findings: error.findings.iter().map(Finding::reported).collect(),
        data: None,
        error: Some(Failure {
            message: &error.message,
            causes: &error.causes,
            hints: &error.hints,
        }),
    })
}
