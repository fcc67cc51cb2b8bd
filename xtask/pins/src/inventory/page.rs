//! The generated table of pins in the documentation.

use super::table::{self, Row};
use super::{Files, Inventory};
use crate::edit::{Change, Edit, Location, apply};
use xtask_host::error::{Error, Result};
use xtask_host::source::Source;
use xtask_host::workspace::Workspace;

/// The page.
pub const PATH: &str = "docs/pins.md";
const BEGIN: &str = "<!-- pins: written by `cargo xtask docs` -->\n\n";
const END: &str = "\n\n<!-- pins: end -->";

/// The change that updates the table of `page`; empty if it is up to date.
///
/// Shows offline states, so the page depends on the tree alone.
///
/// # Errors
/// If the page lacks the markers around the table, or some pins cannot be read.
pub fn refresh(page: &Source, files: &Files) -> Result<Vec<Change>> {
    let inventory = Inventory::extract(files);
    inventory.require_readable()?;
    fill(
        page,
        BEGIN,
        END,
        table::page(&Row::offline(&inventory.pins)),
    )
}

/// The change that puts `text` between the marks `begin` and `end` of `page`; none if it is already there.
///
/// # Errors
/// If a mark is missing.
pub fn fill(page: &Source, begin: &str, end: &str, text: String) -> Result<Vec<Change>> {
    let start = page.text.find(begin).map(|at| at + begin.len());
    let span = start.and_then(|start| Some(start..start + page.text[start..].find(end)?));
    let span = span.ok_or_else(|| {
        Error::findings(format!(
            "`{}` has no markers around its generated part",
            page.path
        ))
        .hint(format!("add these lines:\n{begin}{end}"))
    })?;
    apply([page], &[Edit::new(&Location::new(page, span), text)])
}

/// `changes`, and the resulting change of the page if the tree has it.
///
/// # Errors
/// If a file cannot be read, or the page lacks the markers around the table.
pub fn follow(
    workspace: &Workspace,
    files: &Files,
    mut changes: Vec<Change>,
) -> Result<Vec<Change>> {
    if workspace.root.join(PATH).exists() {
        let more = refresh(&workspace.read(PATH)?, &files.changed(&changes))?;
        changes.extend(more);
    }
    Ok(changes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::FileKind;
    use crate::{pins_env, waivers};

    fn source(path: &str, text: &str) -> Source {
        Source {
            path: path.to_owned(),
            text: text.to_owned(),
        }
    }

    /// The page for a tree with this workflow.
    fn page(workflow: &str) -> String {
        let files = Files {
            found: vec![(
                FileKind::Workflow,
                source(".github/workflows/x.yml", workflow),
            )],
            cloud_init: source(
                pins_env::CLOUD_INIT,
                include_str!("../../../../cloud-init/cloud-init.yaml"),
            ),
            toolchain: Some(source(
                crate::inventory::TOOLCHAIN,
                "[toolchain]\nchannel = \"1.2.3\"\n",
            )),
            legacy_toolchain: None,
            waivers: source(waivers::PATH, "version: 1\nwaivers: []\n"),
        };
        let before = source(PATH, &format!("# Pins\n\n{BEGIN}old{END}\n"));
        let changes = refresh(&before, &files).unwrap();
        changes[0].after.clone()
    }

    #[test]
    fn a_new_line_in_a_workflow_does_not_change_the_page() {
        let uses = "uses: o/r@de0fac2e4500dabe0009e67214ff5f5447ce83dd # v1.2.3\n";
        let workflow = format!("jobs:\n  a:\n    steps:\n      - {uses}      - {uses}");
        let text = page(&workflow);
        assert!(
            text.contains("| `.github/workflows/x.yml` job a |"),
            "{text}"
        );
        assert_eq!(text, page(&format!("# one line more\n{workflow}")));
    }
}
