//! The world as a directory: what Multipass's daemon knows, the faults, the calls, and the guest's files.
//!
//! - `world.json`: what is, see [`state`]
//! - `faults.json`: what goes wrong next, see [`crate::fault`]
//! - `calls.jsonl`: every call so far, see [`crate::record`]
//! - `guest/`: the root of the guest's file system
//!
//! Each change holds the lock and replaces the whole file, so a call that is killed leaves one state or the other. What
//! goes on by itself (a boot, the provisioning) is not done by a process in the background but worked out from the clock
//! whenever somebody looks.

pub mod state;

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use serde::de::DeserializeOwned;
use state::{Instance, State};

use crate::guest::{Guest, provision};

/// Names the world's directory to the double.
pub const DIRECTORY: &str = "FAKE_MULTIPASS";

/// Milliseconds since 1970.
pub fn now() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The files of one world.
#[derive(Debug, Clone)]
pub struct Store {
    dir: PathBuf,
}

/// Holds the world's lock until dropped.
#[derive(Debug)]
pub struct Locked<'a> {
    store: &'a Store,
    _lock: File,
}

impl Store {
    /// The world in `dir`, which must exist.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// The world that the environment names.
    ///
    /// # Errors
    /// When it names none.
    pub fn from_environment() -> io::Result<Self> {
        let dir = std::env::var_os(DIRECTORY)
            .ok_or_else(|| io::Error::other(format!("{DIRECTORY} names no world")))?;
        Ok(Self::new(dir))
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The guest of the instance `name`: `guest/` for polis, another directory for any other.
    pub fn guest(&self, name: &str) -> Guest {
        let dir = match name {
            "polis" => "guest".to_owned(),
            other => format!("guest-{other}"),
        };
        Guest::new(self.clone(), name, self.dir.join(dir))
    }

    /// Waits for the lock.
    ///
    /// # Errors
    /// When the directory is gone.
    pub fn lock(&self) -> io::Result<Locked<'_>> {
        let lock = File::create(self.dir.join("lock"))?;
        lock.lock()?;
        Ok(Locked {
            store: self,
            _lock: lock,
        })
    }

    /// Looks at the state as it is now.
    ///
    /// # Errors
    /// When the world cannot be read or written.
    pub fn look(&self) -> io::Result<State> {
        self.update(|state| state.clone())
    }

    /// Changes the state under the lock, after everything that time has done to it.
    ///
    /// # Errors
    /// When the world cannot be read or written.
    pub fn update<T>(&self, change: impl FnOnce(&mut State) -> T) -> io::Result<T> {
        let locked = self.lock()?;
        let before: State = locked.read("world.json")?;
        let mut state = before.clone();
        for instance in &mut state.instances {
            provision::advance(&self.guest(&instance.name), instance, now())?;
        }
        let result = change(&mut state);
        if state != before {
            locked.write("world.json", &state)?;
        }
        Ok(result)
    }

    /// Changes one instance. `None` when there is none of that name that the daemon shows.
    ///
    /// # Errors
    /// When the world cannot be read or written.
    pub fn change<T>(
        &self,
        name: &str,
        change: impl FnOnce(&mut Instance) -> T,
    ) -> io::Result<Option<T>> {
        self.update(|state| state.find_mut(name).map(change))
    }
}

impl Locked<'_> {
    /// Reads a file of the world; one that is not there has the default content.
    ///
    /// # Errors
    /// When it cannot be read or is not what it should be.
    pub fn read<T: DeserializeOwned + Default>(&self, name: &str) -> io::Result<T> {
        match fs::read(self.store.dir.join(name)) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(T::default()),
            Err(error) => Err(error),
        }
    }

    /// Replaces a file of the world.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, name: &str, value: &impl Serialize) -> io::Result<()> {
        replace(
            &self.store.dir.join(name),
            &serde_json::to_vec_pretty(value)?,
        )
    }

    /// Appends a line to a file of the world.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn append(&self, name: &str, value: &impl Serialize) -> io::Result<()> {
        let mut line = serde_json::to_vec(value)?;
        line.push(b'\n');
        let path = self.store.dir.join(name);
        let mut file = File::options().append(true).create(true).open(path)?;
        file.write_all(&line)
    }
}

/// Replaces a file: written beside it and renamed.
///
/// # Errors
/// When its directory is not there or cannot be written.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let dir = path.parent().unwrap_or(path);
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    file.write_all(bytes)?;
    file.persist(path)?;
    Ok(())
}
