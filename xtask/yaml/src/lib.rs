//! YAML with the place of every node.
//!
//! The release tools do not only read YAML, they point into it and change single values of it,
//! so each node keeps the bytes it came from. Merge keys (`<<`) are resolved the way Compose
//! does; an alias keeps the place of what it stands for, since that is what an edit must touch.
//!
//! A package of its own, because the parser is generic, so that it is compiled with whoever calls it: here it is
//! compiled with optimizations even where the rest of the tools is not.

use std::collections::HashMap;
use std::ops::Range;

use saphyr::{MarkedYaml, Scalar, YamlData, YamlLoader};
use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, SpannedEventReceiver};
use serde_json::Value as Json;

/// What keeps a text from being read: the rule, the bytes it points at, what is wrong, and the next step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// `yaml-tab` or `yaml-syntax`.
    pub rule: &'static str,
    /// The bytes.
    pub span: Range<usize>,
    /// What is wrong.
    pub message: String,
    /// The next step.
    pub help: Option<&'static str>,
}

impl Wrong {
    fn syntax(span: Range<usize>, message: impl Into<String>) -> Self {
        Self {
            rule: "yaml-syntax",
            span,
            message: message.into(),
            help: None,
        }
    }
}

/// How deep lists and maps may be nested: the deepest file of ours has 11 levels. Readers recurse, so depth is stack.
const DEEPEST: usize = 64;

/// A node: its value and its bytes in the source.
#[derive(Debug, Clone)]
pub struct Node {
    /// What it holds.
    pub value: Value,
    /// The bytes it came from, with anchor and tag.
    pub span: Range<usize>,
}

/// What a node holds.
#[derive(Debug, Clone)]
pub enum Value {
    /// `null`, `~` or nothing.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// An integer, also in hexadecimal or octal.
    Int(i64),
    /// A floating-point number.
    Float(f64),
    /// Any other scalar, and every quoted one.
    Text(String),
    /// A sequence.
    Seq(Vec<Node>),
    /// A mapping in the order of the file.
    Map(Vec<(Node, Node)>),
}

