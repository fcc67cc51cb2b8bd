//! YAML with the location of every node.
//!
//! The release tools point into files and edit single values, so each node keeps its byte range. Merge keys (`<<`) are
//! resolved as Compose resolves them. An alias has the location of its anchor, because that is what an edit must
//! change.
//!
//! This is a separate crate because generic code is compiled into its caller: only this crate is optimized in
//! development builds.

mod depth;
mod error;
mod node;
mod offsets;

use std::collections::HashMap;
use std::ops::Range;

use saphyr::{MarkedYaml, Scalar, YamlData, YamlLoader};
use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, SpannedEventReceiver};

use depth::{DEEPEST, Depth};
use offsets::Offsets;

pub use error::ParseError;
pub use node::{Node, Value};

/// Parses a text that contains exactly one document.
///
/// # Errors
/// A syntax error, a tab, a duplicate key, an unknown alias, no document or several.
pub fn parse(text: &str) -> Result<Node, ParseError> {
    if let Some(at) = text.find('\t') {
        return Err(ParseError {
            rule: "yaml-tab",
            span: at..at + 1,
            message: "a tab in a YAML file".to_owned(),
            help: Some("indent with spaces: the parsers of cloud-init and Multipass reject tabs"),
        });
    }
    let offsets = Offsets::new(text);
    let documents = load(text, &offsets)?;
    match documents.as_slice() {
        [document] => {
            let mut converter = Converter {
                text,
                offsets: &offsets,
                anchors: HashMap::new(),
            };
            Ok(converter.node(document))
        }
        [] => Err(ParseError::syntax(
            0..0,
            "the file contains no YAML document",
        )),
        [_, second, ..] => {
            let at = offsets.byte(second.span.start.index());
            let message = "a second YAML document: expected one per file";
            Err(ParseError::syntax(at..at, message))
        }
    }
}

/// The documents of `text`. Feeds the events one by one, because the parser's own loop recurses.
fn load<'a>(text: &'a str, offsets: &Offsets) -> Result<Vec<MarkedYaml<'a>>, ParseError> {
    let wrong = |error: &ScanError| {
        let at = offsets.byte(error.marker().index());
        let end = text.len().min(at + 1);
        ParseError::syntax(at..end, format!("not valid YAML: {}", error.info()))
    };
    let mut loader = YamlLoader::default();
    let mut depth = Depth::default();
    for item in Parser::new_from_iter(text.chars()) {
        let (event, span) = item.map_err(|error| wrong(&error))?;
        if !depth.admits(&event) {
            let at = offsets.byte(span.start.index());
            return Err(ParseError::syntax(
                at..at,
                format!("more than {DEEPEST} levels of nesting"),
            ));
        }
        loader.on_event(event, span);
        if let Some(error) = loader.error() {
            return Err(wrong(error));
        }
    }
    Ok(loader.into_documents())
}

/// Features beyond plain maps, lists and scalars, each with its byte range: anchors, aliases, tags, merge keys and
/// document markers. Parsers disagree about these; [`parse`] resolves them. Directives need a document marker.
pub fn beyond_plain(text: &str) -> Vec<(Range<usize>, &'static str)> {
    let offsets = Offsets::new(text);
    let mut found = Vec::new();
    for (event, span) in Parser::new_from_iter(text.chars()).map_while(Result::ok) {
        let (anchor, tag) = match &event {
            Event::Scalar(_, _, anchor, tag)
            | Event::SequenceStart(anchor, tag)
            | Event::MappingStart(anchor, tag) => (*anchor != 0, tag.is_some()),
            _ => (false, false),
        };
        let what = match event {
            Event::Alias(_) => "an alias",
            Event::DocumentStart(true) => "a document marker",
            _ if anchor => "an anchor",
            _ if tag => "a tag",
            Event::Scalar(text, ScalarStyle::Plain, ..) if text == "<<" => "a merge key",
            _ => continue,
        };
        let start = offsets.byte(span.start.index());
        let end = offsets.byte(span.end.index());
        found.push((start..end.max(start), what));
    }
    found
}

struct Converter<'a> {
    text: &'a str,
    offsets: &'a Offsets,
    /// The byte range of each anchored node so far.
    anchors: HashMap<&'a str, Range<usize>>,
}

impl<'a> Converter<'a> {
    fn node(&mut self, marked: &MarkedYaml<'_>) -> Node {
        let span = self.span(marked);
        let slice = &self.text[span.clone()];
        let span = match (name_after(slice, '*'), name_after(slice, '&')) {
            (Some(alias), _) => self.anchors.get(alias).cloned().unwrap_or(span),
            (None, Some(anchor)) => {
                self.anchors.insert(anchor, span.clone());
                span
            }
            (None, None) => span,
        };
        Node {
            value: self.value(&marked.data),
            span,
        }
    }

    fn span(&self, marked: &MarkedYaml<'_>) -> Range<usize> {
        let start = self.offsets.byte(marked.span.start.index());
        let end = self.offsets.byte(marked.span.end.index());
        start..end.max(start)
    }

