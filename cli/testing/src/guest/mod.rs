//! The guest: a directory that emulates a machine's root, in which commands really run.
//!
//! The daemon and the tests access a guest only through [`Guest`]: they create and remove it, boot and shut it down, run a
//! command, write and read files. A backend that replaces the directory by a machine has to support these operations and no
//! others.

mod files;
pub(crate) mod paths;
pub(crate) mod run;
mod snapshot;
pub(crate) mod units;
pub(crate) mod user_data;

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// The tools that the fake itself implements.
const TOOLS: &str = "chown cloud-init df docker dpkg-query ip sudo systemctl systemd-run sleep \
    stat update-ca-certificates";
/// Programs that would change or show this machine instead of the guest. They are refused.
const KEPT_AWAY: &str =
    "apt-get auditctl journalctl passwd poweroff reboot shutdown sysctl usermod";

/// The folders that a fresh machine needs.
const FOLDERS: &str = "bin etc/systemd/system home/polis home/ubuntu opt root run/units tmp usr/local/bin \
    usr/local/lib var/lib/cloud/instance var/log var/tmp";

/// One instance's guest.
#[derive(Debug, Clone)]
pub struct Guest {
    /// The directory of its sandbox.
    sandbox: PathBuf,
    name: String,
    root: PathBuf,
}

impl Guest {
    pub(crate) fn new(sandbox: &Path, name: &str, root: PathBuf) -> Self {
        Self {
            sandbox: sandbox.to_owned(),
            name: name.to_owned(),
            root,
        }
    }

    /// The instance.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The directory of its sandbox.
    pub(crate) fn sandbox(&self) -> &Path {
        &self.sandbox
    }

    /// The local path of the guest's `path`.
    pub fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// The directory that emulates the root.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Creates the guest of a fresh machine.
    pub(crate) fn make(&self) -> io::Result<()> {
        for folder in FOLDERS.split_whitespace() {
            fs::create_dir_all(self.root.join(folder))?;
        }
        let fake = std::env::current_exe()?;
        for tool in [TOOLS, KEPT_AWAY].join(" ").split(' ') {
            symlink(&fake, self.root.join("bin").join(tool))?;
        }
        Ok(())
    }

    /// A temporary guest beside this one, for the launch of this number to build.
    pub(crate) fn staged(&self, number: u64) -> Self {
        let root = self.sandbox.join(format!("staged-{number}"));
        Self::new(&self.sandbox, &self.name, root)
    }

    /// Replaces this guest by another.
    pub(crate) fn replace_by(&self, other: &Self) -> io::Result<()> {
        if self.root.exists() {
            fs::remove_dir_all(&self.root)?;
        }
        fs::rename(&other.root, &self.root)
    }

    /// The directory of its disk in a snapshot.
    fn saved(&self, snapshot: &str) -> PathBuf {
        let name = format!("snapshot-{}.{snapshot}", self.name);
        self.sandbox.join(name)
    }

    /// Saves its disk. The guest must be off.
    pub(crate) fn save(&self, snapshot: &str) -> io::Result<()> {
        copy(&self.root, &self.saved(snapshot))
    }

    /// Restores its disk.
    pub(crate) fn bring_back(&self, snapshot: &str) -> io::Result<()> {
        fs::remove_dir_all(&self.root)?;
        copy(&self.saved(snapshot), &self.root)
    }

    /// Removes the disk of a snapshot.
    pub(crate) fn forget(&self, snapshot: &str) -> io::Result<()> {
        fs::remove_dir_all(self.saved(snapshot))
    }

    /// Removes a file if it exists.
    pub(crate) fn remove_file(&self, path: &str) -> io::Result<()> {
        match fs::remove_file(self.path(path)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

/// Copies a directory recursively to an unused name.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let status = crate::process::command("cp")
        .arg("--archive")
        .args([from, to])
        .status()?;
    match status.success() {
        true => Ok(()),
        false => Err(io::Error::other(format!(
            "{} could not be copied",
            from.display()
        ))),
    }
}
