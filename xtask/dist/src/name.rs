//! The names of the files of a release, and its targets.

use polis_base::release::COMMENT;
pub use polis_base::release::{SIGNATURE, SUMS, archive_name, program_name, stem};
use semver::Version;

/// The targets of a release, each with its archive.
pub const RELEASE_TARGETS: [&str; 5] = [
    "aarch64-apple-darwin",
    "aarch64-unknown-linux-musl",
    "x86_64-apple-darwin",
    "x86_64-pc-windows-msvc",
    "x86_64-unknown-linux-musl",
];

/// The machine-readable list of what the release consists of.
pub const MANIFEST: &str = "release-manifest.json";

/// A real release or a rehearsal of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReleaseKind {
    /// A release that people install.
    Release,
    /// A trial run: every file name and the signature say so.
    Rehearsal,
}

impl ReleaseKind {
    /// The version as shown in file names.
    pub fn label(self, version: &Version) -> String {
        match self {
            Self::Release => version.to_string(),
            Self::Rehearsal => format!("{version}-rehearsal"),
        }
    }

    /// The word in the manifest.
    pub fn word(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Rehearsal => "rehearsal",
        }
    }

    /// The comment that is signed with the checksums.
    pub fn comment(self, version: &Version) -> String {
        match self {
            Self::Release => format!("{COMMENT}{version}"),
            Self::Rehearsal => format!("{COMMENT}{version}: REHEARSAL, not a release"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_in_a_rehearsal_is_marked() {
        let version = Version::new(1, 2, 3);
        let label = ReleaseKind::Rehearsal.label(&version);
        assert_eq!(archive_name(&label, "t"), "polis-1.2.3-rehearsal-t.tar.gz");
        assert!(
            ReleaseKind::Rehearsal
                .comment(&version)
                .contains("REHEARSAL")
        );
    }
}
