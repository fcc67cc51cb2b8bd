//! Reads and checks an agent's directory on the host; its name and files are transferred.
//!
//! Other processes may change the directory meanwhile. So everything is opened relative to one handle, which prevents links from
//! pointing outside, and metadata and contents are read from the open file.

use std::fs;
use std::io::{self, Read};
use std::path::Path;

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use polis_base::archive::{EXECUTABLE, Files, PLAIN, without_cr};

use super::manifest::FILE;
use crate::error::{Error, Kind, Result};
use crate::platform::reading;

/// Limits of an agent, which contains configuration and scripts, not data.
const MOST_BYTES: u64 = 64 << 20;
const MOST_ENTRIES: usize = 4096;
const MOST_LEVELS: usize = 32;

pub(super) struct Directory {
    pub(super) name: String,
    pub(super) files: Files,
}

/// Reads the directory `dir`.
///
/// # Errors
/// Of kind `Usage`, if it is not a directory, is too large, or contains a link that points outside or anything but files and
/// directories.
pub(super) fn read(dir: &Path) -> Result<Directory> {
    let root = fs::canonicalize(dir).map_err(|error| refused(dir, error.to_string()))?;
    if !root.is_dir() {
        return Err(refused(dir, "it is not a directory"));
    }
    let mut reader = Reader {
        path: &root,
        dir: Dir::open_ambient_dir(&root, ambient_authority())
            .map_err(|error| refused(dir, error.to_string()))?,
        files: Files::new(),
        entries: 0,
        bytes: 0,
    };
    reader.directory("")?;
    let name = root.file_name().unwrap_or_default();
    Ok(Directory {
        name: name.to_string_lossy().into_owned(),
        files: reader.files,
    })
}

struct Reader<'a> {
    /// The agent's directory, for messages.
    path: &'a Path,
    /// The open directory.
    dir: Dir,
    files: Files,
    entries: usize,
    bytes: u64,
}

impl Reader<'_> {
    /// Adds the contents of the subdirectory `below`; empty for the agent's own directory.
    fn directory(&mut self, below: &str) -> Result<()> {
        if below.split('/').count() > MOST_LEVELS {
            let reason = format!("it is more than {MOST_LEVELS} directories deep");
            return Err(refused(self.path, reason));
        }
        let shown = self.path.join(below);
        let entries = match below {
            "" => self.dir.entries(),
            _ => self.dir.read_dir(below),
        };
        for entry in entries.map_err(|error| refused(&shown, error.to_string()))? {
            let entry = entry.map_err(|error| refused(&shown, error.to_string()))?;
            let path = shown.join(entry.file_name());
            let name = entry
                .file_name()
                .into_string()
                .map_err(|_| refused(&path, "its name is not UTF-8"))?;
            if name.contains(['\\', ':']) || name.chars().any(char::is_control) {
                return Err(refused(
                    &path,
                    "its name is not a valid file name on every system",
                ));
            }
            self.entries += 1;
            if self.entries > MOST_ENTRIES {
                let reason = format!("it has more than {MOST_ENTRIES} files and directories");
                return Err(refused(self.path, reason));
            }
            let inside = match below {
                "" => name,
                _ => format!("{below}/{name}"),
            };
            self.entry(&path, &inside)?;
        }
        Ok(())
    }

    /// Adds a file or a directory; for a link to a file inside, adds that file.
    fn entry(&mut self, path: &Path, inside: &str) -> Result<()> {
        let io = |error: io::Error| refused(path, error.to_string());
        let kind = self.dir.symlink_metadata(inside).map_err(io)?.file_type();
        if kind.is_dir() {
            return self.directory(inside);
        }
        if !kind.is_file() && !kind.is_symlink() {
            return Err(refused(path, "it is neither a file nor a directory"));
        }
        let file = self.dir.open_with(inside, &reading()).map_err(|error| {
            match self.dir.read_link_contents(inside) {
                Ok(to) if error.kind() == io::ErrorKind::PermissionDenied => {
                    let to = to.display();
                    refused(path, format!("it points outside the agent, to `{to}`"))
                }
                _ => refused(path, error.to_string()),
            }
        })?;
        let data = file.metadata().map_err(io)?;
        if data.is_dir() {
            // A link to a parent directory would recurse forever.
            return Err(refused(path, "it is a link to a directory; expected files"));
        }
        if !data.is_file() {
            return Err(refused(path, "it is neither a file nor a directory"));
        }
        let mut bytes = Vec::new();
        let left = MOST_BYTES - self.bytes;
        file.take(left + 1).read_to_end(&mut bytes).map_err(io)?;
        self.bytes += bytes.len() as u64;
        if self.bytes > MOST_BYTES {
            let most = MOST_BYTES >> 20;
            return Err(refused(self.path, format!("it is larger than {most} MiB")));
        }
        let (mode, bytes) = shaped(bytes);
        self.files.add(inside, mode, bytes);
        Ok(())
    }
}

