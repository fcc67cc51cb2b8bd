//! The values of facts: platforms, programs, paths, variables.

use super::Reader;
use crate::contract::{ImagePath, PathKind, Variable};
use crate::yaml::{Node, Value};

impl Reader<'_> {
    pub(super) fn platform(&mut self, node: &Node) -> Option<String> {
        let text = node.text().unwrap_or_default();
        let parts: Vec<&str> = text.split('/').collect();
        let word = |part: &&str| {
            !part.is_empty()
                && part
                    .chars()
                    .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
        };
        let right = matches!(parts.len(), 2 | 3) && parts.iter().all(word);
        self.expect(
            right.then(|| text.to_owned()),
            node,
            "a platform such as `linux/amd64`",
        )
    }

    pub(super) fn program(&mut self, node: &Node) -> Option<String> {
        let text = node.text().unwrap_or_default();
        let right = is_absolute(text) || is_name(text);
        self.expect(
            right.then(|| text.to_owned()),
            node,
            "a program: a name, or an absolute path",
        )
    }

    pub(super) fn bare_name(&mut self, node: &Node) -> Option<String> {
        let text = node.text().unwrap_or_default();
        self.expect(
            is_name(text).then(|| text.to_owned()),
            node,
            "the name of a program, without a directory",
        )
    }

    pub(super) fn uid(&mut self, node: &Node) -> Option<u32> {
        let uid = match node.value {
            Value::Int(uid) => u32::try_from(uid).ok(),
            _ => None,
        };
        self.expect(uid, node, "a uid as a number")
    }

    pub(super) fn words(&mut self, node: &Node) -> Option<Vec<String>> {
        let words: Option<Vec<String>> = match &node.value {
            Value::Seq(items) => items
                .iter()
                .map(|item| item.text().map(str::to_owned))
                .collect(),
            _ => None,
        };
        self.expect(
            words,
            node,
            "a list of strings, as in the configuration of the image",
        )
    }

    pub(super) fn path(&mut self, node: &Node) -> Option<ImagePath> {
        self.keys(node, &["path", "kind", "read_by"]);
        let text = |key: &str| node.get(key).and_then(Node::text).unwrap_or_default();
        let path = text("path");
        if !is_absolute(path) {
            self.wrong(
                node,
                "expected an absolute `path` without `.`, `..` and a trailing slash",
            );
        }
        let kind = PathKind::ALL.iter().find(|(word, _)| *word == text("kind"));
        let words = PathKind::ALL.map(|(word, _)| word).join(", ");
        let kind = self
            .expect(kind, node, &format!("`kind` to be one of {words}"))?
            .1;
        let read_by = node.get("read_by").and_then(Node::text).map(str::to_owned);
        if kind == PathKind::Config && read_by.is_none() {
            self.wrong(
                node,
                "expected `read_by`, the program that reads this configuration",
            );
        }
        Some(ImagePath {
            path: path.to_owned(),
            kind,
            read_by,
        })
    }

    pub(super) fn variable(&mut self, node: &Node) -> Option<Variable> {
        self.keys(node, &["name", "read_by"]);
        let text = |key: &str| node.get(key).and_then(Node::text).unwrap_or_default();
        let name = text("name");
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let right = !name.is_empty() && name.chars().all(is_word) && !text("read_by").is_empty();
        let variable = right.then(|| Variable {
            name: name.to_owned(),
            read_by: text("read_by").to_owned(),
        });
        self.expect(
            variable,
            node,
            "the `name` of a variable, and `read_by`, the program that reads it",
        )
    }
}

/// Whether `text` is an absolute path in its shortest form.
fn is_absolute(text: &str) -> bool {
    let Some(rest) = text.strip_prefix('/') else {
        return false;
    };
    rest.split('/').all(|part| !matches!(part, "" | "." | ".."))
        && !text.contains(char::is_whitespace)
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && !text.contains(|c: char| c == '/' || c.is_whitespace())
}
