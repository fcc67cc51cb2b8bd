//! What systemd remembers of a unit that was started, and what a unit file says.

use std::fs;
use std::io;

use serde::{Deserialize, Serialize};

use super::super::Guest;
use crate::process;
use crate::world::replace;

const FOLDER: &str = "run/units";

/// A unit that was started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Unit {
    /// The process that watches over its command, and leads its group.
    pub(super) pid: u32,
    /// The exit code, once it has ended.
    pub(super) code: Option<i32>,
    /// Whether it is forgotten even when it failed.
    pub(super) collect: bool,
    /// Whether it is a oneshot that stays active.
    pub(super) remains: bool,
}

impl Unit {
    pub(super) fn read(guest: &Guest, name: &str) -> io::Result<Option<Self>> {
        match fs::read(path(guest, name)) {
            Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) fn write(&self, guest: &Guest, name: &str) -> io::Result<()> {
        replace(&path(guest, name), &serde_json::to_vec(self)?)
    }

    /// Its state as `is-active` prints it.
    pub(super) fn state(&self) -> &'static str {
        match self.code {
            None if !process::alive(self.pid) => "failed",
            None if self.remains => "activating",
            None => "active",
            Some(0) if self.remains => "active",
            Some(0) => "inactive",
            Some(_) => "failed",
        }
    }

    /// Whether a unit of this name cannot be made: it is there, running or failed.
    pub(super) fn is_loaded(&self) -> bool {
        matches!(self.state(), "active" | "activating" | "failed")
    }
}

/// The units that were started.
pub(super) fn names(guest: &Guest) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    let Ok(entries) = fs::read_dir(guest.root().join(FOLDER)) else {
        return Ok(names);
    };
    for entry in entries {
        let name = entry?.file_name().to_string_lossy().into_owned();
        names.extend(name.strip_suffix(".json").map(str::to_owned));
    }
    Ok(names)
}

/// Records how a unit ended; `None` is by our hand, which ends its processes.
pub(super) fn end(guest: &Guest, name: &str, code: Option<i32>) -> io::Result<()> {
    let _lock = guest.store.lock()?;
    let Some(mut unit) = Unit::read(guest, name)? else {
        return Ok(());
    };
    if code.is_none() && unit.code.is_none() {
        process::kill_group(unit.pid);
    }
    unit.remains &= code.is_some();
    unit.code = Some(code.unwrap_or(0));
    let ended_well = unit.code == Some(0) && !unit.remains;
    if ended_well || (unit.collect && unit.code != Some(0)) {
        return fs::remove_file(path(guest, name));
    }
    unit.write(guest, name)
}

/// Forgets a unit.
pub(super) fn forget(guest: &Guest, name: &str) -> io::Result<()> {
    match fs::remove_file(path(guest, name)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn path(guest: &Guest, name: &str) -> std::path::PathBuf {
    guest.root().join(FOLDER).join(format!("{name}.json"))
}

/// Where a unit's output goes.
pub(super) fn log(guest: &Guest, name: &str) -> std::path::PathBuf {
    guest.root().join(FOLDER).join(format!("{name}.log"))
}

/// What we use of a unit file.
#[derive(Debug, Clone)]
pub(super) struct File(String);

impl File {
    /// The file of a unit, if the guest has one.
    pub(super) fn read(guest: &Guest, name: &str) -> io::Result<Option<Self>> {
        match fs::read_to_string(guest.path("/etc/systemd/system").join(name)) {
            Ok(text) => Ok(Some(Self(text))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The values of a setting.
    pub(super) fn values<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        let lines = self.0.lines().filter_map(|line| line.split_once('='));
        lines
            .filter(move |(found, _)| *found == key)
            .map(|(_, value)| value)
    }

    /// Whether all that it waits for is there.
    pub(super) fn conditions_hold(&self, guest: &Guest) -> bool {
        self.values("ConditionPathExists")
            .all(|path| guest.path(path).exists())
    }
}
