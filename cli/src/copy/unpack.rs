//! Unpacks an archive of the workspace: checks all of it, then writes it beside its destination, then renames it.
//!
//! The headers are read once, raw, into a list from which the files are written: two readers could disagree about where a
//! header begins. The guest's tar writes only files, directories, symbolic links and their long names; everything else is
//! refused.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use cap_std::fs::{Dir, DirBuilder, OpenOptions};
use tar::{Archive, EntryType};

use super::names::{EntryKind, Judge, LONGEST};
use super::{Bounded, Copied, unique};
use crate::platform::as_path;
use crate::signals;

/// An admitted entry.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Item {
    /// The path below the copy's root; empty for the root.
    path: Vec<u8>,
    content: Content,
    /// Without setuid, setgid and sticky bits.
    mode: u32,
}

#[derive(Debug, PartialEq, Eq)]
enum Content {
    Directory,
    /// Its contents are `size` bytes at the offset `at` of the archive.
    File {
        at: u64,
        size: u64,
    },
    /// Its target.
    Link(Vec<u8>),
}

/// The entries of `archive`, all admitted by `judge`; the first is the copy's root.
///
/// # Errors
/// Which entry is refused, and why.
pub(crate) fn judged(mut archive: &File, mut judge: Judge) -> Result<Vec<Item>, String> {
    let damaged = |error: io::Error| format!("it is not an archive: {error}");
    let length = archive.seek(SeekFrom::End(0)).map_err(damaged)?;
    archive.seek(SeekFrom::Start(0)).map_err(damaged)?;
    let mut reader = Archive::new(archive);
    let (mut items, mut long) = (Vec::new(), LongNames::default());
    for entry in reader.entries_with_seek().map_err(damaged)?.raw(true) {
        let mut entry = entry.map_err(damaged)?;
        let (at, size) = (entry.raw_file_position(), entry.size());
        if at.checked_add(size).is_none_or(|end| end > length) {
            return Err("it is not an archive: it ends in the middle of a file".to_owned());
        }
        if long.takes(&mut entry)? {
            continue;
        }
        let name = long.name.take();
        let name = name.unwrap_or_else(|| entry.path_bytes().into_owned());
        let target = long.target.take();
        let target = target.or_else(|| entry.link_name_bytes().map(|target| target.into_owned()));
        let refused = |reason: String| format!("`{}`: {reason}", String::from_utf8_lossy(&name));
        let (kind, content) = match entry.header().entry_type() {
            EntryType::Regular => (EntryKind::File, Content::File { at, size }),
            EntryType::Directory => (EntryKind::Directory, Content::Directory),
            EntryType::Symlink => (
                EntryKind::Link,
                Content::Link(target.clone().unwrap_or_default()),
            ),
            EntryType::Link => return Err(refused("it is a hard link".to_owned())),
            _ => {
                return Err(refused(
                    "it is neither a file, a directory nor a link".to_owned(),
                ));
            }
        };
        if kind != EntryKind::File && size > 0 {
            return Err(refused("it has contents, but is not a file".to_owned()));
        }
        let path = judge.admit(&name, kind, size, &target.unwrap_or_default());
        let mode = entry.header().mode().map_err(damaged)? & 0o777;
        let path = path.map_err(refused)?;
        items.push(Item {
            path,
            content,
            mode,
        });
    }
    match items.is_empty() || long.name.is_some() || long.target.is_some() {
        true => Err("it is not an archive: it ends too early".to_owned()),
        false => Ok(items),
    }
}

/// The long name and target that GNU tar writes before their entry.
#[derive(Debug, Default)]
struct LongNames {
    name: Option<Vec<u8>>,
    target: Option<Vec<u8>>,
}

