//! The states of an image, and how a report shows each: the word, the exit code, the finding, the next step.

use xtask_host::error::Outcome;
use xtask_host::finding::Finding;
use xtask_host::source::Place;

use crate::error::{ErrorKind, NetError};

/// The states of an image. Each is exactly one class of exit codes: only the first three are fine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageStatus {
    /// Every byte was read, and the image meets its contract.
    Verified,
    /// This repository builds it, and has not published this version yet.
    NotPublished,
    /// A waiver lets it go unpinned for now, so there is nothing to check.
    Waived,
    /// It has no digest.
    Unpinned,
    /// It has no contract.
    NoContract,
    /// A manifest no longer exists.
    MissingManifest,
    /// A configuration or a layer no longer exists.
    MissingBlob,
    /// The content does not match its digest.
    WrongDigest,
    /// A document or a layer does not have the size that its descriptor says.
    WrongSize,
    /// The content matches its digest, but no engine could use it.
    Unreadable,
    /// A platform of the contract is not offered.
    MissingPlatform,
    /// A program or a file of the contract does not exist.
    PathMissing,
    /// A program exists, but the user that runs it may not execute it.
    NotExecutable,
    /// A module exists, but the user that loads it may not read it.
    NotReadable,
    /// A directory exists, but none of its users may write to it.
    NotWritable,
    /// The image runs as another user, or has other accounts.
    WrongUser,
    /// The image has another entry point or command.
    WrongEntryPoint,
    /// A program exists that the contract says is missing.
    UnexpectedProgram,
    /// No answer, or none that could be used.
    Unreachable,
    /// The server refused for too many requests.
    RateLimited,
    /// The server refused the login.
    NotAuthorised,
}

/// One thing that keeps an image from being verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The state that it puts the image in.
    pub kind: ImageStatus,
    /// The platform, if it is about one.
    pub platform: Option<String>,
    /// What it is about, and what was found instead.
    pub about: String,
    /// Where the broken promise is written; `None` if the problem is about the pin.
    pub place: Option<Box<Place>>,
}

