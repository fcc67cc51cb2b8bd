//! `docs`: writes the generated parts of the documentation.

use serde_json::json;

use crate::cli::DocsArgs;
use xtask_host::error::{Outcome, Result};
use xtask_host::report::Report;
use xtask_host::workspace::Workspace;
use xtask_pins::edit;
use xtask_pins::inventory::{Files, page};

/// Runs the verb.
///
/// # Errors
/// When a file cannot be read or written, or the page has no place for the table.
pub fn run(workspace: &Workspace, args: &DocsArgs) -> Result<Report> {
    let files = Files::read(&workspace.root)?;
    let changes = page::refresh(&workspace.read(page::PATH)?, &files)?;
    if !args.check {
        edit::write(&workspace.root, &changes)?;
    }
    let text = match args.check {
        _ if changes.is_empty() => format!("`{}` is as the tree says", page::PATH),
        true => format!(
            "{}would change; run `cargo xtask docs`",
            edit::diff(&changes)
        ),
        false => format!("written to {}", page::PATH),
    };
    let data = json!({
        "written": !args.check && !changes.is_empty(),
        "diff": edit::diff(&changes),
    });
    let mut report = Report::new("docs", data, text);
    if args.check && !changes.is_empty() {
        report.outcome = Outcome::Findings;
    }
    Ok(report)
}
