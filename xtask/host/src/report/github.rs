//! Findings for GitHub Actions: workflow commands, which become annotations in the diff, and a job summary in Markdown.

use super::{Report, markdown};
use crate::error::Error;
use crate::finding::{Finding, Severity};

/// The workflow commands for a verb's findings, followed by its text.
pub(crate) fn of_report(report: &Report) -> String {
    let mut text: String = report.findings.iter().map(command).collect();
    // Without escaping, a line of text could be taken for a workflow command.
    for line in report.text.trim_end().lines() {
        text.push_str(line.trim_start_matches("::"));
        text.push('\n');
    }
    text
}

/// The workflow commands for an error.
pub(crate) fn of_error(verb: &str, error: &Error) -> String {
    let mut text: String = error.findings.iter().map(command).collect();
    let lines = [
        vec![error.message.clone()],
        error.causes.clone(),
        error.hints.clone(),
    ]
    .concat();
    let title = property(&format!("cargo xtask {verb}"));
    text.push_str(&format!(
        "::error title={title}::{}\n",
        data(&lines.join("\n"))
    ));
    text
}

/// The job summary of a verb that ran to completion.
pub(crate) fn summary(report: &Report) -> String {
    let head = heading(report.verb, report.outcome().word());
    format!("{head}{}", markdown::of_report(report))
}

/// The job summary of a verb that failed.
pub(crate) fn summary_of_error(verb: &str, error: &Error) -> String {
    let head = heading(verb, error.outcome.word());
    format!("{head}{}", markdown::of_error(error))
}

fn heading(verb: &str, outcome: &str) -> String {
    format!("## `cargo xtask {verb}`: {outcome}\n\n")
}

fn command(finding: &Finding) -> String {
    let level = match finding.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let mut properties = Vec::new();
    if let Some(place) = &finding.place {
        properties.push(format!("file={}", property(&place.path)));
        properties.push(format!("line={}", place.line));
        properties.push(format!("col={}", place.column));
        properties.push(format!("endColumn={}", place.end_column()));
    }
    properties.push(format!("title={}", property(finding.rule)));
    let message = match &finding.help {
        Some(help) => format!("{}\n{help}", finding.message),
        None => finding.message.clone(),
    };
    format!("::{level} {}::{}\n", properties.join(","), data(&message))
}

/// Escapes a command's message as GitHub's own toolkit does.
fn data(text: &str) -> String {
    text.replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

/// Escapes a property, which ends at a comma or colon.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Source;

    #[test]
    fn commands_are_escaped_as_githubs_toolkit_does() {
        let source = Source {
            path: "a,b:c.yml".to_owned(),
            text: "x: é=ü\n".to_owned(),
        };
        let finding =
            Finding::warning("rule", source.place(3..8), "100%\r\n::error::x: a, b").help("next");
        assert_eq!(
            command(&finding),
            "::warning file=a%2Cb%3Ac.yml,line=1,col=4,endColumn=7,title=rule::100%25%0D%0A::error::x: a, b%0Anext\n"
        );
    }
}
