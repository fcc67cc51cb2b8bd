//! Reads and writes the files of a sandbox, under the lock that every process takes first.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Milliseconds since 1970.
pub fn now() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Holds the sandbox's lock until dropped.
#[derive(Debug)]
pub struct Locked {
    dir: PathBuf,
    _lock: File,
}

/// Waits for the lock of the sandbox in `dir`.
///
/// # Errors
/// When the directory is gone.
pub(crate) fn lock(dir: &Path) -> io::Result<Locked> {
    let lock = File::create(dir.join("lock"))?;
    lock.lock()?;
    Ok(Locked {
        dir: dir.to_owned(),
        _lock: lock,
    })
}

impl Locked {
    /// Reads a file of the sandbox; a missing file has the default content.
    ///
    /// # Errors
    /// When it cannot be read or is not valid.
    pub fn read<T: DeserializeOwned + Default>(&self, name: &str) -> io::Result<T> {
        match fs::read(self.dir.join(name)) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(T::default()),
            Err(error) => Err(error),
        }
    }

    /// Replaces a file of the sandbox.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, name: &str, value: &impl Serialize) -> io::Result<()> {
        replace(&self.dir.join(name), &serde_json::to_vec_pretty(value)?)
    }

    /// Appends a line to a file of the sandbox.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn append(&self, name: &str, value: &impl Serialize) -> io::Result<()> {
        let mut line = serde_json::to_vec(value)?;
        line.push(b'\n');
        let path = self.dir.join(name);
        let mut file = File::options().append(true).create(true).open(path)?;
        file.write_all(&line)
    }
}

/// Replaces a file atomically: writes a new one beside it and renames that.
///
/// # Errors
/// When its directory does not exist or cannot be written.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let dir = path.parent().unwrap_or(path);
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    file.write_all(bytes)?;
    file.persist(path)?;
    Ok(())
}
