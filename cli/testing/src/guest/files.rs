//! Copies files to and from the guest, with the permissions of its user.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::Guest;

/// Where the guest's user may write; everything else is owned by root.
pub(super) const OWN: [&str; 5] = [
    "/home/ubuntu",
    "/opt/polis",
    "/run/lock",
    "/tmp",
    "/var/tmp",
];

impl Guest {
    /// Reads a file with root's permissions; `None` if it does not exist.
    ///
    /// # Errors
    /// When it exists and cannot be read.
    pub fn get(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        match fs::read(self.path(path)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes a file with root's permissions, and creates the folders above it.
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

    /// The local path of a path given by the guest's user.
    pub(crate) fn at(&self, path: &str) -> PathBuf {
        self.path(&absolute(path))
    }

    /// Writes a file as the guest's user with a mode. A stream has none: it keeps the mode of the existing file, or gets 0666 less the
    /// umask of 0002. The inner error is SFTP's answer.
    pub(crate) fn receive(
        &self,
        path: &str,
        bytes: &[u8],
        mode: Option<u32>,
        parents: bool,
        full: bool,
    ) -> io::Result<Result<(), String>> {
        let target = self.at(path);
        let parent = target.parent().unwrap_or(&self.root);
        if !parents && !parent.is_dir() {
            return Ok(Err("remote target does not exist".to_owned()));
        }
        let absolute = absolute(path);
        if !OWN.iter().any(|own| Path::new(&absolute).starts_with(own)) {
            return Ok(Err(denied(path)));
        }
        if parents {
            fs::create_dir_all(parent)?;
        }
        let before = fs::metadata(&target).map(|meta| meta.mode() & 0o7777);
        let mode = mode.unwrap_or(before.unwrap_or(0o664));
        if full {
            // The file is created, but there is no room for its content.
            let _made = fs::write(&target, b"");
            return Ok(Err(format!(
                "cannot write to remote file {path}: SFTP server: Failure"
            )));
        }
        let written = fs::write(&target, bytes)
            .and_then(|()| fs::set_permissions(&target, fs::Permissions::from_mode(mode)));
        Ok(written.map_err(|error| format!("cannot open remote file {path}: {error}")))
    }

    /// Reads a file as the guest's user, with its mode. The inner error is SFTP's answer.
    pub(crate) fn send(&self, path: &str) -> io::Result<Result<(Vec<u8>, u32), String>> {
        let file = self.at(path);
        let Ok(meta) = fs::metadata(&file) else {
            return Ok(Err(format!(
                "cannot open remote file {path}: SFTP server: No such file"
            )));
        };
        Ok(Ok((fs::read(&file)?, meta.mode() & 0o7777)))
    }
}

fn denied(path: &str) -> String {
    format!("cannot open remote file {path}: SFTP server: Permission denied")
}

/// Relative paths start at the user's home.
fn absolute(path: &str) -> String {
    if path.starts_with('/') {
        path.to_owned()
    } else {
        format!("/home/ubuntu/{path}")
    }
}
