//! The file system of an image under construction. Its layer is reproducible: the same content always gives the same bytes.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use tar::{Builder, EntryType, Header};

use crate::Result;

/// The top-level directories that are links into `/usr`.
const MERGED: [&str; 4] = ["bin", "sbin", "lib", "lib64"];

/// The source of a file's content.
#[derive(Debug, Clone)]
enum Content {
    Directory,
    Link(PathBuf),
    Bytes(Vec<u8>),
    File(PathBuf),
}

#[derive(Debug, Clone)]
struct Entry {
    mode: u32,
    owner: (u32, u32),
    content: Content,
}

/// The entry at each path. A path below a link into `/usr` is stored under the link's target.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tree(BTreeMap<String, Entry>);

impl Tree {
    /// The directories that every file system has, and the links into `/usr`.
    pub(crate) fn skeleton() -> Self {
        let mut tree = Self::default();
        for dir in ["dev", "etc", "home", "proc", "run", "sys", "usr", "var"] {
            tree.directory(dir, 0o755, 0);
        }
        tree.directory("root", 0o700, 0);
        for dir in ["tmp", "var/tmp", "run/lock"] {
            tree.directory(dir, 0o1777, 0);
        }
        for name in MERGED {
            tree.directory(&format!("usr/{name}"), 0o755, 0);
            tree.0.insert(name.to_owned(), link(&format!("usr/{name}")));
        }
        tree.link("var/run", "/run");
        tree.link("var/lock", "/run/lock");
        tree
    }

    /// Adds a directory owned by `owner`.
    pub(crate) fn directory(&mut self, path: &str, mode: u32, owner: u32) {
        self.put(path, mode, (owner, owner), Content::Directory);
    }

    /// Adds a symbolic link.
    pub(crate) fn link(&mut self, path: &str, target: &str) {
        self.0.insert(normal(path), link(target));
    }

    /// Adds a file with these bytes.
    pub(crate) fn bytes(&mut self, path: &str, mode: u32, owner: u32, bytes: &[u8]) {
        let content = Content::Bytes(bytes.to_vec());
        self.put(path, mode, (owner, owner), content);
    }

    /// Adds a file owned by root with the content of another, which is read when the layer is written.
    pub(crate) fn file(&mut self, path: &str, mode: u32, from: &Path) {
        self.put(path, mode, (0, 0), Content::File(from.to_owned()));
    }

    /// Copies everything below the directory `from` that `keep` accepts to `to`. Keeps owners and modes; skips anything other than
    /// files, directories and links.
    pub(crate) fn copy(
        &mut self,
        from: &Path,
        to: &str,
        keep: &dyn Fn(&str) -> bool,
    ) -> Result<()> {
        let failed = |error: io::Error| format!("{}: {error}", from.display());
        for entry in fs::read_dir(from).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name();
            let path = format!("{to}/{}", name.to_string_lossy());
            let path = path.trim_start_matches('/').to_owned();
            if !keep(&path) {
                continue;
            }
            let meta = entry.metadata().map_err(failed)?;
            let kind = meta.file_type();
            let content = if kind.is_dir() {
                Content::Directory
            } else if kind.is_symlink() {
                Content::Link(fs::read_link(entry.path()).map_err(failed)?)
            } else if kind.is_file() {
                Content::File(entry.path())
            } else {
                continue;
            };
            let owner = (meta.uid(), meta.gid());
            self.put(&path, meta.permissions().mode() & 0o7777, owner, content);
            if kind.is_dir() {
                self.copy(&entry.path(), &path, keep)?;
            }
        }
        Ok(())
    }

    /// Removes the paths that `wanted` accepts, and everything below them.
    pub(crate) fn remove(&mut self, wanted: impl Fn(&str) -> bool) {
        let gone: Vec<String> = self.0.keys().filter(|path| wanted(path)).cloned().collect();
        let below = |path: &str| {
            let mut above = Path::new(path).ancestors();
            above.any(|dir| {
                gone.binary_search_by(|gone| Path::new(gone).cmp(dir))
                    .is_ok()
            })
        };
        let mut kept = BTreeMap::new();
        std::mem::swap(&mut kept, &mut self.0);
        kept.retain(|path, _| !below(path));
        self.0 = kept;
    }

    /// Whether there is an entry at `path`.
    pub(crate) fn has(&self, path: &str) -> bool {
        self.0.contains_key(&normal(path))
    }

    /// The executable files and the links directly in the directory `dir`.
    pub(crate) fn programs_in(&self, dir: &str) -> Vec<String> {
        let dir = format!("{}/", normal(dir));
        let runs = |entry: &Entry| match entry.content {
            Content::Directory => false,
            Content::Link(_) => true,
            Content::Bytes(_) | Content::File(_) => entry.mode & 0o111 != 0,
        };
        let here = self.0.range(dir.clone()..);
        here.take_while(|(path, _)| path.starts_with(&dir))
            .filter(|(path, entry)| !path[dir.len()..].contains('/') && runs(entry))
            .map(|(path, _)| format!("/{path}"))
            .collect()
    }

    fn put(&mut self, path: &str, mode: u32, owner: (u32, u32), content: Content) {
        let path = normal(path);
        for (at, _) in path.match_indices('/') {
            self.0.entry(path[..at].to_owned()).or_insert(Entry {
                mode: 0o755,
                owner: (0, 0),
                content: Content::Directory,
            });
        }
        let entry = Entry {
            mode,
            owner,
            content,
        };
        self.0.insert(path, entry);
    }

    /// Writes the layer: names sorted, every time 0.
    pub(crate) fn write(&self, out: impl Write) -> Result<()> {
        let mut builder = Builder::new(out);
        for (path, entry) in &self.0 {
            append(&mut builder, path, entry).map_err(|error| format!("/{path}: {error}"))?;
        }
        let out = builder.into_inner();
        out.and_then(|mut out| out.flush())
            .map_err(|error| error.to_string())
    }
}

