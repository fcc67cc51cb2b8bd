//! A pin: a dependency of a release or of the VM, the value that it is pinned to, and every place that names it.

use std::fmt;
use std::str::FromStr;

use polis_base::{Digest, ImageRef};

use crate::edit::Location;
use crate::waivers::Waiver;
use xtask_host::source::Place;

/// The part of a pin that an occurrence names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Field {
    /// An image reference: name, tag and digest.
    Reference,
    /// The version of a download.
    Version,
    /// The address of a download or of a key.
    Url,
    /// The SHA-256 of a download.
    Checksum,
    /// The fingerprint of a key.
    Fingerprint,
    /// The commit of an action.
    Commit,
    /// The version of an action, in the comment after its commit.
    Tag,
    /// The version of the Rust toolchain.
    Channel,
}

impl Field {
    /// Its name in reports.
    pub fn word(self) -> &'static str {
        match self {
            Self::Reference => "reference",
            Self::Version => "version",
            Self::Url => "url",
            Self::Checksum => "checksum",
            Self::Fingerprint => "fingerprint",
            Self::Commit => "commit",
            Self::Tag => "tag",
            Self::Channel => "channel",
        }
    }
}

/// A place that names a pin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Occurrence {
    /// The part that it names.
    pub field: Field,
    /// The user of the pin: `service gate`, `stage build`, `job tests`.
    pub by: String,
    /// Its place.
    pub at: Location,
}

/// A dependency with the value that it is pinned to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Dependency {
    /// An image that a compose file or a workflow runs.
    Image(ImageRef),
    /// An image that a Dockerfile builds on or copies from.
    Base(ImageRef),
    /// A file, by its checksum.
    Download(Download),
    /// A package signing key, by its fingerprint.
    Key(Key),
    /// A GitHub action or reusable workflow, by its commit.
    Action(Action),
    /// The Rust toolchain, by its version.
    Toolchain(String),
}

/// A file with its checksum.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Download {
    /// Its name, as in `sysbox`; the URL if the file names no tool.
    pub tool: String,
    /// Its version, if the file names one.
    pub version: Option<String>,
    /// `amd64` or `arm64`, if each architecture has its own file.
    pub architecture: Option<String>,
    /// Its URL.
    pub url: String,
    /// Its checksum.
    pub sha256: Digest,
}

/// A key file that must hold exactly one primary key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    /// Its URL.
    pub url: String,
    /// The fingerprint of the one primary key in it, 40 upper-case hex digits.
    pub fingerprint: String,
}

/// An action, or a reusable workflow.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Action {
    /// `owner/repository`.
    pub repository: String,
    /// The text after the `@`: a commit, if it is pinned.
    pub reference: String,
    /// The tag in the comment after it.
    pub tag: Option<String>,
}

impl Action {
    /// The commit that it is pinned to.
    ///
    /// # Errors
    /// If the text after the `@` is not a full commit.
    pub fn commit(&self) -> Result<Commit, CommitError> {
        self.reference.parse()
    }
}

/// One pin of the tree.
#[derive(Debug, Clone)]
pub struct Pin {
    /// The dependency.
    pub dependency: Dependency,
    /// Whether this repository builds it. Then its first release publishes it.
    pub built: bool,
    /// The waiver that allows an image without a digest.
    pub waiver: Option<Waiver>,
    /// Every place that names it, in the order of files and lines. Never empty.
    pub occurrences: Vec<Occurrence>,
}

