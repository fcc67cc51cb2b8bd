//! An agent's directory, read and judged on the host: what travels is a name, and files below it.

use std::fs;
use std::path::Path;

use polis_base::archive::{EXECUTABLE, Files, PLAIN, without_cr};

use crate::error::{Error, Kind, Result};
use crate::multipass::call::Payload;
use crate::plan::Agent;

/// The file that is layered on the stack.
const COMPOSE: &str = "compose.yaml";
/// An agent brings configuration and scripts, not data.
const MOST_BYTES: u64 = 64 << 20;

/// Reads the agent in `dir`; its name is the directory's.
///
/// # Errors
/// Of kind `Usage`: no directory, a name that is none, no compose.yaml, something in it that is
/// neither a file nor a directory, a link that leaves it, too much.
pub(crate) fn read(dir: &Path) -> Result<Agent> {
    let root = fs::canonicalize(dir).map_err(|error| refused(dir, error.to_string()))?;
    if !root.is_dir() {
        return Err(refused(dir, "it is not a directory"));
    }
    let name = root
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    check_name(&name).map_err(|reason| refused(dir, reason))?;
    if !root.join(COMPOSE).is_file() {
        return Err(refused(dir, format!("it has no {COMPOSE}")));
    }
    let mut reader = Reader {
        root: &root,
        files: Files::new(),
        bytes: 0,
    };
    reader.directory(&root, "")?;
    let archive = reader
        .files
        .to_tar()
        .map_err(|error| refused(dir, error.to_string()))?;
    Ok(Agent {
        name,
        archive: Payload {
            name: "agent.tar",
            bytes: archive.into(),
        },
    })
}

/// Whether `name` can be a directory and a part of a compose project anywhere.
fn check_name(name: &str) -> std::result::Result<(), String> {
    let first = name.starts_with(|c: char| c.is_ascii_lowercase());
    let rest = name
        .bytes()
        .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if first && rest && name.len() <= 40 && !name.ends_with('-') {
        return Ok(());
    }
    Err(format!(
        "`{name}` is no name for an agent; expected up to 40 of a-z, 0-9 and -, beginning with a letter"
    ))
}

struct Reader<'a> {
    root: &'a Path,
    files: Files,
    bytes: u64,
}

impl Reader<'_> {
    fn directory(&mut self, dir: &Path, below: &str) -> Result<()> {
        let entries = fs::read_dir(dir).map_err(|error| refused(dir, error.to_string()))?;
        for entry in entries {
            let entry = entry.map_err(|error| refused(dir, error.to_string()))?;
            let path = entry.path();
            let name = entry
                .file_name()
                .into_string()
                .map_err(|_| refused(&path, "its name is not UTF-8"))?;
            if name.contains(['\\', ':']) || name.chars().any(char::is_control) {
                return Err(refused(&path, "its name cannot be a file name everywhere"));
            }
            let inside = if below.is_empty() {
                name
            } else {
                format!("{below}/{name}")
            };
            self.entry(&path, &inside)?;
        }
        Ok(())
    }

    /// Adds a file or a directory; what a link points to, if that is inside.
    fn entry(&mut self, path: &Path, inside: &str) -> Result<()> {
        let io = |error: std::io::Error| refused(path, error.to_string());
        let link = fs::symlink_metadata(path).map_err(io)?.is_symlink();
        let real = fs::canonicalize(path).map_err(io)?;
        if !real.starts_with(self.root) {
            return Err(refused(
                path,
                format!("it leads out of the agent, to `{}`", real.display()),
            ));
        }
        let data = fs::metadata(&real).map_err(io)?;
        if data.is_dir() {
            // A link to a directory above would never end.
            if link {
                return Err(refused(path, "it is a link to a directory; expected files"));
            }
            return self.directory(path, inside);
        }
        if !data.is_file() {
            return Err(refused(path, "it is neither a file nor a directory"));
        }
        self.bytes += data.len();
        if self.bytes > MOST_BYTES {
            let most = MOST_BYTES >> 20;
            return Err(refused(self.root, format!("it is larger than {most} MiB")));
        }
        let bytes = fs::read(&real).map_err(io)?;
        let (mode, bytes) = shaped(bytes);
        self.files.add(inside, mode, bytes);
        Ok(())
    }
}

/// The mode and the content in the guest: by content, since Windows has no modes; text without the
/// carriage returns of a checkout on Windows.
fn shaped(bytes: Vec<u8>) -> (u32, Vec<u8>) {
    let binary = bytes.contains(&0);
    let runs = bytes.starts_with(b"#!") || bytes.starts_with(b"\x7fELF");
    let mode = if runs { EXECUTABLE } else { PLAIN };
    (mode, if binary { bytes } else { without_cr(&bytes) })
}

fn refused(path: &Path, reason: impl Into<String>) -> Box<Error> {
    Error::new(
        Kind::Usage,
        format!("`{}` cannot be taken as an agent", path.display()),
    )
    .because(reason)
    .next(format!(
        "give --agent a directory that holds a {COMPOSE} and what it needs"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_narrow() {
        for name in ["claude-code", "a", "a1"] {
            assert_eq!(check_name(name), Ok(()), "{name}");
        }
        for name in [
            "",
            "..",
            "a/b",
            "A",
            "1a",
            "-a",
            "a-",
            "a b",
            "a.b",
            "ä",
            &"a".repeat(41),
        ] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }

    #[test]
    fn content_decides_the_mode_and_text_loses_its_carriage_returns() {
        assert_eq!(
            shaped(b"#!/bin/sh\r\n".to_vec()),
            (EXECUTABLE, b"#!/bin/sh\n".to_vec())
        );
        assert_eq!(shaped(b"a\0\r\n".to_vec()), (PLAIN, b"a\0\r\n".to_vec()));
    }
}
