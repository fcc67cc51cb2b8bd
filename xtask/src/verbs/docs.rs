//! `docs`: writes the generated parts of the documentation.

mod crates;

use crate::cli::DocsArgs;
use xtask_host::error::{Outcome, Result};
use xtask_host::report::Report;
use xtask_host::reports::Docs;
use xtask_host::workspace::Workspace;
use xtask_pins::edit;
use xtask_pins::inventory::{Files, page};

/// # Errors
/// If a file cannot be read or written, or a page lacks the markers around its generated part.
pub fn run(workspace: &Workspace, args: &DocsArgs) -> Result<Report> {
    let files = Files::read(&workspace.root)?;
    let mut changes = page::refresh(&workspace.read(page::PATH)?, &files)?;
    // A copy of the tree may contain only the files that the offline checks read.
    if workspace.root.join(crates::PAGE).exists() {
        let section = crates::section(workspace)?;
        let page = workspace.read(crates::PAGE)?;
        changes.extend(page::fill(&page, crates::BEGIN, crates::END, section)?);
    }
    if !args.check {
        edit::write(&workspace.root, &changes)?;
    }
    let stale = !changes.is_empty();
    let text = match (args.check, stale) {
        (_, false) => "the generated parts of the documentation are up to date".to_owned(),
        (true, true) => format!(
            "{}would change; run `cargo xtask docs`",
            edit::diff(&changes)
        ),
        (false, true) => {
            let paths: Vec<&str> = changes.iter().map(|change| change.path.as_str()).collect();
            format!("updated {}", paths.join(" and "))
        }
    };
    let data = Docs {
        written: !args.check && stale,
        diff: edit::diff(&changes),
    };
    let mut report = Report::new("docs", data, text);
    if args.check && stale {
        report.outcome = Outcome::Findings;
    }
    Ok(report)
}
