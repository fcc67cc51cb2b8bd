//! YAML with the place of every node, and its errors as findings in their file.

use std::ops::Range;

pub use xtask_yaml::{Node, Value};

use crate::finding::Finding;
use crate::source::Source;

/// Parses a source that holds exactly one document.
///
/// # Errors
/// One finding: a syntax error, a tab, a duplicate key, an unknown alias, no document or several.
pub fn parse(source: &Source) -> Result<Node, Box<Finding>> {
    xtask_yaml::parse(&source.text).map_err(|wrong| {
        let finding = Finding::error(wrong.rule, source.place(wrong.span), wrong.message);
        let help = wrong.help.map(str::to_owned);
        Box::new(Finding { help, ..finding })
    })
}

/// What `source` uses beyond plain maps, lists and scalars, each with its bytes: see [`xtask_yaml::beyond_plain`].
pub fn beyond_plain(source: &Source) -> Vec<(Range<usize>, &'static str)> {
    xtask_yaml::beyond_plain(&source.text)
}
