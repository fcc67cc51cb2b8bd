//! An owner, the request to change files to it, and the count of results.

use std::fmt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

/// A numeric owner. Both parts are numbers, because names would need a user database, which the image lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Owner {
    /// User id.
    pub(crate) uid: u32,
    /// Group id.
    pub(crate) gid: u32,
}

impl Owner {
    /// Parses `UID:GID`. Refuses the largest number, which tells the kernel to leave the owner unchanged.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (uid, gid) = text.split_once(':')?;
        Some(Self {
            uid: parse_id(uid)?,
            gid: parse_id(gid)?,
        })
    }
}

fn parse_id(text: &str) -> Option<u32> {
    // `parse` alone would accept "+5".
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|id| digits && *id != u32::MAX)
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.uid, self.gid)
    }
}

/// What to change, and the new owner.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Request {
    /// Whether to descend into directories.
    pub(crate) recursive: bool,
    /// The new owner of every path.
    pub(crate) owner: Owner,
    /// Where to start; at least one.
    pub(crate) paths: Vec<PathBuf>,
}

/// The results so far.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Objects whose owner was set; a few of them may have had it already.
    pub(crate) set: u64,
    /// Objects that already had the right owner.
    pub(crate) already: u64,
    /// Objects whose owner could not be set.
    pub(crate) failures: u64,
    /// The capability whose absence would explain the last failure.
    pub(crate) hint: Option<&'static str>,
}

impl Tally {
    /// Reports a failure immediately, so that memory does not grow with their number.
    pub(crate) fn fail(&mut self, path: &Path, operation: &str, error: Errno) {
        // Debug quotes the path and escapes line breaks, so a failure is always one line.
        eprintln!("polis-init: {path:?}: {operation}: {error}");
        self.failures += 1;
        match error {
            Errno::PERM => self.hint = Some("CHOWN"),
            Errno::ACCESS => self.hint = Some("DAC_OVERRIDE"),
            _ => {}
        }
    }

    /// Adds the counts of another thread.
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
    fn an_owner_is_two_numbers() {
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
