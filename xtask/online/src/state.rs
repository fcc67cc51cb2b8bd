//! The state of a pin, as found on the network.

use polis_base::{Digest, ImageRef};
use xtask_host::error::Outcome;
use xtask_host::finding::Finding;
use xtask_pins::inventory::Pin;
use xtask_pins::inventory::table;

use crate::error::{ErrorKind, NetError};

/// The states of a pin. Each is exactly one class of exit codes: only the first two are fine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PinStatus {
    /// The registry or server has what is pinned.
    Ok,
    /// This repository builds it, and has not published this version yet.
    NotPublished,
    /// The tag names something else now.
    Drifted,
    /// It no longer exists.
    Gone,
    /// The server did not answer, or its answer was unusable.
    Unreachable,
    /// The server refused for too many requests.
    RateLimited,
    /// The server refused the login.
    NotAuthorised,
    /// An image lacks a platform on which it is used.
    MissingPlatform,
    /// The bytes differ from the pinned ones.
    Mismatch,
    /// Its publisher lists a different digest.
    Contradicted,
    /// Its publisher does not list its digest, although its contract requires that.
    Unconfirmed,
    /// It has no valid signature by the signer in its contract.
    Unsigned,
}

/// The state of a pin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PinState {
    /// The status.
    pub kind: PinStatus,
    /// What was found instead of the pinned value.
    pub found: Option<String>,
    /// The reason, if the status alone does not say it.
    pub reason: Option<String>,
}

impl PinStatus {
    /// The words for it in reports.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::NotPublished => "not published",
            Self::Drifted => "drifted",
            Self::Gone => "gone",
            Self::Unreachable => "unreachable",
            Self::RateLimited => "rate limited",
            Self::NotAuthorised => "not authorised",
            Self::MissingPlatform => "missing platform",
            Self::Mismatch => "mismatch",
            Self::Contradicted => "contradicted",
            Self::Unconfirmed => "unconfirmed",
            Self::Unsigned => "unsigned",
        }
    }

    /// The outcome of a run: wrong bytes are a finding, moved or deleted content is drift, and what could not be
    /// verified counts as a network failure.
    pub fn outcome(self) -> Outcome {
        match self {
            Self::Ok | Self::NotPublished => Outcome::Ok,
            Self::MissingPlatform
            | Self::Mismatch
            | Self::Contradicted
            | Self::Unconfirmed
            | Self::Unsigned => Outcome::Findings,
            Self::Drifted | Self::Gone => Outcome::Drift,
            Self::Unreachable | Self::RateLimited | Self::NotAuthorised => Outcome::Network,
        }
    }

    /// Whether the pinned bytes exist.
    pub(crate) fn exists(self) -> bool {
        matches!(
            self,
            Self::Ok | Self::Drifted | Self::Contradicted | Self::Unconfirmed
        )
    }

    fn rule(self) -> &'static str {
        match self {
            Self::Ok => "pin-ok",
            Self::NotPublished => "pin-not-published",
            Self::Drifted => "pin-drifted",
            Self::Gone => "pin-gone",
            Self::Unreachable => "pin-unreachable",
            Self::RateLimited => "pin-rate-limited",
            Self::NotAuthorised => "pin-not-authorised",
            Self::MissingPlatform => "pin-missing-platform",
            Self::Mismatch => "pin-mismatch",
            Self::Contradicted => "pin-contradicted",
            Self::Unconfirmed => "pin-unconfirmed",
            Self::Unsigned => "pin-unsigned",
        }
    }

    fn help(self) -> &'static str {
        match self {
            Self::Ok | Self::NotPublished => "",
            Self::Drifted => {
                "find out who moved it and why; then run `cargo xtask pin` for an image, \
                 `cargo xtask update` for anything else"
            }
            Self::Gone => "find out why it was removed before you pin anything else",
            Self::Unreachable => "run the same command again; the pin itself may be fine",
            Self::RateLimited => "wait, or log in: logged-in clients may send more requests",
            Self::NotAuthorised => {
                "log in with `docker login`, or set POLIS_REGISTRY, POLIS_REGISTRY_USER and \
                 POLIS_REGISTRY_PASSWORD"
            }
            Self::MissingPlatform => "have the image built for that platform, or pin another one",
            Self::Mismatch => "do not use it until you know who changed the content",
            Self::Contradicted => {
                "find out which of the two digests its publisher built before you run it"
            }
            Self::Unconfirmed => {
                "ask its publisher for the list; if there will never be one, delete `digests` \
                 from the contract"
            }
            Self::Unsigned => "do not use it until its publisher explains why",
        }
    }
}