impl LongNames {
    /// Whether `entry` is one of these, which is then stored for the next entry.
    fn takes<R: Read>(&mut self, entry: &mut tar::Entry<'_, R>) -> Result<bool, String> {
        let place = match entry.header().entry_type() {
            EntryType::GNULongName => &mut self.name,
            EntryType::GNULongLink => &mut self.target,
            _ => return Ok(false),
        };
        // With a trailing NUL.
        if place.is_some() || entry.size() > LONGEST as u64 + 1 {
            return Err(format!(
                "a name is longer than {LONGEST} bytes, or there are two"
            ));
        }
        let mut text = Vec::new();
        entry
            .read_to_end(&mut text)
            .map_err(|error| format!("it is not an archive: {error}"))?;
        text.pop_if(|last| *last == 0);
        *place = Some(text);
        Ok(true)
    }
}

/// Whether the copy is a directory, not a single file.
pub(crate) fn is_directory(items: &[Item]) -> bool {
    items
        .first()
        .is_some_and(|root| root.content == Content::Directory)
}

/// Writes `items` of `archive` as `name` in `dir`, completely or not at all. `tell` is called with the number of bytes
/// written.
///
/// # Errors
/// When something cannot be written, or a signal arrives; then nothing is left.
pub(crate) fn write(
    items: &[Item],
    archive: &File,
    dir: &Dir,
    name: &Path,
    tell: &mut dyn FnMut(u64),
) -> io::Result<Copied> {
    let beside = PendingFile {
        dir,
        name: unique(),
        items,
    };
    let mut copied = Copied::default();
    if is_directory(items) {
        let mut builder = DirBuilder::new();
        private(&mut builder);
        dir.create_dir_with(&beside.name, &builder)?;
        let root = dir.open_dir(&beside.name)?;
        below(&items[1..], archive, &root, &builder, &mut copied, tell)?;
        // From the deepest up, since some become read-only.
        for item in items
            .iter()
            .rev()
            .filter(|item| item.content == Content::Directory)
        {
            set_mode(dir, &beside.path(item)?, item.mode)?;
        }
    } else {
        for item in items {
            let file = file(
                item,
                archive,
                dir,
                Path::new(&beside.name),
                &mut copied,
                tell,
            )?;
            // It may replace another file, which a crash must not turn into an empty one.
            file.sync_all()?;
        }
    }
    dir.rename(&beside.name, dir, name)?;
    std::mem::forget(beside);
    Ok(copied)
}

/// Fills the directory `root`. Links come last, so that nothing is written through one.
fn below(
    items: &[Item],
    archive: &File,
    root: &Dir,
    builder: &DirBuilder,
    copied: &mut Copied,
    tell: &mut dyn FnMut(u64),
) -> io::Result<()> {
    for item in items {
        if signals::came() {
            return Err(io::Error::other("interrupted"));
        }
        let path = as_path(&item.path).map_err(io::Error::other)?;
        match &item.content {
            Content::Directory => root.create_dir_with(path, builder)?,
            Content::File { .. } => drop(file(item, archive, root, path, copied, tell)?),
            Content::Link(_) => {}
        }
    }
    for item in items {
        if let Content::Link(target) = &item.content {
            link(root, target, &item.path)?;
            copied.files += 1;
        }
    }
    Ok(())
}

/// Writes the content of `item` to a new file.
fn file(
    item: &Item,
    mut archive: &File,
    dir: &Dir,
    path: &Path,
    copied: &mut Copied,
    tell: &mut dyn FnMut(u64),
) -> io::Result<File> {
    let Content::File { at, size } = item.content else {
        return Err(io::Error::other("it is not a file"));
    };
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use cap_std::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    let mut out = dir.open_with(path, &options)?.into_std();
    archive.seek(SeekFrom::Start(at))?;
    let mut content = Bounded {
        from: archive,
        left: size,
        count: &mut copied.bytes,
        tell,
    };
    io::copy(&mut content, &mut out)?;
    copied.files += 1;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        out.set_permissions(std::fs::Permissions::from_mode(item.mode))?;
    }
    Ok(out)
}

/// The unfinished copy; removed when dropped, unless it was renamed.
struct PendingFile<'a> {
    dir: &'a Dir,
    name: String,
    items: &'a [Item],
}

impl PendingFile<'_> {
    fn path(&self, item: &Item) -> io::Result<std::path::PathBuf> {
        let below = as_path(&item.path).map_err(io::Error::other)?;
        Ok(Path::new(&self.name).join(below))
    }
}

