//! Reads files of an untrusted tree: regular files inside the root, of bounded size.
//!
//! A pull request can contain links, and a tree that was unpacked by hand any type of file. What is read ends up in
//! reports and images, so links must not lead out of the tree.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// The size limit for text files; ours have at most some hundred kilobytes.
const LARGEST_TEXT: u64 = 16 << 20;
/// The size limit for any file, including the programs that go into images.
const LARGEST: u64 = 512 << 20;

/// The text of `root/path`.
///
/// # Errors
/// As [`bytes`], and if it is not UTF-8.
pub fn text(root: &Path, path: &str) -> Result<String> {
    let bytes = read(root, path, LARGEST_TEXT)?;
    String::from_utf8(bytes)
        .map_err(|_| Error::findings(format!("`{}` is not UTF-8 text", root.join(path).display())))
}

/// The bytes of `root/path`.
///
/// # Errors
/// If it is missing, is not a regular file, leads out of `root`, or exceeds the size limit. The error names it.
pub fn bytes(root: &Path, path: &str) -> Result<Vec<u8>> {
    read(root, path, LARGEST)
}

/// The path `root/path` with all links resolved.
///
/// # Errors
/// If it is missing or leads out of `root`.
pub fn inside(root: &Path, path: &str) -> Result<PathBuf> {
    let full = root.join(path);
    let resolve = |path: &Path| fs::canonicalize(path);
    let found = resolve(&full).map_err(|error| unreadable(&full, &error))?;
    let top = resolve(root).map_err(|error| unreadable(root, &error))?;
    if found.starts_with(&top) {
        return Ok(found);
    }
    Err(refused(
        &full,
        &format!("leads out of the tree, to `{}`", found.display()),
    ))
}

fn read(root: &Path, path: &str, most: u64) -> Result<Vec<u8>> {
    let full = root.join(path);
    let found = inside(root, path)?;
    let failed = |error: io::Error| unreadable(&full, &error);
    // Check before opening, because opening a FIFO waits for a writer.
    if !fs::metadata(&found).map_err(failed)?.is_file() {
        return Err(refused(&full, "is not a regular file"));
    }
    let mut bytes = Vec::new();
    let mut file = File::open(&found).map_err(failed)?.take(most + 1);
    file.read_to_end(&mut bytes).map_err(failed)?;
    match bytes.len() as u64 > most {
        true => Err(refused(
            &full,
            &format!("is larger than {} MiB", most >> 20),
        )),
        false => Ok(bytes),
    }
}

fn refused(full: &Path, reason: &str) -> Error {
    Error::findings(format!("`{}` {reason}", full.display()))
        .hint("replace it by the regular file in git")
}

fn unreadable(full: &Path, error: &io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::NotFound => Error::findings(format!("`{}` is missing", full.display()))
            .hint("run this from a complete checkout, or name one with --root DIR"),
        _ => Error::io("read", full, error),
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::process::Run;

    #[test]
    fn only_a_regular_file_inside_the_tree_is_read() {
        let outside = tempfile::NamedTempFile::new().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir(at("dir")).unwrap();
        fs::write(at("dir/plain"), "x").unwrap();
        fs::write(at("latin"), b"\xe9").unwrap();
        symlink("dir/plain", at("within")).unwrap();
        symlink(outside.path(), at("out")).unwrap();
        symlink("/dev/zero", at("device")).unwrap();
        symlink("/", at("top")).unwrap();
        symlink("round", at("round")).unwrap();
        Run::new("mkfifo").arg(at("fifo")).output().unwrap();
        let large = File::create(at("large")).unwrap();
        large.set_len(LARGEST_TEXT + 1).unwrap();
        assert_eq!(text(dir.path(), "dir/plain").unwrap(), "x");
        assert_eq!(text(dir.path(), "within").unwrap(), "x");
        for (path, said) in [
            ("out", "leads out of the tree"),
            ("device", "leads out of the tree"),
            ("top/etc/hostname", "leads out of the tree"),
            ("../", "leads out of the tree"),
            ("/etc/passwd", "leads out of the tree"),
            ("fifo", "is not a regular file"),
            ("dir", "is not a regular file"),
            ("large", "is larger than 16 MiB"),
            ("latin", "is not UTF-8 text"),
            ("round", "cannot read"),
            ("none", "is missing"),
        ] {
            let error = text(dir.path(), path).expect_err(path).to_string();
            assert!(error.contains(said), "{path}: {error}");
        }
    }
}