impl Pin {
    /// The kind, as reports call it.
    pub fn kind(&self) -> &'static str {
        match &self.dependency {
            Dependency::Image(_) => "image",
            Dependency::Base(_) => "base",
            Dependency::Download(_) => "download",
            Dependency::Key(_) => "key",
            Dependency::Action(_) => "action",
            Dependency::Toolchain(_) => "toolchain",
        }
    }

    /// The dependency in one line, without its pinned value.
    pub fn name(&self) -> String {
        match &self.dependency {
            Dependency::Image(image) | Dependency::Base(image) => image.unpinned().to_string(),
            Dependency::Download(download) => {
                let more = [&download.version, &download.architecture];
                let words = [Some(&download.tool)].into_iter();
                let words: Vec<&str> = words
                    .chain(more.map(Option::as_ref))
                    .flatten()
                    .map(String::as_str)
                    .collect();
                words.join(" ")
            }
            Dependency::Key(key) => key.url.clone(),
            Dependency::Action(action) => match &action.tag {
                Some(tag) => format!("{} {tag}", action.repository),
                None => action.repository.clone(),
            },
            Dependency::Toolchain(_) => "rust".to_owned(),
        }
    }

    /// The pinned value; `None` if it is not pinned.
    pub fn pinned(&self) -> Option<String> {
        match &self.dependency {
            Dependency::Image(image) | Dependency::Base(image) => {
                image.digest().map(|pin| pin.to_string())
            }
            Dependency::Download(download) => Some(download.sha256.to_string()),
            Dependency::Key(key) => Some(key.fingerprint.clone()),
            Dependency::Action(action) => action.commit().ok().map(|commit| commit.to_string()),
            Dependency::Toolchain(channel) => is_release(channel).then(|| channel.clone()),
        }
    }

    /// The image reference, if it is an image of either kind.
    pub fn image(&self) -> Option<&ImageRef> {
        match &self.dependency {
            Dependency::Image(image) | Dependency::Base(image) => Some(image),
            _ => None,
        }
    }

    /// The place of the first occurrence of `field`.
    pub fn place_of(&self, field: Field) -> Option<&Place> {
        let mut occurrences = self.occurrences.iter();
        occurrences
            .find(|occurrence| occurrence.field == field)
            .map(|occurrence| &occurrence.at.place)
    }

    /// The place of its pinned value.
    ///
    /// # Panics
    /// Never for pins of an inventory: each has an occurrence.
    pub fn place(&self) -> &Place {
        let fields = [
            Field::Reference,
            Field::Checksum,
            Field::Fingerprint,
            Field::Commit,
            Field::Channel,
        ];
        fields
            .into_iter()
            .find_map(|field| self.place_of(field))
            .unwrap_or_else(|| &self.occurrences[0].at.place)
    }
}

/// Whether `channel` is a full version of Rust, as in `1.95.0`.
pub fn is_release(channel: &str) -> bool {
    let parts: Vec<&str> = channel.split('.').collect();
    let number = |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    parts.len() == 3 && parts.iter().all(number)
}

/// A git commit: 40 lower-case hex digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Commit(String);

/// Why a text is not a commit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// It is not hexadecimal: a branch or a tag, which can be moved.
    #[error("is a branch or a tag, which can be moved")]
    Name,
    /// It has upper-case digits, which differ from git's output.
    #[error("has upper-case digits: expected lower case, as git prints it")]
    UpperCase,
    /// It does not have 40 digits; holds their number.
    #[error("has {0} hex digits: expected 40")]
    Length(usize),
}

impl FromStr for Commit {
    type Err = CommitError;

    fn from_str(text: &str) -> Result<Self, CommitError> {
        // Git's shortest abbreviation has 7 digits. A shorter name, such as `a1`, is likely a tag.
        let hex = text.len() >= 7 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        match text.len() {
            _ if !hex => Err(CommitError::Name),
            40 if text.bytes().any(|byte| byte.is_ascii_uppercase()) => Err(CommitError::UpperCase),
            40 => Ok(Self(text.to_owned())),
            length => Err(CommitError::Length(length)),
        }
    }
}

impl fmt::Display for Commit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `v1.2.3`, `1.2`, `v1.2.3-rc.1`: at least two numbers, since a tag such as `v1` is moved by convention.
pub(super) fn is_version(tag: &str) -> bool {
    let digits = tag.strip_prefix('v').unwrap_or(tag);
    let core = digits.split(['-', '+']).next().unwrap_or(digits);
    let number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    core.contains('.') && core.split('.').all(number)
}