impl Drop for PendingFile<'_> {
    fn drop(&mut self) {
        if !is_directory(self.items) {
            let _it_was_not_made = self.dir.remove_file(&self.name);
            return;
        }
        // Some directories may already have a mode that prevents removal.
        for item in self
            .items
            .iter()
            .filter(|item| item.content == Content::Directory)
        {
            if let Ok(path) = self.path(item) {
                let _it_was_not_made = set_mode(self.dir, &path, 0o700);
            }
        }
        let _it_was_not_made = self.dir.remove_dir_all(&self.name);
    }
}

#[cfg(unix)]
fn private(builder: &mut DirBuilder) {
    use cap_std::fs::DirBuilderExt as _;
    builder.mode(0o700);
}

#[cfg(not(unix))]
fn private(_builder: &mut DirBuilder) {}

#[cfg(unix)]
fn set_mode(dir: &Dir, path: &Path, mode: u32) -> io::Result<()> {
    use cap_std::fs::{Permissions, PermissionsExt as _};
    dir.set_permissions(path, Permissions::from_mode(mode))
}

#[cfg(not(unix))]
fn set_mode(_dir: &Dir, _path: &Path, _mode: u32) -> io::Result<()> {
    Ok(())
}

#[cfg(unix)]
fn link(root: &Dir, target: &[u8], path: &[u8]) -> io::Result<()> {
    let target = as_path(target).map_err(io::Error::other)?;
    root.symlink(target, as_path(path).map_err(io::Error::other)?)
}

/// The judge admits no links here.
#[cfg(not(unix))]
fn link(_root: &Dir, _target: &[u8], _path: &[u8]) -> io::Result<()> {
    Err(io::Error::other("links cannot be created here"))
}

#[cfg(test)]
mod tests {
    use cap_std::ambient_authority;

    use super::super::names::Bounds;
    use super::*;
    use crate::platform::HERE;

    /// An archive with a read-only directory and two files; `lost` of its bytes are cut off after the check.
    fn written(lost: u64) -> (Vec<std::ffi::OsString>, io::Result<Copied>) {
        let top = std::env::temp_dir().join(format!("polis-unpack-{}-{lost}", std::process::id()));
        std::fs::create_dir_all(top.join("here")).unwrap();
        let mut builder = tar::Builder::new(Vec::new());
        for (name, kind, mode, content) in [
            ("x/", EntryType::Directory, 0o555, &b""[..]),
            ("x/a", EntryType::Regular, 0o444, b"a"),
            ("x/b", EntryType::Regular, 0o444, b"b"),
        ] {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(kind);
            header.set_mode(mode);
            header.set_size(content.len() as u64);
            builder.append_data(&mut header, name, content).unwrap();
        }
        let bytes = builder.into_inner().unwrap();
        let path = top.join("archive");
        std::fs::write(&path, &bytes).unwrap();
        let file = File::options().read(true).write(true).open(&path).unwrap();
        let bounds = Bounds {
            bytes: 2,
            entries: 3,
        };
        let items = judged(&file, Judge::new(HERE, bounds)).unwrap();
        file.set_len(bytes.len() as u64 - lost).unwrap();
        let dir = Dir::open_ambient_dir(top.join("here"), ambient_authority()).unwrap();
        let copied = write(&items, &file, &dir, Path::new("to"), &mut |_| {});
        let left = std::fs::read_dir(top.join("here")).unwrap();
        let left = left.map(|entry| entry.unwrap().file_name()).collect();
        let _it_was_not_made = set_mode(&dir, Path::new("to"), 0o700);
        std::fs::remove_dir_all(top).unwrap();
        (left, copied)
    }

    #[test]
    fn an_interrupted_copy_leaves_nothing() {
        let (left, copied) = written(0);
        assert_eq!(left, ["to"]);
        let expected = Copied { files: 2, bytes: 2 };
        assert_eq!(copied.unwrap(), expected);
        // The last block of content, and the two that end the archive.
        let (left, copied) = written(3 * 512);
        assert_eq!(left, [""; 0]);
        assert!(copied.unwrap_err().to_string().contains("truncated"));
    }
}
