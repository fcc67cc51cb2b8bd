//! The files of an image: the result of applying its layers in order.
//!
//! It does what engines do when they unpack: a whiteout removes what lower layers have, the parent directory of an entry
//! is resolved through symbolic links, and an entry replaces whatever has its name.

use std::collections::BTreeMap;
use std::ops::Bound;

use super::layer::{Entry, Layer, What};

/// How many symbolic links are followed on the way to one file; the limit of Linux.
const MOST_LINKS: usize = 40;
const WHITEOUT: &str = ".wh.";
const OPAQUE: &str = ".wh..wh..opq";
/// The prefix of the metadata of AUFS.
const AUFS: &str = ".wh..wh.";

/// The files of an image, by path without the leading slash.
#[derive(Debug)]
pub(super) struct Files(BTreeMap<Box<str>, Node>);

/// One file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) is: NodeKind,
    /// The permission bits.
    pub(super) mode: u32,
    pub(super) uid: u64,
    pub(super) gid: u64,
}

/// What a file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NodeKind {
    Directory,
    File(Option<Box<[u8]>>),
    Symlink(Box<str>),
    Special,
}

/// A file that a path leads to.
#[derive(Debug)]
pub(super) struct Found<'a> {
    /// Its path after all links are resolved, with the leading slash.
    pub(super) path: String,
    pub(super) node: &'a Node,
    /// The directories on the way to it, in order.
    pub(super) through: Vec<&'a Node>,
}

/// Why a path leads to no file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Lost {
    /// This does not exist.
    Missing(String),
    /// This is a file, where a directory is needed.
    NoDirectory(String),
    /// There are more than [`MOST_LINKS`] links on the way.
    Loop,
}

impl Node {
    /// A directory that no layer describes, as engines create it.
    fn directory() -> Self {
        Self {
            is: NodeKind::Directory,
            mode: 0o755,
            uid: 0,
            gid: 0,
        }
    }
}

