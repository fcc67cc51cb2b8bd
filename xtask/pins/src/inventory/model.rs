//! What a pin is: one thing that the release or the machine fetches, what it is pinned to, and
//! every place in the tree that says so.

use std::fmt;
use std::str::FromStr;

use polis_base::{Digest, ImageRef};

use crate::edit::At;
use crate::waivers::Waiver;
use xtask_host::source::Place;

/// Which part of a pin stands at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// A whole image reference: name, tag and digest.
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
    /// The tag in the comment behind an action.
    Tag,
    /// The version of the Rust toolchain.
    Channel,
}

impl Part {
    /// The word that stands for it in reports.
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

/// One place that uses a pin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Use {
    /// Which part of it stands here.
    pub part: Part,
    /// What uses it: `service gate`, `stage build`, `job tests`.
    pub by: String,
    /// Where.
    pub at: At,
}

/// What is pinned, and to what.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum What {
    /// An image that a compose file or a workflow runs.
    Image(ImageRef),
    /// An image that a Dockerfile builds upon or copies from.
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

/// A file that is fetched and compared with its checksum.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Download {
    /// What it is, as in `sysbox`; the URL where the file gives it no other name.
    pub tool: String,
    /// Its version, where the file names one.
    pub version: Option<String>,
    /// `amd64` or `arm64`, where there is one file for each.
    pub architecture: Option<String>,
    /// Where it is served.
    pub url: String,
    /// What it must hash to.
    pub sha256: Digest,
}

/// A key file that must hold exactly one primary key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    /// Where it is served.
    pub url: String,
    /// The fingerprint of the one primary key in it, 40 upper-case hex digits.
    pub fingerprint: String,
}

/// An action, or a reusable workflow.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Action {
    /// `owner/repository`.
    pub repository: String,
    /// What stands behind the `@`: a commit, unless it is not pinned.
    pub reference: String,
    /// The tag that the comment behind it names.
    pub tag: Option<String>,
}

impl Action {
    /// The commit that it is pinned to.
    ///
    /// # Errors
    /// Why what stands behind the `@` is none.
    pub fn commit(&self) -> Result<Commit, CommitError> {
        self.reference.parse()
    }
}

/// One pin of the tree.
#[derive(Debug, Clone)]
pub struct Pin {
    /// What is pinned, and to what.
    pub what: What,
    /// Whether this repository builds it; then it is published by a release, not before.
    pub built: bool,
    /// The waiver, where it may stand without a digest for now.
    pub waiver: Option<Waiver>,
    /// Every place that uses it, in the order of files and lines; never empty.
    pub uses: Vec<Use>,
}

impl Pin {
    /// The kind, as reports call it.
    pub fn kind(&self) -> &'static str {
        match &self.what {
            What::Image(_) => "image",
            What::Base(_) => "base",
            What::Download(_) => "download",
            What::Key(_) => "key",
            What::Action(_) => "action",
            What::Toolchain(_) => "toolchain",
        }
    }

    /// What is pinned, in one line and without what it is pinned to.
    pub fn name(&self) -> String {
        match &self.what {
            What::Image(image) | What::Base(image) => image.unpinned().to_string(),
            What::Download(download) => {
                let more = [&download.version, &download.architecture];
                let words = [Some(&download.tool)].into_iter();
                let words: Vec<&str> = words
                    .chain(more.map(Option::as_ref))
                    .flatten()
                    .map(String::as_str)
                    .collect();
                words.join(" ")
            }
            What::Key(key) => key.url.clone(),
            What::Action(action) => match &action.tag {
                Some(tag) => format!("{} {tag}", action.repository),
                None => action.repository.clone(),
            },
            What::Toolchain(_) => "rust".to_owned(),
        }
    }

    /// What it is pinned to; `None` where it is not pinned.
    pub fn pinned(&self) -> Option<String> {
        match &self.what {
            What::Image(image) | What::Base(image) => image.digest().map(|pin| pin.to_string()),
            What::Download(download) => Some(download.sha256.to_string()),
            What::Key(key) => Some(key.fingerprint.clone()),
            What::Action(action) => action.commit().ok().map(|commit| commit.to_string()),
            What::Toolchain(channel) => is_release(channel).then(|| channel.clone()),
        }
    }

    /// The image reference, where it is an image of either kind.
    pub fn image(&self) -> Option<&ImageRef> {
        match &self.what {
            What::Image(image) | What::Base(image) => Some(image),
            _ => None,
        }
    }

    /// The place of the first use of `part`.
    pub fn place_of(&self, part: Part) -> Option<&Place> {
        let mut uses = self.uses.iter();
        uses.find(|a_use| a_use.part == part)
            .map(|a_use| &a_use.at.place)
    }

    /// The place that a report about what it is pinned to points at.
    ///
    /// # Panics
    /// Never for pins of an inventory: each has a use.
    pub fn place(&self) -> &Place {
        let parts = [
            Part::Reference,
            Part::Checksum,
            Part::Fingerprint,
            Part::Commit,
            Part::Channel,
        ];
        parts
            .into_iter()
            .find_map(|part| self.place_of(part))
            .unwrap_or_else(|| &self.uses[0].at.place)
    }
}

/// Whether `channel` names one release of Rust, as in `1.95.0`, and not what moves.
pub fn is_release(channel: &str) -> bool {
    let parts: Vec<&str> = channel.split('.').collect();
    let number = |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    parts.len() == 3 && parts.iter().all(number)
}

/// A git commit: 40 lower-case hex digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Commit(String);

/// Why a text is no commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommitError {
    /// It is no hexadecimal number, so it is a branch or a tag: both can be moved.
    Name,
    /// The digits are upper-case, which nothing that compares texts takes for the same commit.
    UpperCase,
    /// The number of digits: an abbreviation is no identity.
    Length(usize),
}

impl FromStr for Commit {
    type Err = CommitError;

    fn from_str(text: &str) -> Result<Self, CommitError> {
        // Short names such as `a1` are rather tags than abbreviations; git's shortest is 7.
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

impl fmt::Display for CommitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name => write!(f, "is a branch or a tag, and both can be moved"),
            Self::UpperCase => write!(f, "has upper-case digits; git prints lower-case ones"),
            Self::Length(found) => write!(f, "has {found} hex digits; a commit has 40"),
        }
    }
}

impl std::error::Error for CommitError {}

/// `v1.2.3`, `1.2`, `v1.2.3-rc.1`: two numbers at least, since one alone moves by custom.
pub(super) fn is_version(tag: &str) -> bool {
    let digits = tag.strip_prefix('v').unwrap_or(tag);
    let core = digits.split(['-', '+']).next().unwrap_or(digits);
    let number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    core.contains('.') && core.split('.').all(number)
}
