//! The processes of a guest: running commands, and systemd units. A unit is a file with the process that leads its process group;
//! it exists for as long as the unit runs.

use std::fs;
use std::io;
use std::path::PathBuf;

use super::{Guest, run};
use crate::process;

const FOLDER: &str = "run/units";

impl Guest {
    /// Removes it, and kills what runs in it.
    pub(crate) fn remove(&self) -> io::Result<()> {
        if !self.root().exists() {
            return Ok(());
        }
        self.shut_down()?;
        fs::remove_dir_all(self.root())
    }

    /// Kills everything that runs in it.
    pub(crate) fn shut_down(&self) -> io::Result<()> {
        if !self.root().exists() {
            return Ok(());
        }
        run::end_all(self)?;
        end_all(self)
    }
}

/// The process that leads a unit's group.
pub(crate) fn leader(guest: &Guest, unit: &str) -> Option<u32> {
    fs::read_to_string(file(guest, unit)).ok()?.parse().ok()
}

/// The file of a unit.
pub(crate) fn file(guest: &Guest, unit: &str) -> PathBuf {
    guest.root().join(FOLDER).join(unit)
}

/// Kills all units with all of their processes.
fn end_all(guest: &Guest) -> io::Result<()> {
    for entry in fs::read_dir(guest.root().join(FOLDER))? {
        let entry = entry?;
        if let Some(pid) = leader(guest, &entry.file_name().to_string_lossy()) {
            process::kill_group(pid);
        }
        let _it_may_have_ended = fs::remove_file(entry.path());
    }
    Ok(())
}