impl Node {
    /// The value under `key`, where this is a mapping that has it.
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.entry(key).map(|(_, value)| value)
    }

    /// The key node and the value under `key`.
    pub fn entry(&self, key: &str) -> Option<&(Self, Self)> {
        self.entries()
            .iter()
            .find(|(found, _)| found.text() == Some(key))
    }

    /// The entries of a mapping; none for anything else.
    pub fn entries(&self) -> &[(Self, Self)] {
        match &self.value {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The items of a sequence; none for anything else.
    pub fn items(&self) -> &[Self] {
        match &self.value {
            Value::Seq(items) => items,
            _ => &[],
        }
    }

    /// The text of a string.
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The value as JSON, for a schema to judge. Keys that are not strings take their text.
    pub fn to_json(&self) -> Json {
        match &self.value {
            Value::Null => Json::Null,
            Value::Bool(value) => Json::from(*value),
            Value::Int(value) => Json::from(*value),
            Value::Float(value) => Json::from(*value),
            Value::Text(value) => Json::from(value.as_str()),
            Value::Seq(items) => items.iter().map(Self::to_json).collect(),
            Value::Map(entries) => entries
                .iter()
                .map(|(key, value)| (key.key_text(), value.to_json()))
                .collect(),
        }
    }

    /// The node that the JSON pointer `pointer` names, with its key where it is a mapping's
    /// value; the deepest existing one where the pointer leads nowhere.
    pub fn at_pointer(&self, pointer: &str) -> (Option<&Self>, &Self) {
        let mut found = (None, self);
        for token in pointer.split('/').skip(1) {
            let token = token.replace("~1", "/").replace("~0", "~");
            let next = match &found.1.value {
                Value::Map(entries) => entries
                    .iter()
                    .find(|(key, _)| key.key_text() == token)
                    .map(|(key, value)| (Some(key), value)),
                Value::Seq(items) => token
                    .parse::<usize>()
                    .ok()
                    .and_then(|at| items.get(at))
                    .map(|item| (None, item)),
                _ => None,
            };
            match next {
                Some(next) => found = next,
                None => break,
            }
        }
        found
    }

    fn key_text(&self) -> String {
        match &self.value {
            Value::Text(text) => text.clone(),
            Value::Bool(value) => value.to_string(),
            Value::Int(value) => value.to_string(),
            Value::Float(value) => value.to_string(),
            _ => String::from("null"),
        }
    }
}

/// Parses a text that holds exactly one document.
///
/// # Errors
/// A syntax error, a tab, a duplicate key, an unknown alias, no document or several.
pub fn parse(text: &str) -> Result<Node, Wrong> {
    if let Some(at) = text.find('\t') {
        return Err(Wrong {
            rule: "yaml-tab",
            span: at..at + 1,
            message: "a tab in a YAML file".to_owned(),
            help: Some("indent with spaces; cloud-init's and Multipass's parsers refuse tabs"),
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
        [] => Err(Wrong::syntax(0..0, "the file holds no YAML document")),
        [_, second, ..] => {
            let at = offsets.byte(second.span.start.index());
            let message = "a second YAML document; one file holds one";
            Err(Wrong::syntax(at..at, message))
        }
    }
}

/// The documents of `text`. The events are fed one by one, since the parser's own loop recurses.
fn load<'a>(text: &'a str, offsets: &Offsets) -> Result<Vec<MarkedYaml<'a>>, Wrong> {
    let wrong = |error: &ScanError| {
        let at = offsets.byte(error.marker().index());
        let end = text.len().min(at + 1);
        Wrong::syntax(at..end, format!("not valid YAML: {}", error.info()))
    };
    let mut loader = YamlLoader::default();
    let mut depth = Depth::default();
    for item in Parser::new_from_iter(text.chars()) {
        let (event, span) = item.map_err(|error| wrong(&error))?;
        if !depth.admits(&event) {
            let at = offsets.byte(span.start.index());
            return Err(Wrong::syntax(
                at..at,
                format!("nested more than {DEEPEST} deep"),
            ));
        }
        loader.on_event(event, span);
        if let Some(error) = loader.error() {
            return Err(wrong(error));
        }
    }
    Ok(loader.into_documents())
}

/// How deep the events so far are nested, with what each alias stands for.
#[derive(Default)]
struct Depth {
    /// The anchor of each open list or map, 0 for none, and the height of what it holds so far.
    open: Vec<(usize, usize)>,
    /// The height of each anchored node.
    heights: HashMap<usize, usize>,
}

impl Depth {
    /// Whether `event` leaves the nesting within [`DEEPEST`].
    fn admits(&mut self, event: &Event<'_>) -> bool {
        let height = match event {
            Event::SequenceStart(anchor, _) | Event::MappingStart(anchor, _) => {
                self.open.push((*anchor, 0));
                0
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let (anchor, inside) = self.open.pop().unwrap_or_default();
                self.heights.insert(anchor, inside + 1);
                inside + 1
            }
            Event::Alias(anchor) => self.heights.get(anchor).copied().unwrap_or(0),
            _ => 0,
        };
        if let Some((_, inside)) = self.open.last_mut() {
            *inside = height.max(*inside);
        }
        self.open.len() + height <= DEEPEST
    }
}

/// What `text` uses beyond plain maps, lists and scalars, each with its bytes: anchors,
/// aliases, tags, merge keys and document markers, without which there are no directives either.
/// Parsers disagree about these, and `parse` resolves them.
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

/// Finds bytes by characters, which is what saphyr counts.
struct Offsets {
    /// Of every character, and the length at the end; `None` where each character is one byte.
    table: Option<Vec<usize>>,
    length: usize,
}

impl Offsets {
    fn new(text: &str) -> Self {
        let ends = || text.char_indices().map(|(at, _)| at).chain([text.len()]);
        Self {
            table: (!text.is_ascii()).then(|| ends().collect()),
            length: text.len(),
        }
    }

    /// The byte at which the character `index` starts; the end of the text for any beyond it.
    fn byte(&self, index: usize) -> usize {
        match &self.table {
            Some(table) => table.get(index).copied().unwrap_or(self.length),
            None => index.min(self.length),
        }
    }
}

struct Converter<'a> {
    text: &'a str,
    offsets: &'a Offsets,
    /// The bytes of each anchored node seen so far.
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

/// The anchor or alias name that `slice` starts with, after its `sign`.
fn name_after(slice: &str, sign: char) -> Option<&str> {
    let rest = slice.strip_prefix(sign)?;
    rest.split(|c: char| c.is_whitespace() || matches!(c, ',' | '[' | ']' | '{' | '}'))
        .next()
}

/// Resolves `<<`: what is written beside it wins over what it brings in.
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
    fn spans_are_bytes_whatever_the_line_ends_and_letters() {
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
    fn merge_keys_give_way_to_what_is_written() {
        let root = parse("x: &x {a: 1, b: 2}\ny:\n  <<: *x\n  b: 3\n").unwrap();
        assert_eq!(
            root.get("y").unwrap().to_json(),
            serde_json::json!({"a": 1, "b": 3})
        );
    }

    #[test]
    fn what_is_beyond_plain_yaml_is_found_in_its_place() {
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
    fn nesting_has_a_limit_before_a_tree_is_built() {
        let deep = |depth: usize| format!("{}a\n", "- ".repeat(depth));
        assert!(parse(&deep(DEEPEST)).is_ok());
        for text in [
            deep(DEEPEST + 1),
            // Each anchor alone is shallow; together they are not.
            (1..200).fold("a0: &a0 [x]\n".to_owned(), |text, at| {
                format!("{text}a{at}: &a{at} [*a{}]\n", at - 1)
            }),
            deep(12_000),
            "[".repeat(100_000),
            format!("{}{}", "{a: ".repeat(50_000), "}".repeat(50_000)),
            "? ".repeat(50_000),
        ] {
            let wrong = parse(&text).expect_err("too deep");
            // The parser has a limit of its own for `[`.
            let limit = ["nested more than 64 deep", "recursion limit exceeded"];
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
    fn what_is_not_one_document_is_wrong_in_its_place() {
        for (text, message, at) in [
            ("a: 1\n\tb: 2\n", "a tab in a YAML file", 5),
            (
                "a: 1\na: 2\n",
                "not valid YAML: duplicated key in mapping",
                5,
            ),
            (
                "a: 1\n---\nb: 2\n",
                "a second YAML document; one file holds one",
                9,
            ),
            ("", "the file holds no YAML document", 0),
            ("a: [1\nb: 2\n", "not valid YAML: ", 7),
        ] {
            let wrong = parse(text).expect_err(text);
            assert!(wrong.message.starts_with(message), "{}", wrong.message);
            assert_eq!(wrong.span.start, at, "{text:?}");
        }
    }
}
