//! Atomic writes: files are written to a temporary file in the same directory and renamed. Readers see either the old
//! or the new content, and a full disk or a kill loses nothing.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::{NamedTempFile, PersistError};

use crate::error::{Error, Result};
use crate::tree;

/// Replaces `path` with `bytes`. Keeps the mode of an existing file, and creates missing directories.
///
/// # Errors
/// If the file system fails; the old file is then unchanged, and no temporary file remains.
pub fn atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    persist(staged(path, bytes)?, path)
}

/// Replaces several files as [`atomically`] does: either all of them or none.
///
/// Everything that can fail for lack of space or permission happens before the first file is replaced. If a replacement
/// fails nevertheless, the earlier ones are undone.
///
/// # Errors
/// If the file system fails. If a file cannot be restored either, the error names the file that holds the old content.
pub fn all_or_none(files: &[(PathBuf, &[u8])]) -> Result<()> {
    let mut fresh = Vec::new();
    for (path, bytes) in files {
        let old = fs::read(path).map_err(|error| Error::io("read", path, &error))?;
        fresh.push((path.as_path(), staged(path, bytes)?, staged(path, &old)?));
    }
    replace_all(fresh, |file, path| file.persist(path).map(drop))
}

/// Moves each new file to its path by `persist`, or restores all old files.
fn replace_all(
    fresh: Vec<(&Path, NamedTempFile, NamedTempFile)>,
    persist: impl Fn(NamedTempFile, &Path) -> std::result::Result<(), PersistError>,
) -> Result<()> {
    let mut replaced = Vec::new();
    for (path, new, old) in fresh {
        if let Err(failed) = persist(new, path) {
            let kept = restore(replaced, persist);
            let error = Error::io("replace", path, &failed.error);
            return Err(match kept.is_empty() {
                true => error.hint("nothing was changed"),
                false => kept.into_iter().fold(error, Error::hint),
            });
        }
        replaced.push((path, old));
    }
    Ok(())
}

/// Restores all old files in reverse order. Returns hints for those that cannot be restored; no old content is ever
/// deleted.
fn restore(
    replaced: Vec<(&Path, NamedTempFile)>,
    persist: impl Fn(NamedTempFile, &Path) -> std::result::Result<(), PersistError>,
) -> Vec<String> {
    let mut kept = Vec::new();
    for (path, old) in replaced.into_iter().rev() {
        let Err(failed) = persist(old, path) else {
            continue;
        };
        let copy = failed.file.path().to_owned();
        let (path, copy_name) = (path.display(), copy.display());
        kept.push(match failed.file.keep() {
            Ok(_) => {
                format!("`{path}` was changed; its old content is in `{copy_name}`: move it back")
            }
            Err(error) => format!("`{path}` was changed, and its old content is lost: {error}"),
        });
    }
    kept
}

/// Writes the new content of `path` to a temporary file in the same directory, and syncs it.
fn staged(path: &Path, bytes: &[u8]) -> Result<NamedTempFile> {
    let failed = |doing: &str, error: &io::Error| Error::io(doing, path, error);
    let dir = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(dir).map_err(|error| failed("create the directory of", &error))?;
    let mut file = NamedTempFile::new_in(dir).map_err(|error| failed("write", &error))?;
    file.write_all(bytes)
        .map_err(|error| failed("write", &error))?;
    file.as_file()
        .sync_all()
        .map_err(|error| failed("write", &error))?;
    keep_mode(&file, path).map_err(|error| failed("set the mode of", &error))?;
    Ok(file)
}

fn persist(file: NamedTempFile, path: &Path) -> Result<()> {
    file.persist(path)
        .map(drop)
        .map_err(|error| Error::io("replace", path, &error.error))
}

/// Copies the mode of the file to replace, or else sets 0644: temporary files are created with 0600.
#[cfg(unix)]
fn keep_mode(file: &NamedTempFile, replaced: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let permissions = match fs::metadata(replaced) {
        Ok(metadata) => metadata.permissions(),
        Err(_) => fs::Permissions::from_mode(0o644),
    };
    file.as_file().set_permissions(permissions)
}

#[cfg(not(unix))]
fn keep_mode(_file: &NamedTempFile, _replaced: &Path) -> io::Result<()> {
    Ok(())
}

/// The mode of an executable file.
pub const EXECUTABLE: u32 = 0o755;

/// Sets the mode of `path` if the file system supports modes.
///
/// # Errors
/// If the file system fails.
pub fn set_mode(path: &Path, mode: u32) -> Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(path, fs::Permissions::from_mode(mode))
            .map_err(|error| Error::io("set the mode of", path, &error))?;
    }
    let _ = (path, mode);
    Ok(())
}

