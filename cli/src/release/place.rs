//! Replaces this program with another: writes it beside the old one, then renames it. A kill at any moment leaves the old or
//! the new program complete; leftovers have names that the next update removes.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, Kind, Result};
use crate::platform;

/// The paths of this program and its update.
#[derive(Debug)]
pub(crate) struct Installation {
    program: PathBuf,
    staged: PathBuf,
    /// Where the old program is moved on Windows, where it is still running.
    aside: PathBuf,
}

/// The new program beside the old one; removed when dropped.
#[derive(Debug)]
pub(crate) struct Staged<'a> {
    place: &'a Installation,
    /// Open until it is filled, since Linux does not run a program that is open for writing.
    file: Option<File>,
}

impl Installation {
    /// The location of the running program, with all links resolved.
    ///
    /// # Errors
    /// When it cannot be found, or belongs to a package manager.
    pub(crate) fn find() -> Result<Self> {
        let found = std::env::current_exe().and_then(fs::canonicalize);
        let program = found.map_err(|error| {
            Error::new(Kind::Update, "could not find the path of this program")
                .caused_by(&error)
                .next("run polis by its current path")
        })?;
        if let Some(update) = platform::managed(&program.to_string_lossy()) {
            return Err(Error::new(
                Kind::Update,
                format!("`{}` belongs to a package manager", program.display()),
            )
            .next(update));
        }
        let beside = |name: &str| {
            let name = format!(".polis-update-{name}{}", std::env::consts::EXE_SUFFIX);
            program.with_file_name(name)
        };
        Ok(Self {
            staged: beside("new"),
            aside: beside("old"),
            program,
        })
    }

    /// Files that a killed update has left, or that a running one uses.
    pub(crate) fn left_over(&self) -> Vec<PathBuf> {
        let each = [&self.staged, &self.aside].into_iter();
        let existing = each.filter(|path| path.symlink_metadata().is_ok());
        existing.cloned().collect()
    }

    pub(crate) fn program(&self) -> &Path {
        &self.program
    }

    /// Removes leftovers of earlier updates, and creates an empty file for the new program, so that an unwritable directory
    /// is noticed before the download.
    ///
    /// # Errors
    /// When the directory cannot be written.
    pub(crate) fn stage(&self) -> Result<Staged<'_>> {
        for left in [&self.staged, &self.aside] {
            match fs::remove_file(left) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(self.unwritable(&error));
                }
                _ => {}
            }
        }
        // `create_new` follows no link.
        let created = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&self.staged);
        let file = created.map_err(|error| self.unwritable(&error))?;
        Ok(Staged {
            place: self,
            file: Some(file),
        })
    }

    fn unwritable(&self, error: &io::Error) -> Box<Error> {
        let dir = self.program.parent().unwrap_or(&self.program);
        Error::new(
            Kind::Update,
            format!("could not write to `{}`", dir.display()),
        )
        .caused_by(&error)
        .next(
            "run this as the user who installed polis, or install it into a directory that you own",
        )
    }
}

impl Staged<'_> {
    pub(crate) fn path(&self) -> &Path {
        &self.place.staged
    }

    /// Writes the new program with the mode of the old one, and syncs it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn fill(&mut self, program: &[u8]) -> Result<()> {
        let place = self.place;
        let Some(mut file) = self.file.take() else {
            return Ok(());
        };
        let mut write = || {
            file.write_all(program)?;
            file.set_permissions(fs::metadata(&place.program)?.permissions())?;
            file.sync_all()
        };
        write().map_err(|error| place.unwritable(&error))
    }

    /// Replaces the old program with the new one.
    ///
    /// # Errors
    /// When it cannot be renamed; the old one stays.
    pub(crate) fn swap(self) -> Result<()> {
        let place = self.place;
        let swapped = swap(&place.staged, &place.program, &place.aside);
        swapped.map_err(|error| place.unwritable(&error))
    }
}

impl Drop for Staged<'_> {
    fn drop(&mut self) {
        // The next update removes leftovers.
        let _ignored = fs::remove_file(&self.place.staged);
    }
}

/// Renames atomically, and syncs the directory.
#[cfg(not(windows))]
fn swap(staged: &Path, program: &Path, _aside: &Path) -> io::Result<()> {
    fs::rename(staged, program)?;
    // Best effort: after a power loss the old program may be back.
    let _best_effort = program.parent().map(File::open).map(|dir| dir?.sync_all());
    Ok(())
}

#[cfg(windows)]
fn swap(staged: &Path, program: &Path, aside: &Path) -> io::Result<()> {
    swap_aside(staged, program, aside)
}

/// Windows does not replace a running program, so it is renamed first. A kill between the two renames leaves the old and the
/// new program, but no `polis.exe`.
#[cfg(any(windows, test))]
fn swap_aside(staged: &Path, program: &Path, aside: &Path) -> io::Result<()> {
    fs::rename(program, aside)?;
    fs::rename(staged, program).inspect_err(|_| {
        let _restored = fs::rename(aside, program);
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_old_program_is_moved_and_restored_if_there_is_no_new_one() {
        let dir = std::env::temp_dir().join(format!("polis-aside-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let [staged, program, aside] = ["new", "polis.exe", "old"].map(|name| dir.join(name));
        fs::write(&program, "old").unwrap();
        assert!(swap_aside(&staged, &program, &aside).is_err());
        assert_eq!(fs::read(&program).unwrap(), b"old");
        fs::write(&staged, "new").unwrap();
        swap_aside(&staged, &program, &aside).unwrap();
        assert_eq!(fs::read(&program).unwrap(), b"new");
        assert_eq!(fs::read(&aside).unwrap(), b"old");
        fs::remove_dir_all(&dir).unwrap();
    }
}
