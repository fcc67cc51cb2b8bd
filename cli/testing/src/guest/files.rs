//! Files that are brought to the guest and taken from it, with the rights of its user.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use super::Guest;

/// Where the guest's user may write; everything else belongs to root.
pub(super) const OWN: [&str; 5] = [
    "/home/ubuntu",
    "/opt/polis",
    "/run/lock",
    "/tmp",
    "/var/tmp",
];

impl Guest {
    /// The content of a file, with root's rights; `None` when it is not there.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    pub fn get(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        match fs::read(self.path(path)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes a file, with root's rights, and makes the folders above it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn put(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        let file = self.path(path);
        if let Some(parent) = file.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(file, bytes)
    }

    /// Writes a file as the guest's user. The inner error is what SFTP answers.
    ///
    /// # Errors
    /// When the world cannot be read.
    pub(crate) fn receive(
        &self,
        path: &str,
        name: &str,
        bytes: &[u8],
        mode: u32,
        (parents, many): (bool, bool),
    ) -> io::Result<Result<(), String>> {
        let mut path = absolute(path);
        if self.path(&path).is_dir() {
            path = format!("{}/{}", path.trim_end_matches('/'), name);
        } else if many {
            return Ok(Err(format!("'{path}' is not a directory")));
        }
        if !OWN.iter().any(|own| Path::new(&path).starts_with(own)) {
            return Ok(Err(format!(
                "cannot open remote file '{path}': Permission denied"
            )));
        }
        let full = self.store.look()?.disk_full;
        let target = self.path(&path);
        if let (true, Some(parent)) = (parents, target.parent()) {
            fs::create_dir_all(parent)?;
        }
        if full {
            // The name is there, its content found no room.
            let _made = fs::write(&target, b"");
            return Ok(Err(format!("cannot write remote file '{path}': Failure")));
        }
        let written = fs::write(&target, bytes)
            .and_then(|()| fs::set_permissions(&target, fs::Permissions::from_mode(mode)));
        Ok(written.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => format!("cannot open remote file '{path}': No such file"),
            _ => format!("cannot open remote file '{path}': {error}"),
        }))
    }

    /// Reads a file as the guest's user, with its mode. The inner error is what SFTP answers.
    ///
    /// # Errors
    /// When the world cannot be read.
    pub(crate) fn send(&self, path: &str) -> io::Result<Result<(Vec<u8>, u32), String>> {
        let path = absolute(path);
        let file = self.path(&path);
        let meta = match fs::metadata(&file) {
            Ok(meta) if meta.is_dir() => {
                return Ok(Err(format!("'{path}' is a directory, use -r")));
            }
            Ok(meta) => meta,
            Err(_) => {
                return Ok(Err(format!(
                    "cannot open remote file '{path}': No such file"
                )));
            }
        };
        Ok(Ok((fs::read(&file)?, meta.mode() & 0o7777)))
    }
}

/// A path that is relative belongs to the user's home.
fn absolute(path: &str) -> String {
    if path.starts_with('/') {
        path.to_owned()
    } else {
        format!("/home/ubuntu/{path}")
    }
}