impl PinState {
    /// The pin holds.
    pub fn ok() -> Self {
        Self {
            kind: PinStatus::Ok,
            found: None,
            reason: None,
        }
    }

    /// The pinned name now refers to `found`.
    pub fn drifted(found: impl ToString) -> Self {
        Self {
            kind: PinStatus::Drifted,
            found: Some(found.to_string()),
            reason: None,
        }
    }

    /// The bytes are `found`, not the pinned ones.
    pub fn mismatch(found: impl ToString) -> Self {
        Self {
            kind: PinStatus::Mismatch,
            ..Self::drifted(found)
        }
    }

    /// `kind`, because of `reason`.
    pub(crate) fn because(kind: PinStatus, reason: impl Into<String>) -> Self {
        Self {
            kind,
            found: None,
            reason: Some(reason.into()),
        }
    }

    /// The worse of two states of one pin, or this one if they are equally bad, completed from the other.
    #[must_use]
    pub(crate) fn worse(self, other: Self) -> Self {
        let (worse, better) = match other.kind.outcome() > self.kind.outcome() {
            true => (other, self),
            false => (self, other),
        };
        Self {
            found: worse.found.or(better.found),
            reason: worse.reason.or(better.reason),
            kind: worse.kind,
        }
    }

    /// The state after a failed look-up.
    pub fn failed(error: &NetError) -> Self {
        let kind = match error.kind {
            ErrorKind::RateLimited => PinStatus::RateLimited,
            ErrorKind::Unauthorised => PinStatus::NotAuthorised,
            ErrorKind::NotFound => PinStatus::Gone,
            ErrorKind::MissingPlatform => PinStatus::MissingPlatform,
            ErrorKind::Mismatch { .. } => PinStatus::Mismatch,
            ErrorKind::Unreachable
            | ErrorKind::Rejected(_)
            | ErrorKind::Protocol
            | ErrorKind::Local => PinStatus::Unreachable,
        };
        Self {
            kind,
            found: None,
            reason: Some(error.to_string()),
        }
    }

    /// The state of `image`, pinned to `digest`: the worse of what its `tag` names and whether the pinned image is
    /// `whole`, that is, complete for every platform.
    pub(crate) fn of_image(
        image: &ImageRef,
        digest: Digest,
        built: bool,
        tag: Result<Digest, NetError>,
        whole: Result<(), NetError>,
    ) -> Self {
        let of_tag = match tag {
            Ok(found) if found == digest => Self::ok(),
            Ok(found) => Self::drifted(found),
            Err(error) if built && error.is_not_found() => {
                return Self {
                    kind: PinStatus::NotPublished,
                    found: None,
                    reason: Some(format!("{} is published by a release", image.unpinned())),
                };
            }
            Err(error) => Self::failed(&error),
        };
        match whole {
            Ok(()) => of_tag,
            Err(error) => of_tag.worse(Self::failed(&error)),
        }
    }

    /// The state as a row of the table of pins.
    pub fn to_row(&self) -> table::PinState {
        table::PinState {
            word: self.kind.word(),
            found: self.found.clone(),
            reason: self.reason.clone(),
        }
    }

    /// The finding about `pin` in this state; `None` if it is fine.
    pub fn finding(&self, pin: &Pin) -> Option<Finding> {
        let outcome = self.kind.outcome();
        if outcome == Outcome::Ok {
            return None;
        }
        let (name, pinned) = (pin.name(), pin.pinned().unwrap_or_default());
        let mut message = format!("`{name}` is {}", self.kind.word());
        match (&self.found, self.kind) {
            (Some(found), PinStatus::Contradicted) => {
                message = format!("`{name}`: its publisher lists {found}, but {pinned} is pinned");
            }
            (Some(found), _) => {
                message = format!("`{name}` is now {found}, but {pinned} is pinned")
            }
            (None, PinStatus::Mismatch) => message = format!("`{name}` does not match its pin"),
            (None, PinStatus::MissingPlatform) => message = format!("`{name}` lacks a platform"),
            _ => {}
        }
        if let Some(reason) = &self.reason {
            message.push_str(&format!(": {reason}"));
        }
        let finding = Finding::error(self.kind.rule(), pin.place().clone(), message);
        Some(finding.help(self.kind.help()).with_outcome(outcome))
    }
}
