//! The directory of a sandbox: the state of Multipass's daemon, the faults, the calls, and the guest's files.
//!
//! - `state.json`: the state of the daemon, see [`state`]
//! - `faults.json`: the faults that will strike, see [`crate::fault`]
//! - `calls.jsonl`: every call so far, see [`crate::record`]
//! - `guest/`: the root of the guest's file system
//!
//! Each change holds the lock and replaces the whole file, so a killed call leaves either the old or the new state. Whatever
//! happens over time (a boot, the provisioning) needs no background process: it is computed from the clock at each access.

pub(crate) mod files;
pub(crate) mod provision;
pub mod state;

use std::io;
use std::path::{Path, PathBuf};

pub use files::now;
use files::{Locked, lock};
use state::{Instance, State};

use crate::environment::DIRECTORY;
use crate::guest::Guest;

/// The files of one sandbox.
#[derive(Debug, Clone)]
pub struct Store {
    dir: PathBuf,
}

impl Store {
    /// The sandbox in `dir`, which must exist.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// The sandbox named by the environment.
    ///
    /// # Errors
    /// When it names no sandbox.
    pub fn from_environment() -> io::Result<Self> {
        let dir = std::env::var_os(DIRECTORY)
            .ok_or_else(|| io::Error::other(format!("{DIRECTORY} is not set")))?;
        Ok(Self::new(dir))
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The guest of the instance `name`: `guest/` for polis, a separate directory for any other.
    pub fn guest(&self, name: &str) -> Guest {
        let dir = match name {
            "polis" => "guest".to_owned(),
            other => format!("guest-{other}"),
        };
        Guest::new(&self.dir, name, self.dir.join(dir))
    }

    /// Waits for the lock.
    ///
    /// # Errors
    /// When the directory is gone.
    pub fn lock(&self) -> io::Result<Locked> {
        lock(&self.dir)
    }

    /// Reads the current state.
    ///
    /// # Errors
    /// When the sandbox cannot be read or written.
    pub fn look(&self) -> io::Result<State> {
        self.update(|state| state.clone())
    }

    /// Changes the state under the lock, after applying everything that has happened over time.
    ///
    /// # Errors
    /// When the sandbox cannot be read or written.
    pub fn update<T>(&self, change: impl FnOnce(&mut State) -> T) -> io::Result<T> {
        let locked = self.lock()?;
        let before: State = locked.read("state.json")?;
        let mut state = before.clone();
        for instance in &mut state.instances {
            provision::advance(&self.guest(&instance.name), instance, now())?;
        }
        let result = change(&mut state);
        if state != before {
            locked.write("state.json", &state)?;
        }
        Ok(result)
    }

    /// Changes one instance. `None` if the daemon lists no instance of that name.
    ///
    /// # Errors
    /// When the sandbox cannot be read or written.
    pub fn change<T>(
        &self,
        name: &str,
        change: impl FnOnce(&mut Instance) -> T,
    ) -> io::Result<Option<T>> {
        self.update(|state| state.find_mut(name).map(change))
    }
}
