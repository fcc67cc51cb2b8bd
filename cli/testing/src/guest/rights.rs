//! What the guest's user may not change without `sudo`.
//!
//! The commands of the guest have the rights of whoever runs the tests, so nothing stops them from writing what belongs to
//! root. It is found afterwards instead: what a command changed outside the user's own folders, and no `sudo` did.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::files::OWN;
use super::{Guest, systemd};

/// What was changed with root's rights so far, a path a line.
const ALLOWED: &str = "run/allowed";
/// What a member of the group docker changes through Docker.
const DOCKER: [&str; 2] = ["docker.json", "var/lib/docker"];

/// Remembers what root changed.
pub(super) fn allow(guest: &Guest, changed: &[PathBuf]) -> io::Result<()> {
    let path = guest.root().join(ALLOWED);
    let mut file = File::options().append(true).create(true).open(path)?;
    for path in changed {
        writeln!(file, "{}", path.display())?;
    }
    Ok(())
}

impl Guest {
    /// Whether root's processes may be at work beside a command.
    ///
    /// # Errors
    /// When the guest cannot be read.
    pub(crate) fn is_busy(&self) -> io::Result<bool> {
        systemd::is_busy(self)
    }

    /// The first of these paths that the user could not have changed.
    ///
    /// # Errors
    /// When the guest cannot be read.
    pub(crate) fn not_allowed(&self, changed: &[PathBuf]) -> io::Result<Option<String>> {
        let allowed = match fs::read_to_string(self.root.join(ALLOWED)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            text => text?,
        };
        let found = changed.iter().find(|path| {
            let absolute = Path::new("/").join(path);
            let own = OWN.iter().any(|own| absolute.starts_with(own));
            let by_root = allowed
                .lines()
                .any(|line| Path::new(line) == path.as_path());
            let by_docker = DOCKER.iter().any(|own| path.starts_with(own));
            !own && !by_root && !by_docker
        });
        Ok(found.map(|path| format!("/{}", path.display())))
    }
}
