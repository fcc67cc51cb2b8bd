//! YAML with the location of every node. Errors are findings.

use std::ops::Range;

pub use xtask_yaml::{Node, Value};

use crate::mapped::Mapped;
use xtask_host::finding::Finding;
use xtask_host::source::Source;

/// Parses a source that holds exactly one document.
///
/// # Errors
/// A syntax error, a tab, a duplicate key, an unknown alias, no document or several.
pub fn parse(source: &Source) -> Result<Node, Box<Finding>> {
    xtask_yaml::parse(&source.text).map_err(|wrong| {
        let finding = Finding::error(wrong.rule, source.place(wrong.span), wrong.message);
        let help = wrong.help.map(str::to_owned);
        Box::new(Finding { help, ..finding })
    })
}

/// Features of YAML beyond plain maps, lists and scalars: see [`xtask_yaml::beyond_plain`].
pub fn beyond_plain(source: &Source) -> Vec<(Range<usize>, &'static str)> {
    xtask_yaml::beyond_plain(&source.text)
}

/// The bytes of a string without anchor, tag and quotes, which are part of the node's span.
///
/// `None` if an escape or a folded line makes the text differ from the file.
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

/// The text of a scalar with the origin of each byte. Also for block scalars, which lose their indentation, and folded
/// ones, which lose their line ends. With escapes, only the start is known.
pub fn mapped(source: &Source, node: &Node) -> Mapped {
    let Some(text) = node.text() else {
        return Mapped::default();
    };
    if let Some(span) = text_span(source, node) {
        return Mapped::of(&source.text, span);
    }
    let mut mapped = Mapped::default();
    let mut at = node.span.start;
    for line in text.split_inclusive('\n') {
        at = whole_line(source, line, at, &mut mapped)
            .or_else(|| by_letter(source, line, at, &mut mapped))
            .unwrap_or(source.text.len() + 1);
        if at > source.text.len() {
            return Mapped::somewhere(text, node.span.start);
        }
    }
    mapped
}

/// Appends a line that is in the file verbatim, after indentation. Returns the offset after it.
fn whole_line(source: &Source, line: &str, at: usize, into: &mut Mapped) -> Option<usize> {
    let blank = |text: &str| text.len() - text.trim_start_matches(' ').len();
    let at = at + blank(&source.text[at..]).checked_sub(blank(line))?;
    let found = source.text[at..].starts_with(line) && line.ends_with('\n');
    found.then(|| {
        into.push(line, at);
        at + line.len()
    })
}

/// As [`whole_line`], for a folded line, character by character.
fn by_letter(source: &Source, line: &str, mut at: usize, into: &mut Mapped) -> Option<usize> {
    for c in line.chars() {
        let rest = &source.text[at..];
        // Indentation, and whitespace that folding dropped.
        let skipped = rest.find(|found: char| found == c || !found.is_whitespace());
        at += skipped.unwrap_or(rest.len());
        let piece = c.encode_utf8(&mut [0; 4]).to_owned();
        if source.text[at..].starts_with(c) {
            into.push(&piece, at);
            at += c.len_utf8();
        } else if c.is_whitespace() {
            // A line end that became a space, or one that is missing at the end of the file.
            into.append(&Mapped::somewhere(&piece, at));
        } else {
            return None;
        }
    }
    Some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_of_scalars_of_every_style_are_found() {
        for (text, word) in [
            ("a: |\n    x\n      word\n\n    y\n", Some("word")),
            ("a: >-\n  x\n  word\n  y", Some("word")),
            ("a: x\n  word y\n", Some("word")),
            ("a: 'x word'\n", Some("word")),
            ("a: \"x w\\x6frd\"\n", None),
            ("a: 'x''s word'\n", None),
        ] {
            let source = Source {
                path: "x.yml".to_owned(),
                text: text.to_owned(),
            };
            let root = parse(&source).unwrap();
            let node = root.get("a").unwrap();
            let mapped = mapped(&source, node);
            assert_eq!(Some(mapped.text()), node.text());
            let words = mapped.raw_words();
            let found = words.iter().find(|found| found.text() == "word");
            let span = found.and_then(Mapped::span);
            assert_eq!(span.map(|span| &text[span]), word, "{text:?}");
        }
    }

    #[test]
    fn the_text_of_a_string_excludes_anchor_tag_and_quotes() {
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
