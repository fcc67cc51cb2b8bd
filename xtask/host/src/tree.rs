//! Reads a file of a tree that nobody vouches for: a regular one, inside the root, of bounded size.
//!
//! A pull request can bring links and, unpacked by hand, a tree anything else that has a name. What
//! is read ends up in reports and images, so a link must not lead out of the tree.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// The largest text of a tree: the files of ours have some hundred kilobytes at most.
const LARGEST_TEXT: u64 = 16 << 20;
/// The largest file of any kind: programs that go into images.
const LARGEST: u64 = 512 << 20;

/// The text of `root/path`.
///
/// # Errors
/// As [`bytes`], and when it is not UTF-8.
pub fn text(root: &Path, path: &str) -> Result<String> {
    let bytes = read(root, path, LARGEST_TEXT)?;
    String::from_utf8(bytes)
        .map_err(|_| Error::findings(format!("`{}` is not UTF-8 text", root.join(path).display())))
}

/// The bytes of `root/path`.
///
/// # Errors
/// When it is missing, is not a regular file, leads out of `root` or is larger than any file of
/// ours; the error names it.
pub fn bytes(root: &Path, path: &str) -> Result<Vec<u8>> {
    read(root, path, LARGEST)
}

/// The path of `root/path` with all links followed.
///
/// # Errors
/// When it is missing or leads out of `root`.
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
    // Before it is opened: to open a FIFO waits for a writer.
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
        .hint("put a regular file there, as git keeps it")
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
