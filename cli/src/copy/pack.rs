//! Packs a local file or directory into an archive for the workspace.
//!
//! Other processes may change the tree meanwhile. So each directory is opened relative to its parent, which prevents links from
//! leading outside, and metadata and contents are read from the open file.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use tar::{Builder, EntryType, Header};

use super::names::{EntryKind, Judge};
use super::{Bounded, Copied, refused};
use crate::error::{Error, Result};
use crate::platform::{as_path, bytes, reading};
use crate::{multipass, signals};

/// The workspace's user, who owns the files there.
const USER: &str = "polis";
const UID: u64 = 1000;

/// Writes `source` to `archive` under its own name, which is returned. `tell` is called with the number of bytes read.
///
/// # Errors
/// Of kind `Usage`, if something does not exist, is not a file, directory or link that stays inside, has an unusable name or is
/// too large; of kind `Interrupted`.
pub(crate) fn pack(
    source: &Path,
    judge: Judge,
    archive: &File,
    tell: &mut dyn FnMut(u64),
) -> Result<(Copied, String)> {
    let root = fs::canonicalize(source).map_err(|error| refused(source, error.to_string()))?;
    let (Some(above), Some(name)) = (root.parent(), root.file_name()) else {
        return Err(refused(source, "it is the root of a file system"));
    };
    let mut packer = Packer {
        builder: Builder::new(BufWriter::with_capacity(1 << 16, archive)),
        judge,
        copied: Copied::default(),
        tell,
    };
    let failed = |error: io::Error| refused(&root, error.to_string());
    let above = Dir::open_ambient_dir(above, ambient_authority()).map_err(failed)?;
    packer.entry(&root, &above, name, b"")?;
    let written = packer.builder.into_inner().and_then(|mut out| out.flush());
    written.map_err(|error| stopped(&root, &error))?;
    Ok((packer.copied, name.to_string_lossy().into_owned()))
}

struct Packer<'a> {
    builder: Builder<BufWriter<&'a File>>,
    judge: Judge,
    copied: Copied,
    tell: &'a mut dyn FnMut(u64),
}

impl Packer<'_> {
    /// Adds `name` of `dir`, which is at `path`, and everything below it. `above` is the name of `dir` in the archive, with a
    /// trailing slash.
    fn entry(&mut self, path: &Path, dir: &Dir, name: &OsStr, above: &[u8]) -> Result<()> {
        let inside = bytes(name).map_err(|reason| refused(path, reason))?;
        let inside = &[above, &inside].concat();
        let io = |error: io::Error| stopped(path, &error);
        if signals::came() {
            return Err(multipass::interrupted());
        }
        let kind = dir.symlink_metadata(name).map_err(io)?.file_type();
        if kind.is_dir() {
            let below = dir.open_dir(name).map_err(io)?;
            return self.directory(path, &below, inside);
        }
        if kind.is_symlink() {
            let target = dir.read_link_contents(name).map_err(io)?;
            return self.link(path, &target, inside);
        }
        if !kind.is_file() {
            return Err(refused(path, ODD));
        }
        let file = dir.open_with(name, &reading()).map_err(io)?.into_std();
        self.file(path, &file, inside)
    }

    fn directory(&mut self, path: &Path, dir: &Dir, inside: &[u8]) -> Result<()> {
        let io = |error: io::Error| stopped(path, &error);
        let mode = mode_of(
            &dir.try_clone()
                .map_err(io)?
                .into_std_file()
                .metadata()
                .map_err(io)?,
        );
        self.admit(path, inside, EntryKind::Directory, 0, b"")?;
        let mut header = header(EntryType::Directory, mode, 0);
        let name = [inside, b"/"].concat();
        let added = append(&mut self.builder, &mut header, &name, io::empty());
        added.map_err(io)?;
        let entries = dir.entries().map_err(io)?;
        let names: io::Result<Vec<OsString>> = entries
            .map(|entry| entry.map(|entry| entry.file_name()))
            .collect();
        let mut names = names.map_err(io)?;
        names.sort_unstable();
        for name in names {
            self.entry(&path.join(&name), dir, &name, &[inside, b"/"].concat())?;
        }
        Ok(())
    }

    fn link(&mut self, path: &Path, target: &Path, inside: &[u8]) -> Result<()> {
        let text = bytes(target.as_os_str()).map_err(|reason| refused(path, reason))?;
        self.admit(path, inside, EntryKind::Link, 0, &text)?;
        let mut header = header(EntryType::Symlink, 0o777, 0);
        let name = as_path(inside).map_err(|reason| refused(path, reason))?;
        let added = self.builder.append_link(&mut header, name, target);
        self.copied.files += 1;
        added.map_err(|error| stopped(path, &error))
    }

    fn file(&mut self, path: &Path, file: &File, inside: &[u8]) -> Result<()> {
        let data = file.metadata().map_err(|error| stopped(path, &error))?;
        if !data.is_file() {
            return Err(refused(path, ODD));
        }
        self.admit(path, inside, EntryKind::File, data.len(), b"")?;
        let mut header = header(EntryType::Regular, mode_of(&data), data.len());
        let content = Bounded {
            from: file,
            left: data.len(),
            count: &mut self.copied.bytes,
            tell: self.tell,
        };
        let added = append(&mut self.builder, &mut header, inside, content);
        self.copied.files += 1;
        added.map_err(|error| stopped(path, &error))
    }

    fn admit(
        &mut self,
        path: &Path,
        name: &[u8],
        kind: EntryKind,
        size: u64,
        to: &[u8],
    ) -> Result<()> {
        let admitted = self.judge.admit(name, kind, size, to);
        admitted.map(drop).map_err(|reason| refused(path, reason))
    }
}

const ODD: &str = "it is neither a file, a directory nor a link";

fn append(
    builder: &mut Builder<BufWriter<&File>>,
    header: &mut Header,
    name: &[u8],
    content: impl io::Read,
) -> io::Result<()> {
    builder.append_data(header, as_path(name).map_err(io::Error::other)?, content)
}

fn header(kind: EntryType, mode: u32, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_mtime(0);
    header.set_uid(UID);
    header.set_gid(UID);
    // Fails only for longer names.
    let _short_enough = header.set_username(USER).and(header.set_groupname(USER));
    header
}

/// The mode without setuid, setgid and sticky bits.
#[cfg(unix)]
fn mode_of(data: &fs::Metadata) -> u32 {
    use std::os::unix::fs::MetadataExt as _;
    data.mode() & 0o777
}

/// Windows has no modes.
#[cfg(not(unix))]
fn mode_of(data: &fs::Metadata) -> u32 {
    if data.is_dir() { 0o755 } else { 0o644 }
}

/// The error of reading `path` or writing the archive, which may be due to a signal.
fn stopped(path: &Path, error: &io::Error) -> Box<Error> {
    match signals::came() {
        true => multipass::interrupted(),
        false => refused(path, error.to_string()),
    }
}
