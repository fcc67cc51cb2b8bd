//! The user's own state directory: the lock that keeps two runs apart and, where pipes do not
//! work, the files that Multipass reads. Nothing is ever written anywhere else on the host.

use std::fs::{self, File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::error::{Error, Kind, Result};

/// The state directory. It is made when something is first written.
#[derive(Debug)]
pub(crate) struct Store {
    dir: PathBuf,
}

/// Held while a run changes the workspace; released when dropped, also by a kill.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Store {
    /// The state directory `dir`.
    pub(crate) fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// Keeps other runs out, or says that one is at work.
    ///
    /// # Errors
    /// Of kind `Busy`, or `Unexpected` when the directory cannot be written.
    pub(crate) fn lock(&self) -> Result<Lock> {
        let path = self.path("lock")?;
        let file = File::create(&path).map_err(|error| unwritable(&path, &error))?;
        match file.try_lock() {
            Ok(()) => Ok(Lock { _file: file }),
            Err(TryLockError::WouldBlock) => Err(Error::new(
                Kind::Busy,
                "another polis is at work on this workspace",
            )
            .because(format!("it holds `{}`", path.display()))
            .next("wait for it to end, or end it; then run this again")),
            Err(TryLockError::Error(error)) => Err(unwritable(&path, &error)),
        }
    }

    /// Writes a file that Multipass is to read, beside its place first.
    ///
    /// # Errors
    /// When the directory cannot be written.
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> Result<PathBuf> {
        let path = self.path(name)?;
        let beside = self.path(&format!("{name}.new"))?;
        let write = || {
            let mut file = File::create(&beside)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&beside, &path)
        };
        write().map_err(|error| unwritable(&path, &error))?;
        Ok(path)
    }

    fn path(&self, name: &str) -> Result<PathBuf> {
        fs::create_dir_all(&self.dir).map_err(|error| unwritable(&self.dir, &error))?;
        Ok(self.dir.join(name))
    }
}

fn unwritable(path: &Path, error: &std::io::Error) -> Box<Error> {
    Error::new(
        Kind::Unexpected,
        format!("`{}` cannot be written", path.display()),
    )
    .because(error.to_string())
    .next("make room, or let this user write there; then run this again")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_run_at_a_time() {
        let dir = std::env::temp_dir().join(format!("polis-store-{}", std::process::id()));
        let store = Store::new(dir.clone());
        let lock = store.lock().unwrap();
        assert_eq!(store.lock().unwrap_err().kind, Kind::Busy);
        drop(lock);
        assert!(store.lock().is_ok());
        let path = store.write("bundle.tar", b"x").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"x");
        assert!(!dir.join("bundle.tar.new").exists());
        fs::remove_dir_all(dir).unwrap();
    }
}
