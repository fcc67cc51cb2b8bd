//! What is in a guest, to see whether a command changed anything.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::Guest;

/// What changes without a command, relative to the guest's root.
const ALIVE: [&str; 5] = [
    "run/commands",
    "run/units",
    "var/lib/cloud",
    "var/lib/polis/provision.json",
    "var/log",
];

impl Guest {
    /// Every path with its type and mode, and the size and modification time of everything but directories. Leaves out
    /// what changes without a command.
    pub(crate) fn snapshot(&self) -> io::Result<Vec<String>> {
        let mut entries = Vec::new();
        add(&self.root, &self.root, &mut entries)?;
        entries.sort_unstable();
        Ok(entries)
    }
}

/// Adds what is below `dir`. Processes of the guest may remove files meanwhile: those are left out.
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
