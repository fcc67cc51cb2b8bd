//! What is in a guest, to see what a command changed.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::Guest;

/// What changes by itself.
const ALIVE: [&str; 5] = [
    "run/commands",
    "run/units",
    "var/lib/cloud",
    "var/lib/polis/provision.json",
    "var/log",
];

/// The size, the mode and the time of each file; of a folder the mode alone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Snapshot(BTreeMap<PathBuf, (u64, u32, Option<SystemTime>)>);

impl Snapshot {
    /// What is not the same in `later`.
    pub(crate) fn changed(&self, later: &Self) -> Vec<PathBuf> {
        let gone_or_other = self
            .0
            .iter()
            .filter(|(path, meta)| later.0.get(*path) != Some(*meta));
        let new = later
            .0
            .iter()
            .filter(|(path, _)| !self.0.contains_key(*path));
        gone_or_other
            .chain(new)
            .map(|(path, _)| path.clone())
            .collect()
    }
}

impl Guest {
    /// What there is, but for what changes by itself.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) fn snapshot(&self) -> io::Result<Snapshot> {
        let mut seen = Snapshot::default();
        look(&self.root, Path::new(""), &mut seen)?;
        Ok(seen)
    }
}

fn look(root: &Path, at: &Path, seen: &mut Snapshot) -> io::Result<()> {
    let entries = match fs::read_dir(root.join(at)) {
        // Removed while we looked.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let path = at.join(entry.file_name());
        if ALIVE.iter().any(|alive| path == Path::new(alive)) {
            continue;
        }
        let Ok(meta) = entry.metadata() else { continue };
        if meta.is_dir() {
            seen.0.insert(path.clone(), (0, meta.mode(), None));
            look(root, &path, seen)?;
        } else {
            let state = (meta.len(), meta.mode(), meta.modified().ok());
            seen.0.insert(path, state);
        }
    }
    Ok(())
}
