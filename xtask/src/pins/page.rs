//! The page of the documentation that lists every pin; its table is generated.

use super::edit::{Change, Edit, apply};
use super::table::{self, Row};
use super::{At, Files, Inventory};
use crate::error::{Error, Result};
use crate::source::Source;

/// Where the page stands in the tree.
pub const PATH: &str = "docs/pins.md";
const BEGIN: &str = "<!-- pins: written by `cargo xtask docs` -->\n\n";
const END: &str = "\n\n<!-- pins: end -->";

/// The change that makes the table of `page` that of `files`; none where it is that already.
///
/// The states are those that the files tell, so that the page depends on the tree alone.
///
/// # Errors
/// When the page lacks the marks around the table, or the pins cannot all be read.
pub fn refresh(page: &Source, files: &Files) -> Result<Vec<Change>> {
    let inventory = Inventory::extract(files);
    inventory.require_readable()?;
    let begin = page.text.find(BEGIN).map(|at| at + BEGIN.len());
    let span = begin.and_then(|begin| Some(begin..begin + page.text[begin..].find(END)?));
    let span = span.ok_or_else(|| {
        Error::findings(format!("`{}` has no place for the table", page.path))
            .hint(format!("write into it:\n{BEGIN}{}", END))
    })?;
    let table = table::markdown(&Row::offline(&inventory.pins));
    let edit = Edit::new(&At::new(page, span), table);
    apply([page], &[edit])
}