impl ImageStatus {
    /// The words for it in reports.
    pub fn word(self) -> &'static str {
        match self {
            Self::Verified => "verified",
            Self::NotPublished => "not published",
            Self::Waived => "waived",
            Self::Unpinned => "unpinned",
            Self::NoContract => "no contract",
            Self::MissingManifest => "missing manifest",
            Self::MissingBlob => "missing blob",
            Self::WrongDigest => "wrong digest",
            Self::WrongSize => "wrong size",
            Self::Unreadable => "unreadable",
            Self::MissingPlatform => "missing platform",
            Self::PathMissing => "path missing",
            Self::NotExecutable => "not executable",
            Self::NotReadable => "not readable",
            Self::NotWritable => "not writable",
            Self::WrongUser => "wrong user",
            Self::WrongEntryPoint => "wrong entry point",
            Self::UnexpectedProgram => "unexpected program",
            Self::Unreachable => "unreachable",
            Self::RateLimited => "rate limited",
            Self::NotAuthorised => "not authorised",
        }
    }

    /// The outcome of a run: a broken promise and wrong content are findings, removed content is drift, and what could
    /// not be verified counts as a network failure.
    pub fn outcome(self) -> Outcome {
        match self {
            Self::Verified | Self::NotPublished | Self::Waived => Outcome::Ok,
            Self::MissingManifest | Self::MissingBlob => Outcome::Drift,
            Self::Unreachable | Self::RateLimited | Self::NotAuthorised => Outcome::Network,
            Self::Unpinned
            | Self::NoContract
            | Self::WrongDigest
            | Self::WrongSize
            | Self::Unreadable
            | Self::MissingPlatform
            | Self::PathMissing
            | Self::NotExecutable
            | Self::NotReadable
            | Self::NotWritable
            | Self::WrongUser
            | Self::WrongEntryPoint
            | Self::UnexpectedProgram => Outcome::Findings,
        }
    }

    fn rule(self) -> &'static str {
        match self {
            Self::Verified => "image-verified",
            Self::NotPublished => "image-not-published",
            Self::Waived => "image-waived",
            Self::Unpinned => "image-unpinned",
            Self::NoContract => "image-no-contract",
            Self::MissingManifest => "image-missing-manifest",
            Self::MissingBlob => "image-missing-blob",
            Self::WrongDigest => "image-wrong-digest",
            Self::WrongSize => "image-wrong-size",
            Self::Unreadable => "image-unreadable",
            Self::MissingPlatform => "image-missing-platform",
            Self::PathMissing => "image-path-missing",
            Self::NotExecutable => "image-not-executable",
            Self::NotReadable => "image-not-readable",
            Self::NotWritable => "image-not-writable",
            Self::WrongUser => "image-wrong-user",
            Self::WrongEntryPoint => "image-wrong-entry-point",
            Self::UnexpectedProgram => "image-unexpected-program",
            Self::Unreachable => "image-unreachable",
            Self::RateLimited => "image-rate-limited",
            Self::NotAuthorised => "image-not-authorised",
        }
    }

    fn help(self) -> &'static str {
        match self {
            Self::Verified | Self::NotPublished | Self::Waived => "",
            Self::Unpinned => "run `cargo xtask pin`",
            Self::NoContract => {
                "add a contract to compose/images with the facts that our files rely on"
            }
            Self::MissingManifest | Self::MissingBlob => {
                "find out why it was removed before you pin anything else"
            }
            Self::WrongDigest | Self::WrongSize => {
                "do not use it until you know who changed the content"
            }
            Self::Unreadable => "no engine can run it: rebuild and republish it",
            Self::MissingPlatform => "have the image built for that platform, or pin another one",
            Self::PathMissing
            | Self::NotExecutable
            | Self::NotReadable
            | Self::NotWritable
            | Self::WrongUser
            | Self::WrongEntryPoint
            | Self::UnexpectedProgram => {
                "pin an image that meets its contract; or correct the contract, and whatever \
                 `cargo xtask check` then reports"
            }
            Self::Unreachable => "run the same command again; the image itself may be fine",
            Self::RateLimited => "wait, or log in: logged-in clients may send more requests",
            Self::NotAuthorised => {
                "log in with `docker login`, or set POLIS_REGISTRY, POLIS_REGISTRY_USER and \
                 POLIS_REGISTRY_PASSWORD"
            }
        }
    }
}

impl Problem {
    /// Something about the image as a whole.
    pub(super) fn new(kind: ImageStatus, about: impl Into<String>) -> Self {
        Self {
            kind,
            platform: None,
            about: about.into(),
            place: None,
        }
    }

    /// The promise at `place` is broken.
    pub(super) fn broken(kind: ImageStatus, place: &Place, about: impl Into<String>) -> Self {
        Self {
            place: Some(Box::new(place.clone())),
            ..Self::new(kind, about)
        }
    }

    /// The problem behind a failed request; `absent` is its kind if the registry answered "not found".
    pub(super) fn failed(error: &NetError, absent: ImageStatus) -> Self {
        let kind = match error.kind {
            ErrorKind::RateLimited => ImageStatus::RateLimited,
            ErrorKind::Unauthorised => ImageStatus::NotAuthorised,
            ErrorKind::NotFound => absent,
            ErrorKind::MissingPlatform => ImageStatus::MissingPlatform,
            ErrorKind::Mismatch { .. } => ImageStatus::WrongDigest,
            ErrorKind::Unreachable
            | ErrorKind::Rejected(_)
            | ErrorKind::Protocol
            | ErrorKind::Local => ImageStatus::Unreachable,
        };
        Self::new(kind, error.to_string())
    }

    /// The same, about `platform`.
    pub(super) fn on(mut self, platform: &str) -> Self {
        self.platform = Some(platform.to_owned());
        self
    }

    /// The finding for a report, for the image `name` that is pinned at `pin`.
    pub fn finding(&self, name: &str, pin: &Place) -> Finding {
        let place = self.place.as_deref().unwrap_or(pin);
        let platform = self.platform.as_ref();
        let platform = platform.map_or_else(String::new, |platform| format!(" ({platform})"));
        let message = format!("`{name}`{platform}: {}: {}", self.kind.word(), self.about);
        let finding = Finding::error(self.kind.rule(), place.clone(), message);
        finding
            .help(self.kind.help())
            .with_outcome(self.kind.outcome())
    }
}
