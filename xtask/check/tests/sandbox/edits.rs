//! The compose file of the tree, and edits of the parsed document.

use xtask_host::source::Source;
use xtask_pins::compose::{self, Compose};
use xtask_pins::yaml::{self, Node, Value};

/// The compose file of the tree; `POLIS_TEST_TREE` selects another tree.
pub(crate) fn shipped() -> Compose {
    let source =
        Source::read(&xtask_testkit::repository(), compose::PATH).expect("the compose file");
    Compose::parse(source).expect("YAML")
}

/// A YAML text as a node.
pub(crate) fn node(text: &str) -> Node {
    let source = Source {
        path: "edit.yml".to_owned(),
        text: text.to_owned(),
    };
    let mut node = yaml::parse(&source).unwrap_or_else(|wrong| panic!("{text}: {}", wrong.message));
    at_start(&mut node);
    node
}

/// Gives a node from elsewhere a location that exists in every file.
fn at_start(node: &mut Node) {
    node.span = 0..0;
    match &mut node.value {
        Value::Seq(items) => items.iter_mut().for_each(at_start),
        Value::Map(entries) => entries.iter_mut().for_each(|(key, value)| {
            at_start(key);
            at_start(value);
        }),
        _ => {}
    }
}

/// Puts `value` at `path`, whose parts are separated by `/`; `+` appends to a list. Creates what is missing on the way.
pub(crate) fn put(root: &mut Node, path: &str, value: Node) {
    let (first, rest) = path
        .split_once('/')
        .map_or((path, None), |(first, rest)| (first, Some(rest)));
    let child = child(root, first);
    match rest {
        Some(rest) => put(child, rest, value),
        None => *child = value,
    }
}

/// Removes the key at `path`.
///
/// # Panics
/// If it does not exist.
pub(crate) fn remove(root: &mut Node, path: &str) {
    let (parent, key) = path.rsplit_once('/').expect("a path with two parts");
    let mut found = root;
    for part in parent.split('/') {
        found = child(found, part);
    }
    let Value::Map(entries) = &mut found.value else {
        panic!("`{parent}` is no mapping");
    };
    let before = entries.len();
    entries.retain(|(found, _)| found.text() != Some(key));
    assert_eq!(entries.len() + 1, before, "`{path}` is not there");
}

fn child<'a>(node: &'a mut Node, name: &str) -> &'a mut Node {
    if name == "+" {
        if !matches!(node.value, Value::Seq(_)) {
            node.value = Value::Seq(Vec::new());
        }
        let Value::Seq(items) = &mut node.value else {
            unreachable!("it was made a list");
        };
        items.push(self::node("~"));
        return items.last_mut().expect("it was pushed");
    }
    if !matches!(node.value, Value::Map(_)) {
        node.value = Value::Map(Vec::new());
    }
    let Value::Map(entries) = &mut node.value else {
        unreachable!("it was made a mapping");
    };
    let known = entries.iter().position(|(key, _)| key.text() == Some(name));
    let at = known.unwrap_or_else(|| {
        let key = Node {
            value: Value::Text(name.to_owned()),
            span: 0..0,
        };
        entries.push((key, self::node("~")));
        entries.len() - 1
    });
    &mut entries[at].1
}
