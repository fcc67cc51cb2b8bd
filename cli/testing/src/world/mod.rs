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

/// The files of one world.
#[derive(Debug, Clone)]
pub struct Store {
    dir: PathBuf,
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
        Guest::new(&self.dir, name, self.dir.join(dir))
    }

    /// Waits for the lock.
    ///
    /// # Errors
    /// When the directory is gone.
    pub fn lock(&self) -> io::Result<Locked> {
        lock(&self.dir)
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