fn append(builder: &mut Builder<impl Write>, path: &str, entry: &Entry) -> io::Result<()> {
    let mut header = Header::new_gnu();
    header.set_mode(entry.mode);
    header.set_uid(entry.owner.0.into());
    header.set_gid(entry.owner.1.into());
    header.set_mtime(0);
    header.set_size(0);
    match &entry.content {
        Content::Directory => {
            header.set_entry_type(EntryType::Directory);
            builder.append_data(&mut header, format!("{path}/"), io::empty())
        }
        Content::Link(target) => {
            header.set_entry_type(EntryType::Symlink);
            builder.append_link(&mut header, path, target)
        }
        Content::Bytes(bytes) => {
            header.set_size(bytes.len() as u64);
            builder.append_data(&mut header, path, bytes.as_slice())
        }
        Content::File(from) => {
            let failed = |error| io::Error::other(format!("{}: {error}", from.display()));
            let file = fs::File::open(from).map_err(failed)?;
            header.set_size(file.metadata()?.len());
            builder.append_data(&mut header, path, file)
        }
    }
}

fn link(target: &str) -> Entry {
    Entry {
        mode: 0o777,
        owner: (0, 0),
        content: Content::Link(target.into()),
    }
}

/// The path relative to the root, with the links into `/usr` and `/run` resolved.
fn normal(path: &str) -> String {
    let path = path.trim_matches('/');
    let (first, rest) = path.split_once('/').unwrap_or((path, ""));
    if MERGED.contains(&first) && !rest.is_empty() {
        return format!("usr/{path}");
    }
    for (from, to) in [("var/run/", "run/"), ("var/lock/", "run/lock/")] {
        if let Some(rest) = path.strip_prefix(from) {
            return format!("{to}{rest}");
        }
    }
    path.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layer_is_independent_of_order_and_follows_links() {
        let made = |paths: [&str; 2]| {
            let mut tree = Tree::skeleton();
            for path in paths {
                let name = path.rsplit('/').next().unwrap();
                tree.bytes(path, 0o755, 65532, name.as_bytes());
            }
            let mut layer = Vec::new();
            tree.write(&mut layer).unwrap();
            layer
        };
        let layer = made(["/bin/a", "/var/run/b"]);
        assert_eq!(layer, made(["/run/b", "/usr/bin/a"]));
        let mut archive = tar::Archive::new(layer.as_slice());
        let entries = archive.entries().unwrap();
        let entries = entries.map(|entry| {
            let entry = entry.unwrap();
            let path = entry.path().unwrap().display().to_string();
            (
                path,
                entry.header().uid().unwrap(),
                entry.header().mtime().unwrap(),
            )
        });
        let files: Vec<_> = entries.filter(|(_, uid, _)| *uid == 65532).collect();
        let expected = ["run/b", "usr/bin/a"].map(|path| (path.to_owned(), 65532, 0));
        assert_eq!(files, expected);
    }

    #[test]
    fn removing_a_directory_removes_everything_below_it() {
        let mut tree = Tree::skeleton();
        tree.bytes("/usr/share/doc/a/b", 0o644, 0, b"");
        tree.bytes("/usr/share/doc-base", 0o644, 0, b"");
        tree.remove(|path| path == "usr/share/doc");
        assert!(!tree.has("/usr/share/doc/a/b") && !tree.has("/usr/share/doc/a"));
        assert!(tree.has("/usr/share/doc-base"));
    }
}
