//! Findings as Markdown tables, for job summaries, issues and pages.

use super::Report;
use crate::error::Error;
use crate::finding::{Finding, Severity};

/// The findings of a verb, and its table if it has one.
pub(crate) fn of_report(report: &Report) -> String {
    // After its first line, the text repeats the table.
    let text = match report.table {
        Some(_) => report.text.lines().next().unwrap_or_default(),
        None => report.text.trim_end(),
    };
    let mut parts = vec![cell_text(text)];
    parts.extend(findings(&report.findings));
    parts.extend(report.table.clone());
    parts.retain(|part| !part.is_empty());
    parts.join("\n\n") + "\n"
}

/// The error that stopped a verb.
pub(crate) fn of_error(error: &Error) -> String {
    let mut parts = vec![format!("**{}**", cell_text(&error.message))];
    let lines = error.causes.iter().chain(&error.hints);
    parts.extend(lines.map(|line| cell_text(line)));
    parts.extend(findings(&error.findings));
    parts.join("\n\n") + "\n"
}

fn findings(findings: &[Finding]) -> Option<String> {
    let rows = findings.iter().map(|finding| {
        let level = match finding.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let place = finding.place.as_ref().map_or_else(String::new, |place| {
            code(&format!("{}:{}:{}", place.path, place.line, place.column))
        });
        let message = [Some(&finding.message), finding.help.as_ref()];
        let message: Vec<String> = message
            .into_iter()
            .flatten()
            .map(|text| cell_text(text))
            .collect();
        vec![
            level.to_owned(),
            code(finding.rule),
            place,
            message.join("<br>"),
        ]
    });
    let rows: Vec<Vec<String>> = rows.collect();
    (!rows.is_empty()).then(|| table(&["", "rule", "place", "what"], &rows))
}

/// A table. The cells must already be Markdown.
pub fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let head: Vec<String> = head.iter().map(|cell| (*cell).to_owned()).collect();
    let rule = vec!["---".to_owned(); head.len()];
    let mut text = line(&head) + &line(&rule);
    text.extend(rows.iter().map(|row| line(row)));
    text.trim_end().to_owned()
}

/// `text` as a literal table cell: escapes Markdown, HTML and table syntax outside of code, and turns line breaks into
/// `<br>`.
pub fn cell_text(text: &str) -> String {
    let mut out = String::new();
    let mut in_code = false;
    for c in text.chars() {
        match c {
            '`' => {
                in_code = !in_code;
                out.push(c);
            }
            '|' => out.push_str("\\|"),
            '\r' => {}
            '\n' => out.push_str("<br>"),
            '<' if !in_code => out.push_str("&lt;"),
            '*' | '_' | '[' | '@' | '#' if !in_code => {
                out.push('\\');
                out.push(c);
            }
            _ => out.push(c),
        }
    }
    out
}

/// `text` as code in a table cell.
pub fn code(text: &str) -> String {
    format!("`{}`", text.replace('`', "'").replace('|', "\\|"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_ends_a_table_cell() {
        assert_eq!(
            cell_text("a|b\r\n<script> `x|<y>_z` *_[#@"),
            "a\\|b<br>&lt;script> `x\\|<y>_z` \\*\\_\\[\\#\\@"
        );
        assert_eq!(code("a|`b`"), "`a\\|'b'`");
        let row = vec!["x".to_owned(), "y".to_owned()];
        assert_eq!(
            table(&["a", ""], &[row]),
            "| a |  |\n| --- | --- |\n| x | y |"
        );
    }
}
