//! `polis cp`: determines which side is the workspace, packs local files, and unpacks archives of the workspace after checking
//! them.

pub(crate) mod names;
pub(crate) mod pack;
pub(crate) mod unpack;

use std::ffi::OsStr;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::error::{Error, Kind, Result};
use crate::signals;

/// The prefix of a path in the workspace.
pub(crate) const WORKSPACE: &str = "workspace:";

/// The direction of a copy.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// From this machine into the workspace.
    In { from: PathBuf, to: WorkspacePath },
    /// From the workspace to this machine.
    Out { from: WorkspacePath, to: PathBuf },
}

/// A path of the workspace.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct WorkspacePath {
    /// Absolute, without a trailing slash or `.` components.
    pub(crate) path: String,
    /// Whether it was given with a trailing slash, and so must be a directory.
    pub(crate) directory: bool,
}

impl WorkspacePath {
    /// `path`, relative to the home directory `home`.
    fn new(path: &str, home: &str) -> Self {
        let absolute = match path.starts_with('/') {
            true => path.to_owned(),
            false => format!("{home}/{path}"),
        };
        let parts = absolute.split('/');
        let parts: Vec<&str> = parts.filter(|part| !matches!(*part, "" | ".")).collect();
        Self {
            path: format!("/{}", parts.join("/")),
            directory: path.ends_with('/'),
        }
    }

    /// Its last component; none for the root or a `..`.
    pub(crate) fn name(&self) -> Option<&str> {
        let name = self.path.rsplit('/').next();
        name.filter(|name| names::plain(name.as_bytes()).is_ok())
    }

    /// The path as typed on the command line.
    pub(crate) fn shown(&self) -> String {
        format!("{WORKSPACE}{}", self.path)
    }
}

impl Direction {
    /// The direction from `source` to `destination`; paths in the workspace are relative to `home`.
    ///
    /// # Errors
    /// Of kind `Usage`, unless exactly one of them is in the workspace.
    pub(crate) fn of(source: &OsStr, destination: &OsStr, home: &str) -> Result<Self> {
        let inside = |side: &OsStr| -> Result<Option<WorkspacePath>> {
            if !side.as_encoded_bytes().starts_with(WORKSPACE.as_bytes()) {
                return Ok(None);
            }
            let text = side.to_str().filter(|text| !text.contains('\0'));
            let path = text.and_then(|text| text.strip_prefix(WORKSPACE));
            let path = path.ok_or_else(|| {
                let shown = side.display();
                Error::new(Kind::Usage, format!("`{shown}` is not UTF-8"))
                    .next("copy its directory instead")
            })?;
            Ok(Some(WorkspacePath::new(path, home)))
        };
        match (inside(source)?, inside(destination)?) {
            (None, Some(to)) => Ok(Self::In {
                from: source.into(),
                to,
            }),
            (Some(from), None) => Ok(Self::Out {
                from,
                to: destination.into(),
            }),
            (from, _) => Err(Error::new(
                Kind::Usage,
                match from {
                    None => "neither side is in the workspace",
                    Some(_) => "both sides are in the workspace",
                },
            )
            .because(format!(
                "expected `{WORKSPACE}PATH` for exactly one of the two"
            ))
            .next(format!("polis cp FILE {WORKSPACE}   (into its home)"))
            .next(format!("polis cp {WORKSPACE}FILE .   (out of its home)"))),
        }
    }
}

/// What was copied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Copied {
    /// Files and links.
    pub(crate) files: u64,
    /// The size of their contents.
    pub(crate) bytes: u64,
}

/// Reads exactly `left` bytes, and reports their number; fails when a signal arrives.
struct Bounded<'a, R> {
    from: R,
    left: u64,
    count: &'a mut u64,
    tell: &'a mut dyn FnMut(u64),
}

impl<R: Read> Read for Bounded<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if signals::came() {
            return Err(io::Error::other("interrupted"));
        }
        if self.left == 0 || buffer.is_empty() {
            return Ok(0);
        }
        let room = usize::try_from(self.left).map_or(buffer.len(), |left| left.min(buffer.len()));
        let count = self.from.read(&mut buffer[..room])?;
        if count == 0 {
            return Err(io::Error::other("it was truncated while being read"));
        }
        self.left -= count as u64;
        *self.count += count as u64;
        (self.tell)(*self.count);
        Ok(count)
    }
}

/// A hidden name that no other run uses.
pub(crate) fn unique() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now = now.map_or(0, |time| time.as_nanos());
    format!(".polis-copy-{}-{now}", std::process::id())
}

fn refused(path: &Path, reason: impl Into<String>) -> Box<Error> {
    Error::new(
        Kind::Usage,
        format!("`{}` cannot be copied", path.display()),
    )
    .because(reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn direction(source: &str, destination: &str) -> Result<Direction> {
        Direction::of(source.as_ref(), destination.as_ref(), "/home/polis")
    }

    #[test]
    fn exactly_one_side_is_in_the_workspace() {
        for (path, expected, directory, name) in [
            ("workspace:", "/home/polis", false, Some("polis")),
            ("workspace:a/b", "/home/polis/a/b", false, Some("b")),
            ("workspace:./a//b/", "/home/polis/a/b", true, Some("b")),
            ("workspace:/etc/x", "/etc/x", false, Some("x")),
            ("workspace:/", "/", true, None),
            ("workspace:a/..", "/home/polis/a/..", false, None),
            ("workspace:a b:c", "/home/polis/a b:c", false, Some("a b:c")),
        ] {
            let Ok(Direction::Out { from, to }) = direction(path, "x") else {
                panic!("{path}");
            };
            assert_eq!((from.path.as_str(), from.directory), (expected, directory));
            assert_eq!(from.name(), name);
            assert_eq!(to, Path::new("x"));
            let Ok(Direction::In { to, .. }) = direction(r"C:\x", path) else {
                panic!("{path}");
            };
            assert_eq!(to, from);
        }
        for (source, destination) in [
            ("a", "b"),
            ("workspace:a", "workspace:b"),
            ("./workspace:a", "b"),
        ] {
            assert_eq!(
                direction(source, destination).unwrap_err().kind,
                Kind::Usage
            );
        }
    }

    #[test]
    fn a_shrinking_file_is_an_error_and_a_growing_one_is_truncated() {
        let read = |bytes: &[u8], left| {
            let (mut count, mut text) = (0, Vec::new());
            let mut exactly = Bounded {
                from: bytes,
                left,
                count: &mut count,
                tell: &mut |_| {},
            };
            exactly.read_to_end(&mut text).map(|_| text)
        };
        assert_eq!(read(b"abc", 3).unwrap(), b"abc");
        assert_eq!(read(b"abcd", 3).unwrap(), b"abc");
        assert!(read(b"ab", 3).is_err());
    }
}
