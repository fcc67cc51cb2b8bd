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

/// The exact bytes of a string's text: a node's span may begin with an anchor, a tag and a quote.
///
/// Returns `None` where the text is not one piece of the file: an escape, a folded line.
pub fn text_span(source: &Source, node: &Node) -> Option<Range<usize>> {
    let text = node.text()?;
    let slice = &source.text[node.span.clone()];
    let mut rest = slice;
    while rest.starts_with(['&', '!']) {
        let end = rest.find(char::is_whitespace)?;
        rest = rest[end..].trim_start();
    }
    let rest = rest.strip_prefix(['\'', '"']).unwrap_or(rest);
    let start = node.span.start + slice.len() - rest.len();
    rest.starts_with(text).then(|| start..start + text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_a_string_is_found_behind_anchor_tag_and_quote() {
        for (text, expected) in [
            ("a: v1\n", Some(3)),
            ("a: &v1 v1\n", Some(7)),
            ("a: !!str &v1 'v1' # v1\n", Some(14)),
            ("a: \"v1\"\r\n", Some(4)),
            ("a: &x\n  v1\n", Some(8)),
            ("a: \"v\\x31\"\n", None),
            ("a: 'it''s'\n", None),
            ("a: v\n  1\n", None),
            ("a: 1\n", None),
        ] {
            let source = Source {
                path: "x.yml".to_owned(),
                text: text.to_owned(),
            };
            let root = parse(&source).unwrap();
            let span = text_span(&source, root.get("a").unwrap());
            let start = span.as_ref().map(|span| span.start);
            assert_eq!(start, expected, "{text:?}");
            assert!(span.is_none_or(|span| &text[span] == "v1"), "{text:?}");
        }
    }
}