impl Files {
    /// Applies `layers`, the lowest one first.
    ///
    /// # Errors
    /// With the reason, when no engine could unpack them, for example a hard link without its target.
    pub(super) fn of<'a>(layers: impl IntoIterator<Item = &'a Layer>) -> Result<Self, String> {
        let mut files = Self(BTreeMap::from([("".into(), Node::directory())]));
        for (at, layer) in layers.into_iter().enumerate() {
            // Whiteouts only hide what lower layers have, whatever their position in their own layer.
            for entry in &layer.entries {
                files.hide(entry);
            }
            for entry in &layer.entries {
                let added = files.add(entry);
                added.map_err(|reason| format!("layer {}: {reason}", at + 1))?;
            }
        }
        Ok(files)
    }

    /// The file that `path` leads to, through every link.
    pub(super) fn find(&self, path: &str) -> Result<Found<'_>, Lost> {
        self.walk(path)
    }

    /// The text of the file at `path`, if its bytes were kept.
    pub(super) fn text(&self, path: &str) -> Option<String> {
        match &self.find(path).ok()?.node.is {
            NodeKind::File(Some(bytes)) => Some(String::from_utf8_lossy(bytes).into_owned()),
            _ => None,
        }
    }

    /// Removes what `entry` hides, if it is a whiteout.
    fn hide(&mut self, entry: &Entry) {
        let (parent, name) = split(&entry.path);
        let Some(hidden) = name.strip_prefix(WHITEOUT) else {
            return;
        };
        let Some(parent) = self.real(parent) else {
            return;
        };
        if name == OPAQUE {
            self.clear(&parent);
        } else if !name.starts_with(AUFS) {
            self.remove(&join(&parent, hidden));
        }
    }

    fn add(&mut self, entry: &Entry) -> Result<(), String> {
        let (parent, name) = split(&entry.path);
        if name.starts_with(WHITEOUT) {
            return Ok(());
        }
        let is = match &entry.what {
            What::Directory => NodeKind::Directory,
            What::File(bytes) => NodeKind::File(bytes.clone()),
            What::Symlink(target) => NodeKind::Symlink(target.clone()),
            What::Special => NodeKind::Special,
            What::Link(target) => {
                let node = self.linked(target).cloned().ok_or_else(|| {
                    format!(
                        "`{}` is a hard link to `{target}`, which does not exist",
                        entry.path
                    )
                })?;
                return self.put(parent, name, node);
            }
        };
        let node = Node {
            is,
            mode: entry.mode,
            uid: entry.uid,
            gid: entry.gid,
        };
        self.put(parent, name, node)
    }

    /// The target of a hard link: the node itself, even if it is a symbolic link; `None` for a directory.
    fn linked(&self, target: &str) -> Option<&Node> {
        let (parent, name) = split(target);
        let parent = self.real(parent)?;
        let node = self.0.get(join(&parent, name).as_str())?;
        (node.is != NodeKind::Directory).then_some(node)
    }

    fn put(&mut self, parent: &str, name: &str, node: Node) -> Result<(), String> {
        let parent = match self.real(parent) {
            Some(parent) => parent,
            None => self.make(parent)?,
        };
        let path = join(&parent, name);
        if path.is_empty() && node.is != NodeKind::Directory {
            return Err("the root is not a directory".to_owned());
        }
        let merges = node.is == NodeKind::Directory
            && self
                .0
                .get(path.as_str())
                .is_some_and(|old| old.is == NodeKind::Directory);
        if !merges {
            self.remove(&path);
        }
        self.0.insert(path.into(), node);
        Ok(())
    }

    /// Creates the missing directories of `path`; returns its path after all links are resolved.
    fn make(&mut self, path: &str) -> Result<String, String> {
        let mut real = String::new();
        for part in path.split('/') {
            let next = join(&real, part);
            real = match self.real(&next) {
                Some(found) => found,
                None if self.0.contains_key(next.as_str()) => {
                    return Err(format!(
                        "`{next}` has entries below it but is not a directory"
                    ));
                }
                None => {
                    self.0.insert(next.as_str().into(), Node::directory());
                    next
                }
            };
        }
        Ok(real)
    }

    /// The path of the directory `path` after all links are resolved; `None` if it is not a directory.
    fn real(&self, path: &str) -> Option<String> {
        let found = self.walk(path).ok()?;
        (found.node.is == NodeKind::Directory).then(|| found.path[1..].to_owned())
    }

    fn remove(&mut self, path: &str) {
        self.0.remove(path);
        self.clear(path);
    }

    /// Removes all that is below `path`.
    fn clear(&mut self, path: &str) {
        let prefix = match path {
            "" => String::new(),
            path => format!("{path}/"),
        };
        let from = (Bound::Included(prefix.as_str()), Bound::Unbounded);
        let below = self.0.range::<str, _>(from);
        let below = below.take_while(|(path, _)| path.starts_with(&prefix));
        let below: Vec<Box<str>> = below.map(|(path, _)| path.clone()).collect();
        for path in below.iter().filter(|path| !path.is_empty()) {
            self.0.remove(path);
        }
    }

    fn walk(&self, path: &str) -> Result<Found<'_>, Lost> {
        let mut left: Vec<String> = path.split('/').rev().map(str::to_owned).collect();
        let (mut here, mut links) = (String::new(), 0);
        let mut through = Vec::new();
        let mut node = &self.0[""];
        while let Some(part) = left.pop() {
            match part.as_str() {
                "" | "." => continue,
                ".." => {
                    here = split(&here).0.to_owned();
                    node = self.0.get(here.as_str()).unwrap_or(&self.0[""]);
                    continue;
                }
                _ => {}
            }
            if node.is != NodeKind::Directory {
                return Err(Lost::NoDirectory(format!("/{here}")));
            }
            through.push(node);
            let next = join(&here, &part);
            node = self
                .0
                .get(next.as_str())
                .ok_or_else(|| Lost::Missing(format!("/{next}")))?;
            match &node.is {
                NodeKind::Symlink(target) => {
                    links += 1;
                    if links > MOST_LINKS {
                        return Err(Lost::Loop);
                    }
                    left.extend(target.split('/').rev().map(str::to_owned));
                    if target.starts_with('/') {
                        here.clear();
                    }
                    node = self.0.get(here.as_str()).unwrap_or(&self.0[""]);
                }
                _ => here = next,
            }
        }
        Ok(Found {
            path: format!("/{here}"),
            node,
            through,
        })
    }
}

/// The directory and the name of a path.
fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

fn join(parent: &str, name: &str) -> String {
    match (parent, name) {
        ("", name) => name.to_owned(),
        (parent, "") => parent.to_owned(),
        (parent, name) => format!("{parent}/{name}"),
    }
}