/// Adds the paths of all files below `root/dir` to `found`, relative to `root`, sorted.
///
/// # Errors
/// If a directory cannot be read, or `dir` leads out of `root`.
pub fn files_below(root: &Path, dir: &str, found: &mut Vec<String>) -> Result<()> {
    let full = tree::inside(root, dir)?;
    let failed = |error: std::io::Error| Error::io("read", &full, &error);
    let mut names = Vec::new();
    for entry in fs::read_dir(&full).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        // Do not follow links to directories, which may lead out of the tree or form a cycle.
        let is_dir = entry.file_type().map_err(failed)?.is_dir();
        names.push((
            format!("{dir}/{}", entry.file_name().to_string_lossy()),
            is_dir,
        ));
    }
    names.sort();
    for (path, is_dir) in names {
        if is_dir {
            files_below(root, &path, found)?;
        } else {
            found.push(path);
        }
    }
    Ok(())
}

/// Replaces the directory `target` with a new one that `fill` populates.
///
/// An existing `target` is only replaced if it is empty or contains the file `marker`, so that a mistyped `--output`
/// does not delete unrelated files.
///
/// # Errors
/// If `target` must not be replaced, `fill` fails, or the file system fails. `target` is then unchanged.
pub fn directory(
    target: &Path,
    marker: &str,
    fill: impl FnOnce(&Path) -> Result<()>,
) -> Result<()> {
    if !replaceable(target, marker)? {
        return Err(
            Error::usage(format!("`{}` contains other files", target.display()))
                .because(format!("it is not empty and has no `{marker}`"))
                .hint("name a new directory, or empty this one"),
        );
    }
    let parent = target
        .parent()
        .filter(|dir| !dir.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(|error| Error::io("create", parent, &error))?;
    let fresh = tempfile::Builder::new()
        .prefix(".new-")
        .tempdir_in(parent)
        .map_err(|error| Error::io("create a directory in", parent, &error))?;
    let inner = fresh.path().join("content");
    fs::create_dir(&inner).map_err(|error| Error::io("create", &inner, &error))?;
    fill(&inner)?;
    let old = fresh.path().join("old");
    match exchange(&inner, target, &old, |from, to| fs::rename(from, to)) {
        Err((error, false)) => {
            // The old directory is in there, so it must not be deleted.
            let _ = fresh.keep();
            Err(error)
        }
        Err((error, true)) => Err(error),
        Ok(()) => Ok(()),
    }
}

/// Moves `target` to `old` if it exists, and `new` to `target`. The error also says whether `target` is unchanged.
fn exchange(
    new: &Path,
    target: &Path,
    old: &Path,
    rename: impl Fn(&Path, &Path) -> io::Result<()>,
) -> std::result::Result<(), (Error, bool)> {
    let failed = |error: &io::Error| Error::io("replace", target, error);
    let moved = target.exists();
    if moved {
        rename(target, old).map_err(|error| (failed(&error), true))?;
    }
    let Err(error) = rename(new, target) else {
        return Ok(());
    };
    match moved.then(|| rename(old, target)) {
        None | Some(Ok(())) => Err((failed(&error).hint("nothing was changed"), true)),
        Some(Err(_)) => {
            let hint = format!(
                "the old directory is `{}`: move it back to `{}`",
                old.display(),
                target.display()
            );
            Err((failed(&error).hint(hint), false))
        }
    }
}

fn replaceable(target: &Path, marker: &str) -> Result<bool> {
    if !target.exists() || target.join(marker).exists() {
        return Ok(true);
    }
    let mut entries = fs::read_dir(target).map_err(|error| Error::io("read", target, &error))?;
    Ok(entries.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_fill_leaves_the_old_directory() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("out");
        directory(&target, "a", |new| atomically(&new.join("a"), b"1")).unwrap();
        let failed = directory(&target, "a", |new| {
            atomically(&new.join("a"), b"2")?;
            Err(Error::findings("no"))
        });
        assert!(failed.is_err());
        assert_eq!(fs::read(target.join("a")).unwrap(), b"1");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_directory_that_cannot_be_replaced_is_restored() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("out");
        directory(&target, "a", |new| atomically(&new.join("a"), b"1")).unwrap();
        let failed = directory(&target, "a", |new| {
            // The renames after the old directory has moved now fail.
            fs::remove_dir(new).map_err(|error| Error::io("remove", new, &error))
        });
        assert!(failed.is_err());
        assert_eq!(fs::read(target.join("a")).unwrap(), b"1");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn several_files_change_together_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let [one, two] = ["one", "two"].map(|name| dir.path().join(name));
        fs::write(&one, "1").unwrap();
        fs::create_dir(&two).unwrap();
        // Reading a directory fails, so nothing is replaced.
        let files = [(one.clone(), &b"x"[..]), (two.clone(), &b"y"[..])];
        assert!(all_or_none(&files).is_err());
        assert_eq!(fs::read(&one).unwrap(), b"1");
        fs::remove_dir(&two).unwrap();
        fs::write(&two, "2").unwrap();
        all_or_none(&files).unwrap();
        assert_eq!(fs::read(&one).unwrap(), b"x");
        assert_eq!(fs::read(&two).unwrap(), b"y");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }

    /// Replaces files while the renames with the numbers in `fails` fail.
    fn with_failures(fails: &[usize]) -> (Vec<String>, usize, Option<Error>) {
        let dir = tempfile::tempdir().unwrap();
        let paths = ["a", "b", "c"].map(|name| dir.path().join(name));
        let stage = |path: &PathBuf| {
            fs::write(path, "old").unwrap();
            (staged(path, b"new").unwrap(), staged(path, b"old").unwrap())
        };
        let fresh = paths.each_ref().map(|path| {
            let (new, old) = stage(path);
            (path.as_path(), new, old)
        });
        let calls = std::cell::Cell::new(0);
        let result = replace_all(fresh.into(), |file, path| {
            calls.set(calls.get() + 1);
            if fails.contains(&calls.get()) {
                let error = io::Error::from(io::ErrorKind::ReadOnlyFilesystem);
                return Err(PersistError { error, file });
            }
            file.persist(path).map(drop)
        });
        let left = fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().path());
        let copies = left.filter(|path| !paths.contains(path));
        let copies = copies
            .filter(|path| fs::read(path).unwrap() == b"old")
            .count();
        (
            paths.map(|path| fs::read_to_string(path).unwrap()).into(),
            copies,
            result.err(),
        )
    }

    #[test]
    fn a_failure_restores_all_other_files() {
        assert_eq!(with_failures(&[]).0, ["new", "new", "new"]);
        for (fails, content, copies) in [
            (&[1][..], ["old", "old", "old"], 0),
            (&[2], ["old", "old", "old"], 0),
            (&[3], ["old", "old", "old"], 0),
            (&[3, 4], ["old", "new", "old"], 1),
            (&[3, 5], ["new", "old", "old"], 1),
            (&[3, 4, 5], ["new", "new", "old"], 2),
        ] {
            let (found, kept, error) = with_failures(fails);
            assert_eq!(
                (found, kept),
                (content.map(str::to_owned).into(), copies),
                "{fails:?}"
            );
            let hints = error.expect("one failed").hints;
            assert_eq!(hints.len(), copies.max(1), "{hints:?}");
            assert_eq!(hints[0] == "nothing was changed", copies == 0, "{hints:?}");
        }
    }

    #[test]
    fn an_old_directory_is_never_deleted() {
        let dir = tempfile::tempdir().unwrap();
        let [new, target, old] = ["new", "target", "old"].map(|name| dir.path().join(name));
        for path in [&new, &target] {
            fs::create_dir(path).unwrap();
        }
        let calls = std::cell::Cell::new(0);
        let failed = exchange(&new, &target, &old, |from, to| {
            calls.set(calls.get() + 1);
            match calls.get() {
                1 => fs::rename(from, to),
                _ => Err(io::Error::from(io::ErrorKind::ReadOnlyFilesystem)),
            }
        });
        let (error, untouched) = failed.expect_err("two renames fail");
        assert!(!untouched && old.exists() && !target.exists());
        assert!(error.to_string().contains("move it back"), "{error}");
    }

    #[test]
    fn an_unrelated_directory_is_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        atomically(&dir.path().join("thesis.txt"), b"1").unwrap();
        let error = directory(dir.path(), "oci-layout", |_| Ok(())).expect_err("not ours");
        assert!(
            error.to_string().contains("contains other files"),
            "{error}"
        );
        assert!(dir.path().join("thesis.txt").exists());
    }

    #[cfg(unix)]
    #[test]
    fn a_replaced_file_keeps_its_mode() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run.sh");
        atomically(&path, b"1").unwrap();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o644
        );
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        atomically(&path, b"2").unwrap();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o755
        );
    }
}
