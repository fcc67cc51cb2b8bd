//! How the files of a release are named, and which targets it has.

use semver::Version;

/// The targets that a release must have an archive for.
pub const RELEASE_TARGETS: [&str; 5] = [
    "aarch64-apple-darwin",
    "aarch64-unknown-linux-musl",
    "x86_64-apple-darwin",
    "x86_64-pc-windows-msvc",
    "x86_64-unknown-linux-musl",
];

/// The list of checksums.
pub const SUMS: &str = "SHA256SUMS";
/// Its signature.
pub const SIGNATURE: &str = "SHA256SUMS.minisig";
/// What the release consists of, for programs.
pub const MANIFEST: &str = "release-manifest.json";

/// A real release or a rehearsal of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// What people install.
    Release,
    /// What nobody must take for a release: every name and the signature say so.
    Rehearsal,
}

impl Kind {
    /// The version as file names show it.
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
            Self::Release => format!("Polis {version}"),
            Self::Rehearsal => format!("Polis {version}: REHEARSAL, not a release"),
        }
    }
}

/// The one directory in the CLI archive for `triple`, and the archive's name without its ending.
pub fn stem(label: &str, triple: &str) -> String {
    format!("polis-{label}-{triple}")
}

/// The name of the CLI archive for `triple`: what its system opens without another program.
pub fn archive_name(label: &str, triple: &str) -> String {
    let ending = if is_windows(triple) { "zip" } else { "tar.gz" };
    format!("{}.{ending}", stem(label, triple))
}

/// The name of the program for `triple`.
pub fn program_name(triple: &str) -> &'static str {
    if is_windows(triple) {
        "polis.exe"
    } else {
        "polis"
    }
}

pub(crate) fn is_windows(triple: &str) -> bool {
    triple.contains("-windows-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_of_a_rehearsal_says_so() {
        let version = Version::new(1, 2, 3);
        let label = Kind::Rehearsal.label(&version);
        assert_eq!(archive_name(&label, "t"), "polis-1.2.3-rehearsal-t.tar.gz");
        assert!(Kind::Rehearsal.comment(&version).contains("REHEARSAL"));
    }

    #[test]
    fn windows_gets_what_it_opens_itself() {
        let name = archive_name("1.2.3", "x86_64-pc-windows-msvc");
        assert_eq!(name, "polis-1.2.3-x86_64-pc-windows-msvc.zip");
        assert_eq!(program_name("x86_64-pc-windows-msvc"), "polis.exe");
    }
}
