//! Where this program is, and how another one takes its place: written beside it, then renamed. Killed at any moment the
//! old or the new one is there, whole; what is left over has a name that the next update removes.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, Kind, Result};
use crate::platform;

/// Where this program is.
#[derive(Debug)]
pub(crate) struct Installation {
    program: PathBuf,
    staged: PathBuf,
    /// Where the old program goes that still runs, on Windows.
    aside: PathBuf,
}

/// The new program, beside the old one; removed when dropped.
#[derive(Debug)]
pub(crate) struct Staged<'a> {
    place: &'a Installation,
    /// Open until it is filled: Linux does not run a program that somebody may write.
    file: Option<File>,
}

impl Installation {
    /// The place of the program that runs, with all links followed.
    ///
    /// # Errors
    /// When it cannot be found, or belongs to a package manager.
    pub(crate) fn find() -> Result<Self> {
        let found = std::env::current_exe().and_then(fs::canonicalize);
        let program = found.map_err(|error| {
            Error::new(
                Kind::Update,
                "the file of the file of this program cannot be found any more",
            )
            .because(error.to_string())
            .next("start polis by the path where it is now")
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

    /// What a killed update has left, if no other one is under way.
    pub(crate) fn left_over(&self) -> Vec<PathBuf> {
        let each = [&self.staged, &self.aside].into_iter();
        let there = each.filter(|path| path.symlink_metadata().is_ok());
        there.cloned().collect()
    }

    /// Where this program is.
    pub(crate) fn program(&self) -> &Path {
        &self.program
    }

    /// Removes what earlier updates have left, and makes an empty file for the new program, so that a directory that
    /// cannot be written is found before anything is downloaded.
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
        // No link is followed: it is new, or refused.
        let made = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&self.staged);
        let file = made.map_err(|error| self.unwritable(&error))?;
        Ok(Staged {
            place: self,
            file: Some(file),
        })
    }

    fn unwritable(&self, error: &io::Error) -> Box<Error> {
        let dir = self.program.parent().unwrap_or(&self.program);
        Error::new(
            Kind::Update,
            format!("`{}` cannot be written", dir.display()),
        )
        .because(error.to_string())
        .next("run this as the user who installed polis, or install it into a directory of yours")
    }
}

impl Staged<'_> {
    /// Where the new program is.
    pub(crate) fn path(&self) -> &Path {
        &self.place.staged
    }

    /// Writes the new program, with the mode of the old one, until it is on the disk.
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

    /// Puts the new program into the place of the old one.
    ///
    /// # Errors
    /// When it cannot be renamed; then the old one is there.
    pub(crate) fn swap(self) -> Result<()> {
        let place = self.place;
        let swapped = swap(&place.staged, &place.program, &place.aside);
        swapped.map_err(|error| place.unwritable(&error))
    }
}

impl Drop for Staged<'_> {
    fn drop(&mut self) {
        // What stays is removed by the next update.
        let _renamed_or_stays = fs::remove_file(&self.place.staged);
    }
}

/// One rename, which is there or not, and then on the disk.
#[cfg(not(windows))]
fn swap(staged: &Path, program: &Path, _aside: &Path) -> io::Result<()> {
    fs::rename(staged, program)?;
    // It is done; a machine that loses power now may still come up with the old one.
    let _as_well_as_can_be = program.parent().map(File::open).map(|dir| dir?.sync_all());
    Ok(())
}

#[cfg(windows)]
fn swap(staged: &Path, program: &Path, aside: &Path) -> io::Result<()> {
    swap_aside(staged, program, aside)
}

/// A program that runs keeps its file on Windows, so its name is taken away from it first. A kill between the two renames
/// leaves no `polis.exe`, only the old and the new program beside its place.
#[cfg(any(windows, test))]
fn swap_aside(staged: &Path, program: &Path, aside: &Path) -> io::Result<()> {
    fs::rename(program, aside)?;
    fs::rename(staged, program).inspect_err(|_| {
        let _back_again = fs::rename(aside, program);
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_old_program_steps_aside_and_comes_back_if_there_is_no_new_one() {
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