/// The mode and the contents in the guest. The mode depends on the contents, since Windows has no modes; carriage returns of a
/// checkout on Windows are removed from text.
fn shaped(bytes: Vec<u8>) -> (u32, Vec<u8>) {
    let binary = bytes.contains(&0);
    let runs = bytes.starts_with(b"#!") || bytes.starts_with(b"\x7fELF");
    let mode = if runs { EXECUTABLE } else { PLAIN };
    (mode, if binary { bytes } else { without_cr(&bytes) })
}

pub(super) fn refused(path: &Path, reason: impl Into<String>) -> Box<Error> {
    Error::new(
        Kind::Usage,
        format!("`{}` is not a valid agent", path.display()),
    )
    .because(reason)
    .next(format!(
        "give a directory that contains {FILE} and the files that it names"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An agent's directory, removed when dropped.
    struct Temporary(std::path::PathBuf);

    impl Temporary {
        fn new(name: &str) -> Self {
            let dir = std::env::temp_dir().join(format!("polis-{}-{name}", std::process::id()));
            fs::create_dir_all(dir.join("agent")).unwrap();
            fs::write(dir.join("agent").join(FILE), "x").unwrap();
            fs::write(dir.join("secret"), "the secret").unwrap();
            Self(dir)
        }

        fn read(&self) -> std::result::Result<Vec<u8>, String> {
            let read = read(&self.0.join("agent")).map_err(|error| error.causes.join(" "))?;
            Ok(read.files.to_tar().unwrap())
        }
    }

    impl Drop for Temporary {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn an_agent_is_bounded() {
        let deep = Temporary::new("deep");
        fs::create_dir_all(deep.0.join("agent").join("d/".repeat(MOST_LEVELS + 2))).unwrap();
        assert!(deep.read().unwrap_err().contains("directories deep"));
        let many = Temporary::new("many");
        for number in 0..MOST_ENTRIES {
            fs::write(many.0.join("agent").join(number.to_string()), "").unwrap();
        }
        assert!(many.read().unwrap_err().contains("more than 4096"));
        let large = Temporary::new("large");
        let file = fs::File::create(large.0.join("agent/file")).unwrap();
        file.set_len(MOST_BYTES).unwrap();
        assert!(large.read().unwrap_err().contains("larger than 64 MiB"));
    }

    /// Files are replaced by links that point outside, and restored; nothing outside is packed.
    #[cfg(unix)]
    #[test]
    fn files_swapped_for_links_pack_nothing_outside() {
        use std::os::unix::fs::symlink;
        use std::sync::atomic::{AtomicBool, Ordering};

        let swapped = Temporary::new("swapped");
        let agent = swapped.0.join("agent");
        fs::write(agent.join("file"), "x").unwrap();
        fs::create_dir(agent.join("dir")).unwrap();
        fs::write(agent.join("dir/secret"), "x").unwrap();
        let (done, mut packed_outside) = (AtomicBool::new(false), false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let (link, aside) = (swapped.0.join("link"), swapped.0.join("aside"));
                    for (name, to) in [
                        ("file", swapped.0.join("secret")),
                        ("dir", swapped.0.clone()),
                    ] {
                        symlink(to, &link).unwrap();
                        fs::rename(agent.join(name), &aside).unwrap();
                        fs::rename(&link, agent.join(name)).unwrap();
                        fs::remove_file(agent.join(name)).unwrap();
                        fs::rename(&aside, agent.join(name)).unwrap();
                    }
                }
            });
            for _ in 0..300 {
                let packed = swapped.read().unwrap_or_default();
                let found = packed.windows(10).any(|bytes| bytes == b"the secret");
                packed_outside |= found;
            }
            done.store(true, Ordering::Relaxed);
        });
        assert!(!packed_outside);
    }

    #[cfg(unix)]
    #[test]
    fn a_pipe_and_a_link_out_are_refused() {
        let odd = Temporary::new("odd");
        std::os::unix::fs::symlink("../secret", odd.0.join("agent/link")).unwrap();
        assert_eq!(
            odd.read().unwrap_err(),
            "it points outside the agent, to `../secret`"
        );
        fs::remove_file(odd.0.join("agent/link")).unwrap();
        std::os::unix::fs::symlink(FILE, odd.0.join("agent/link")).unwrap();
        assert!(odd.read().is_ok());
        let _listener = std::os::unix::net::UnixListener::bind(odd.0.join("agent/pipe")).unwrap();
        assert_eq!(
            odd.read().unwrap_err(),
            "it is neither a file nor a directory"
        );
    }

    #[test]
    fn contents_determine_the_mode_and_text_loses_carriage_returns() {
        assert_eq!(
            shaped(b"#!/bin/sh\r\n".to_vec()),
            (EXECUTABLE, b"#!/bin/sh\n".to_vec())
        );
        assert_eq!(shaped(b"a\0\r\n".to_vec()), (PLAIN, b"a\0\r\n".to_vec()));
    }
}