    fn value<'i>(&mut self, data: &YamlData<'i, MarkedYaml<'i>>) -> Value {
        match data {
            YamlData::Value(scalar) => match scalar {
                Scalar::Null => Value::Null,
                Scalar::Boolean(value) => Value::Bool(*value),
                Scalar::Integer(value) => Value::Int(*value),
                Scalar::FloatingPoint(value) => Value::Float(**value),
                Scalar::String(value) => Value::Text(value.to_string()),
            },
            YamlData::Representation(text, ..) => Value::Text(text.to_string()),
            YamlData::Sequence(items) => {
                Value::Seq(items.iter().map(|item| self.node(item)).collect())
            }
            YamlData::Mapping(entries) => {
                let entries = entries
                    .iter()
                    .map(|(key, value)| (self.node(key), self.node(value)))
                    .collect();
                Value::Map(merged(entries))
            }
            YamlData::Tagged(_, inner) => self.value(&inner.data),
            YamlData::Alias(_) | YamlData::BadValue => Value::Null,
        }
    }
}

/// The name of the anchor or alias at the start of `slice`, after its `sign`.
fn name_after(slice: &str, sign: char) -> Option<&str> {
    let rest = slice.strip_prefix(sign)?;
    rest.split(|c: char| c.is_whitespace() || matches!(c, ',' | '[' | ']' | '{' | '}'))
        .next()
}

/// Resolves `<<`: keys beside it override the merged ones.
fn merged(entries: Vec<(Node, Node)>) -> Vec<(Node, Node)> {
    let is_merge = |key: &Node| key.text() == Some("<<");
    if !entries.iter().any(|(key, _)| is_merge(key)) {
        return entries;
    }
    let (merges, mut own): (Vec<_>, Vec<_>) =
        entries.into_iter().partition(|(key, _)| is_merge(key));
    for (_, value) in merges {
        let sources = match value.value {
            Value::Seq(items) => items,
            _ => vec![value],
        };
        for source in sources {
            let Value::Map(more) = source.value else {
                continue;
            };
            for (key, value) in more {
                if !own.iter().any(|(found, _)| found.text() == key.text()) {
                    own.push((key, value));
                }
            }
        }
    }
    own
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_byte_ranges_for_any_text() {
        let source = "# é\r\na: &x 'q'\r\nb: *x\r\nc: {k: \"v\"} # c\r\nd: |\r\n  é1\r\n";
        let root = parse(source).unwrap();
        let text = |key: &str| &source[root.get(key).unwrap().span.clone()];
        assert_eq!(text("a"), "&x 'q'");
        assert_eq!(text("b"), "&x 'q'");
        assert_eq!(root.get("b").unwrap().text(), Some("q"));
        assert!(text("c").starts_with("{k: \"v\""));
        assert_eq!(text("d"), "é1\r\n");
    }

    #[test]
    fn explicit_keys_override_merged_ones() {
        let root = parse("x: &x {a: 1, b: 2}\ny:\n  <<: *x\n  b: 3\n").unwrap();
        assert_eq!(
            root.get("y").unwrap().to_json(),
            serde_json::json!({"a": 1, "b": 3})
        );
    }

    #[test]
    fn features_beyond_plain_yaml_are_found_with_their_spans() {
        let text = "---\na: &x !y 1\nb: *x\n<<: {}\nc: [!!str é, '<<']\n";
        let line = |at: usize| text[..at].matches('\n').count() + 1;
        let found: Vec<_> = beyond_plain(text)
            .into_iter()
            .map(|(span, what)| (line(span.start), what))
            .collect();
        let expected = [
            (1, "a document marker"),
            (2, "an anchor"),
            (3, "an alias"),
            (4, "a merge key"),
            (5, "a tag"),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn deep_nesting_is_rejected_before_a_tree_is_built() {
        let deep = |depth: usize| format!("{}a\n", "- ".repeat(depth));
        assert!(parse(&deep(DEEPEST)).is_ok());
        for text in [
            deep(DEEPEST + 1),
            // Each anchor alone is shallow, but together they are not.
            (1..200).fold("a0: &a0 [x]\n".to_owned(), |text, at| {
                format!("{text}a{at}: &a{at} [*a{}]\n", at - 1)
            }),
            deep(12_000),
            "[".repeat(100_000),
            format!("{}{}", "{a: ".repeat(50_000), "}".repeat(50_000)),
            "? ".repeat(50_000),
        ] {
            let wrong = parse(&text).expect_err("too deep");
            // The parser has its own limit for `[`.
            let limit = ["more than 64 levels of nesting", "recursion limit exceeded"];
            assert!(
                limit.iter().any(|said| wrong.message.contains(said)),
                "{}",
                wrong.message
            );
            assert!(wrong.span.end <= text.len());
            let _ = beyond_plain(&text);
        }
    }

    #[test]
    fn aliases_do_not_multiply_a_text() {
        let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
        for at in 1..9 {
            let aliases = vec![format!("*a{}", at - 1); 9].join(", ");
            text.push_str(&format!("a{at}: &a{at} [{aliases}]\n"));
        }
        let wrong = parse(&text).expect_err("too large");
        assert!(
            wrong.message.contains("alias expansion"),
            "{}",
            wrong.message
        );
    }

    #[test]
    fn a_text_that_is_not_one_document_is_an_error_with_a_location() {
        for (text, message, at) in [
            ("a: 1\n\tb: 2\n", "a tab in a YAML file", 5),
            (
                "a: 1\na: 2\n",
                "not valid YAML: duplicated key in mapping",
                5,
            ),
            (
                "a: 1\n---\nb: 2\n",
                "a second YAML document: expected one per file",
                9,
            ),
            ("", "the file contains no YAML document", 0),
            ("a: [1\nb: 2\n", "not valid YAML: ", 7),
        ] {
            let wrong = parse(text).expect_err(text);
            assert!(wrong.message.starts_with(message), "{}", wrong.message);
            assert_eq!(wrong.span.start, at, "{text:?}");
        }
    }
}
