//! An owner, the request to give files to one, and the count of what came of it.

use std::fmt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

/// A numeric owner: both halves, as names would need a user database that the image does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Owner {
    /// User id.
    pub(crate) uid: u32,
    /// Group id.
    pub(crate) gid: u32,
}

impl Owner {
    /// Parses `UID:GID`. The largest number is refused: to the kernel it means "leave unchanged".
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (uid, gid) = text.split_once(':')?;
        Some(Self {
            uid: parse_id(uid)?,
            gid: parse_id(gid)?,
        })
    }
}

fn parse_id(text: &str) -> Option<u32> {
    // `parse` alone would take "+5".
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|id| digits && *id != u32::MAX)
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.uid, self.gid)
    }
}

/// What to change, and to whom.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Request {
    /// Whether to descend into directories.
    pub(crate) recursive: bool,
    /// The owner that every path shall have.
    pub(crate) owner: Owner,
    /// Where to start; at least one.
    pub(crate) paths: Vec<PathBuf>,
}

/// The results so far.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Objects whose owner was set; a few of them may have had it before.
    pub(crate) set: u64,
    /// Objects that were found with the right owner.
    pub(crate) already: u64,
    /// Objects whose owner could not be set.
    pub(crate) failures: u64,
    /// The capability whose absence would explain the last failure.
    pub(crate) hint: Option<&'static str>,
}

impl Tally {
    /// Reports a failure at once, so that memory does not grow with their number.
    pub(crate) fn fail(&mut self, path: &Path, operation: &str, error: Errno) {
        // Debug quotes the path and escapes line breaks: one failure is always one line.
        eprintln!("polis-init: {path:?}: {operation}: {error}");
        self.failures += 1;
        match error {
            Errno::PERM => self.hint = Some("CHOWN"),
            Errno::ACCESS => self.hint = Some("DAC_OVERRIDE"),
            _ => {}
        }
    }

    /// Adds what another thread has counted.
    pub(crate) fn add(&mut self, other: Self) {
        self.set += other.set;
        self.already += other.already;
        self.failures += other.failures;
        self.hint = other.hint.or(self.hint);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_is_two_plain_numbers() {
        assert_eq!(
            Owner::parse("0:4294967294"),
            Some(Owner {
                uid: 0,
                gid: 4294967294
            })
        );
        for text in [
            "",
            ":",
            "1",
            "1:",
            ":1",
            "+1:1",
            "-1:1",
            "1:4294967295",
            "1:4294967296",
            "root:root",
            "1:2:3",
            "1.2",
        ] {
            assert_eq!(Owner::parse(text), None, "{text}");
        }
    }
}
