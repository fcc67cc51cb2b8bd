//! A listing of a guest's files, to detect whether a command changed anything.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::Guest;

/// Paths that change without a command, relative to the guest's root.
const ALIVE: [&str; 5] = [
    "run/commands",
    "run/units",
    "var/lib/cloud",
    "var/lib/polis/provision.json",
    "var/log",
];

impl Guest {
    /// Every path with its type and mode, and for all but directories their size and modification time. Leaves out paths that change
    /// without a command.
    pub(crate) fn snapshot(&self) -> io::Result<Vec<String>> {
        let mut entries = Vec::new();
        add(&self.root, &self.root, &mut entries)?;
        entries.sort_unstable();
        Ok(entries)
    }
}

/// Adds the paths below `dir`. Leaves out files that processes of the guest remove meanwhile.
fn add(root: &Path, dir: &Path, entries: &mut Vec<String>) -> io::Result<()> {
    let listed = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        listed => listed?,
    };
    for entry in listed {
        let path = entry?.path();
        let name = path.strip_prefix(root).unwrap_or(&path);
        if ALIVE.iter().any(|alive| name == Path::new(alive)) {
            continue;
        }
        let Ok(meta) = path.symlink_metadata() else {
            continue;
        };
        let (name, mode) = (name.display(), meta.mode());
        if meta.is_dir() {
            entries.push(format!("{name} {mode:o}"));
            add(root, &path, entries)?;
        } else {
            let (size, seconds, nanos) = (meta.size(), meta.mtime(), meta.mtime_nsec());
            entries.push(format!("{name} {mode:o} {size} {seconds}.{nanos:09}"));
        }
    }
    Ok(())
}
