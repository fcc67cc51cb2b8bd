//! A service from the view of its container: its mounts, and our files in them.

use std::ops::Range;

use xtask_host::finding::Finding;
use xtask_host::source::{Place, Source};
use xtask_pins::compose::{self, Compose};
use xtask_pins::contract::Contract;
use xtask_pins::yaml::{Node, Value};

use super::script::{self, Script};

/// Reads the files at and below a path of the tree, each with its path relative to it: empty for a single file.
pub type Texts<'a> = dyn Fn(&str) -> Vec<(String, Source)> + 'a;

/// A service with the contract of its image.
pub(super) struct Service<'a> {
    pub(super) compose: &'a Compose,
    pub(super) name: &'a str,
    pub(super) node: &'a Node,
    pub(super) contract: &'a Contract,
    pub(super) mounts: Vec<Mount<'a>>,
    /// Our mounted files: scripts and configuration.
    pub(super) files: Vec<File>,
}

/// A mount, which hides the image's own path.
pub(super) struct Mount<'a> {
    /// Its path in the container, without a trailing slash.
    pub(super) target: String,
    pub(super) kind: MountKind,
    pub(super) read_only: bool,
    pub(super) node: &'a Node,
}

/// The kind of a mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MountKind {
    Bind,
    Volume,
    Tmpfs,
    /// A secret or a config of the compose file.
    Secret,
}

/// A mounted file of the tree.
pub(super) struct File {
    /// Its path in the container.
    pub(super) target: String,
    pub(super) source: Source,
    /// For a script: the words after `#!`, and the parsed script.
    pub(super) script: Option<(Vec<String>, Script)>,
}

impl<'a> Service<'a> {
    pub(super) fn new(
        compose: &'a Compose,
        name: &'a str,
        node: &'a Node,
        contract: &'a Contract,
        texts: &Texts<'_>,
    ) -> Self {
        let mut mounts = Vec::new();
        let mut files = Vec::new();
        for item in list(node, "volumes") {
            let Some((mount, source)) = volume(item) else {
                continue;
            };
            if let (MountKind::Bind, Some(path)) = (mount.kind, source.strip_prefix("./")) {
                let dir = compose::PATH.rsplit_once('/').map_or("", |(dir, _)| dir);
                let found = texts(&format!("{dir}/{path}")).into_iter();
                files.extend(found.map(|(below, source)| File::new(&mount.target, &below, source)));
            }
            mounts.push(mount);
        }
        let tmpfs = node.get("tmpfs").filter(|node| node.text().is_some());
        mounts.extend(list(node, "tmpfs").iter().chain(tmpfs).filter_map(tmpfs_of));
        for (section, root) in [("secrets", "/run/secrets/"), ("configs", "/")] {
            let items = list(node, section).iter();
            mounts.extend(items.filter_map(|item| secret(item, root)));
        }
        Self {
            compose,
            name,
            node,
            contract,
            mounts,
            files,
        }
    }

    /// Whether the root file system is read-only.
    pub(super) fn is_read_only(&self) -> bool {
        matches!(
            self.node.get("read_only").map(|node| &node.value),
            Some(Value::Bool(true))
        )
    }

    /// The place of `text` inside the YAML node `node`, or of the node.
    pub(super) fn place(&self, node: &Node, text: &str) -> Place {
        let span = node.span.clone();
        let found = find_word(&self.compose.source.text[span.clone()], text);
        let within = found.map(|at| span.start + at..span.start + at + text.len());
        self.compose.place(within.unwrap_or(span))
    }

    /// The words of a key that may be a list or a string.
    pub(super) fn words(&self, key: &str) -> Option<Words<'a>> {
        let node = self.node.get(key)?;
        Some(match node.text() {
            Some(text) => text
                .split_whitespace()
                .map(|word| (word.to_owned(), node))
                .collect(),
            None => node
                .items()
                .iter()
                .map(|item| (unescaped(item), item))
                .collect(),
        })
    }

    /// The health check: a command line, or a script for the image's `sh`.
    pub(super) fn health(&self) -> Option<Health<'a>> {
        let test = self.node.get("healthcheck")?.get("test")?;
        if test.text().is_some() {
            return Some(Health::Shell(unescaped(test), test));
        }
        let (kind, rest) = test.items().split_first()?;
        match kind.text()? {
            "CMD-SHELL" => rest
                .first()
                .map(|text| Health::Shell(unescaped(text), text)),
            "CMD" => Some(Health::Words(
                rest.iter().map(|item| (unescaped(item), item)).collect(),
            )),
            _ => None,
        }
    }

    /// Mounted scripts with syntax errors.
    pub(super) fn scripts_that_fail(&self) -> Vec<Finding> {
        let scripts = self.files.iter().filter_map(|file| {
            let error = file.script.as_ref()?.1.error.clone()?;
            let message = format!(
                "syntax error: the programs that `{}` runs are unknown",
                self.name
            );
            Some(Finding::error(
                "contract-program",
                file.source.place(error),
                message,
            ))
        });
        scripts.collect()
    }
}

