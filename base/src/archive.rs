//! Deterministic tar archives: the same entries give the same bytes on every machine and day.
//!
//! Used for the layer of a native image, the release archive and the bundle built into the CLI. Names are sorted; times,
//! owners and modes of the host are ignored. Modes are given explicitly, because Windows has none.

use std::collections::BTreeMap;
use std::io;

use tar::{Builder, EntryType, Header};

/// The mode of executables.
pub const EXECUTABLE: u32 = 0o755;
/// The mode of everything else.
pub const PLAIN: u32 = 0o644;

/// The files of an archive, by their path inside it (`/` separated, relative).
#[derive(Debug, Default)]
pub struct Files(BTreeMap<String, Entry>);

#[derive(Debug)]
struct Entry {
    mode: u32,
    bytes: Vec<u8>,
}

impl Files {
    /// An archive without files.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a file, replacing one of the same path.
    ///
    /// # Panics
    /// When `path` is absolute or has an empty, `.` or `..` component: callers pass only their own constant paths.
    pub fn add(&mut self, path: &str, mode: u32, bytes: Vec<u8>) {
        assert!(
            path.split('/').all(|part| !matches!(part, "" | "." | "..")),
            "archive path `{path}` is not a plain relative path"
        );
        self.0.insert(path.to_owned(), Entry { mode, bytes });
    }

    /// The content of a file.
    pub fn get(&self, path: &str) -> Option<&[u8]> {
        self.0.get(path).map(|entry| entry.bytes.as_slice())
    }

    /// The paths of all files, sorted.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The uncompressed tar (ustar headers; every time 0, every owner 0), parent directories
    /// first.
    ///
    /// # Errors
    /// When a path is too long for a tar header.
    pub fn to_tar(&self) -> io::Result<Vec<u8>> {
        let mut builder = Builder::new(Vec::new());
        for dir in self.directories() {
            let mut header = header(EntryType::Directory, EXECUTABLE, 0);
            builder.append_data(&mut header, format!("{dir}/"), io::empty())?;
        }
        for (path, entry) in &self.0 {
            let mut header = header(EntryType::Regular, entry.mode, entry.bytes.len() as u64);
            builder.append_data(&mut header, path, entry.bytes.as_slice())?;
        }
        builder.into_inner()
    }

    /// The parent directories of all files, parents before children.
    fn directories(&self) -> Vec<&str> {
        let mut dirs: Vec<&str> = self
            .0
            .keys()
            .flat_map(|path| path.match_indices('/').map(|(at, _)| &path[..at]))
            .collect();
        dirs.sort_unstable();
        dirs.dedup();
        dirs
    }
}

fn header(kind: EntryType, mode: u32, size: u64) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header
}

/// `text` with every CRLF replaced by LF: a checkout on Windows must not put a carriage return after a shebang in the VM.
pub fn without_cr(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for (at, &byte) in text.iter().enumerate() {
        if !(byte == b'\r' && text.get(at + 1) == Some(&b'\n')) {
            out.push(byte);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Digest;

    fn sample(order: &[(&str, u32)]) -> Files {
        let mut files = Files::new();
        for (path, mode) in order {
            files.add(path, *mode, path.as_bytes().to_vec());
        }
        files
    }

    #[test]
    fn order_of_adding_does_not_matter() {
        let one = sample(&[("b/x.sh", EXECUTABLE), ("a", PLAIN)])
            .to_tar()
            .unwrap();
        let two = sample(&[("a", PLAIN), ("b/x.sh", EXECUTABLE)])
            .to_tar()
            .unwrap();
        assert_eq!(Digest::of(&one), Digest::of(&two));
    }

    #[test]
    fn headers_have_modes_and_nothing_from_the_host() {
        let bytes = sample(&[("a/b/run.sh", EXECUTABLE), ("a/c", PLAIN)])
            .to_tar()
            .unwrap();
        let mut archive = tar::Archive::new(bytes.as_slice());
        let seen: Vec<_> = archive
            .entries()
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                let header = entry.header();
                assert_eq!(header.mtime().unwrap(), 0);
                assert_eq!((header.uid().unwrap(), header.gid().unwrap()), (0, 0));
                (
                    entry.path().unwrap().display().to_string(),
                    header.mode().unwrap(),
                )
            })
            .collect();
        let expected = [
            ("a/", 0o755),
            ("a/b/", 0o755),
            ("a/b/run.sh", 0o755),
            ("a/c", 0o644),
        ];
        assert_eq!(seen, expected.map(|(path, mode)| (path.to_owned(), mode)));
    }

    #[test]
    fn carriage_returns_are_removed_only_before_a_newline() {
        assert_eq!(
            without_cr(b"#!/bin/sh\r\necho a\rb\r\n"),
            b"#!/bin/sh\necho a\rb\n"
        );
    }
}
