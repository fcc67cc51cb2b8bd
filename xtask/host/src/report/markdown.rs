//! Findings as tables in Markdown: for the summary of a job, an issue, a page.

use super::Report;
use crate::error::Error;
use crate::finding::{Finding, Severity};

/// What a verb found, and its own table where it has one.
pub(crate) fn of_report(report: &Report) -> String {
    // Behind its first line, the text says what the table says.
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

/// What stopped a verb.
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

/// A table. The cells are Markdown already.
pub fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let head: Vec<String> = head.iter().map(|cell| (*cell).to_owned()).collect();
    let rule = vec!["---".to_owned(); head.len()];
    let mut text = line(&head) + &line(&rule);
    text.extend(rows.iter().map(|row| line(row)));
    text.trim_end().to_owned()
}

/// `text` as it is, in a cell: what Markdown, HTML or the table would take for its own is escaped,
/// outside of code; a line end becomes `<br>`.
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

/// `text` as code, in a cell.
pub fn code(text: &str) -> String {
    format!("`{}`", text.replace('`', "'").replace('|', "\\|"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_cell_ends_it() {
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