/// Words with their nodes.
pub(super) type Words<'a> = Vec<(String, &'a Node)>;

/// A health check.
pub(super) enum Health<'a> {
    Words(Words<'a>),
    Shell(String, &'a Node),
}

impl File {
    fn new(target: &str, below: &str, source: Source) -> Self {
        let target = match below {
            "" => target.to_owned(),
            below => format!("{target}/{below}"),
        };
        let first = source
            .text
            .lines()
            .next()
            .and_then(|line| line.strip_prefix("#!"));
        let interpreter: Option<Vec<String>> =
            first.map(|line| line.split_whitespace().map(str::to_owned).collect());
        let script = interpreter.map(|words| {
            let shell = words.last().map_or("", String::as_str);
            let script = script::read(&source.text, shell);
            (words, script)
        });
        Self {
            target,
            source,
            script,
        }
    }
}

/// The path with Debian's links resolved: `/var/run` is `/run`, `/var/lock` is `/run/lock`.
pub(super) fn canonical(path: &str) -> String {
    for (link, real) in [("/var/run", "/run"), ("/var/lock", "/run/lock")] {
        if let Some(rest) = path
            .strip_prefix(link)
            .filter(|rest| rest.is_empty() || rest.starts_with('/'))
        {
            return format!("{real}{rest}");
        }
    }
    path.to_owned()
}

/// Whether `path` is `dir` or below it.
pub(super) fn is_below(path: &str, dir: &str) -> bool {
    path.strip_prefix(dir)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || dir == "/")
}

/// The offset of `word` in `text` as a whole word.
fn find_word(text: &str, word: &str) -> Option<usize> {
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '/');
    text.match_indices(word).map(|(at, _)| at).find(|at| {
        let before = text[..*at].chars().next_back();
        let after = text[at + word.len()..].chars().next();
        !before.is_some_and(is_part) && !after.is_some_and(is_part)
    })
}

/// The text of a node in the container: Compose replaces `$$` with `$`.
fn unescaped(node: &Node) -> String {
    node.text().unwrap_or_default().replace("$$", "$")
}

fn list<'a>(node: &'a Node, key: &str) -> &'a [Node] {
    node.get(key).map_or(&[], Node::items)
}

/// An entry of `volumes`, with its source.
fn volume(item: &Node) -> Option<(Mount<'_>, String)> {
    let mount = |target: &str, kind, read_only| Mount {
        target: target.trim_end_matches('/').to_owned(),
        kind,
        read_only,
        node: item,
    };
    if let Some(text) = item.text() {
        let parts: Vec<&str> = text.split(':').collect();
        let (source, target, mode) = match parts.as_slice() {
            [target] => ("", *target, ""),
            [source, target] => (*source, *target, ""),
            [source, target, mode, ..] => (*source, *target, *mode),
            [] => return None,
        };
        let is_path = source.starts_with(['.', '/', '~']);
        let kind = if is_path {
            MountKind::Bind
        } else {
            MountKind::Volume
        };
        let read_only = mode.split(',').any(|option| option == "ro");
        return Some((mount(target, kind, read_only), source.to_owned()));
    }
    let text = |key: &str| item.get(key).and_then(Node::text).unwrap_or_default();
    let kind = match text("type") {
        "bind" => MountKind::Bind,
        "tmpfs" => MountKind::Tmpfs,
        _ => MountKind::Volume,
    };
    let read_only = matches!(
        item.get("read_only").map(|node| &node.value),
        Some(Value::Bool(true))
    );
    Some((
        mount(text("target"), kind, read_only),
        text("source").to_owned(),
    ))
}

fn tmpfs_of(item: &Node) -> Option<Mount<'_>> {
    let target = item.text()?.split(':').next()?;
    Some(Mount {
        target: target.trim_end_matches('/').to_owned(),
        kind: MountKind::Tmpfs,
        read_only: false,
        node: item,
    })
}

fn secret<'a>(item: &'a Node, root: &str) -> Option<Mount<'a>> {
    let target = item
        .get("target")
        .or_else(|| item.get("source"))
        .unwrap_or(item)
        .text()?;
    let target = match target.starts_with('/') {
        true => target.to_owned(),
        false => format!("{root}{target}"),
    };
    Some(Mount {
        target,
        kind: MountKind::Secret,
        read_only: true,
        node: item,
    })
}

/// A range of a file's bytes as a place.
pub(super) fn place_in(file: &File, span: &Range<usize>) -> Place {
    file.source.place(span.clone())
}
