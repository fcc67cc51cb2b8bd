//! The guest: a directory that stands for a machine's root, in which commands run for real.
//!
//! Everything that the daemon's side and a test do to a guest goes through [`Guest`]: make and remove it, boot it and shut
//! it down; run this command, put this file, get that one. Whatever is to stand in for a machine instead of a directory
//! has to do these and nothing else.

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

/// The tools that are the double itself.
const TOOLS: &str = "chown cloud-init df docker dpkg-query ip sudo systemctl systemd-run sleep \
    stat update-ca-certificates";
/// What would change or show this machine instead of the guest: refused.
const KEPT_AWAY: &str =
    "apt-get auditctl journalctl passwd poweroff reboot shutdown sysctl usermod";

/// The folders of a fresh machine that something relies on.
const FOLDERS: &str = "bin etc/systemd/system home/polis home/ubuntu opt root run/units tmp usr/local/bin \
    usr/local/lib var/lib/cloud/instance var/log var/tmp";

/// One instance's guest.
#[derive(Debug, Clone)]
pub struct Guest {
    /// The directory of its world.
    world: PathBuf,
    name: String,
    root: PathBuf,
}

impl Guest {
    pub(crate) fn new(world: &Path, name: &str, root: PathBuf) -> Self {
        Self {
            world: world.to_owned(),
            name: name.to_owned(),
            root,
        }
    }

    /// The instance.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The directory of its world.
    pub(crate) fn world(&self) -> &Path {
        &self.world
    }

    /// Where `path` of the guest is on this machine.
    pub fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// The directory that stands for the root.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Makes the guest of a fresh machine.
    pub(crate) fn make(&self) -> io::Result<()> {
        for folder in FOLDERS.split_whitespace() {
            fs::create_dir_all(self.root.join(folder))?;
        }
        let double = std::env::current_exe()?;
        for tool in [TOOLS, KEPT_AWAY].join(" ").split(' ') {
            symlink(&double, self.root.join("bin").join(tool))?;
        }
        Ok(())
    }

    /// A guest beside this one, for the launch of this number to make.
    pub(crate) fn staged(&self, number: u64) -> Self {
        let root = self.world.join(format!("staged-{number}"));
        Self::new(&self.world, &self.name, root)
    }

    /// Puts another guest in the place of this one.
    pub(crate) fn replace_by(&self, other: &Self) -> io::Result<()> {
        if self.root.exists() {
            fs::remove_dir_all(&self.root)?;
        }
        fs::rename(&other.root, &self.root)
    }

    /// Where its disk is in a snapshot.
    fn saved(&self, snapshot: &str) -> PathBuf {
        let name = format!("snapshot-{}.{snapshot}", self.name);
        self.world.join(name)
    }

    /// Keeps its disk as it is; it does not run.
    pub(crate) fn save(&self, snapshot: &str) -> io::Result<()> {
        copy(&self.root, &self.saved(snapshot))
    }

    /// Puts its disk back.
    pub(crate) fn bring_back(&self, snapshot: &str) -> io::Result<()> {
        fs::remove_dir_all(&self.root)?;
        copy(&self.saved(snapshot), &self.root)
    }

    /// Removes the disk of a snapshot.
    pub(crate) fn forget(&self, snapshot: &str) -> io::Result<()> {
        fs::remove_dir_all(self.saved(snapshot))
    }

    /// Removes a file, if it is there.
    pub(crate) fn remove_file(&self, path: &str) -> io::Result<()> {
        match fs::remove_file(self.path(path)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

/// Copies a directory with all that it holds to a name that is free.
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
