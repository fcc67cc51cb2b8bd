//! The exit code and the hint for each kind of network failure.

use xtask_host::error::{Error, Outcome};

use crate::error::{ErrorKind, NetError, Rejection};

impl From<NetError> for Error {
    fn from(error: NetError) -> Self {
        let (outcome, hint) = match &error.kind {
            ErrorKind::Unreachable => (
                Outcome::Network,
                "check the network, then run the same command again",
            ),
            ErrorKind::RateLimited => (
                Outcome::Network,
                "wait, or log in: servers allow more requests to logged-in clients",
            ),
            ErrorKind::MissingPlatform => (
                Outcome::Findings,
                "the image does not run on every platform that Polis supports; have it built for that platform",
            ),
            ErrorKind::Unauthorised => (
                Outcome::Network,
                "check the login: `docker login`, or POLIS_REGISTRY, POLIS_REGISTRY_USER and POLIS_REGISTRY_PASSWORD; GITHUB_ACTOR and GITHUB_TOKEN for ghcr.io and GitHub",
            ),
            ErrorKind::NotFound => (
                Outcome::Drift,
                "check the name and the tag; it may have been deleted",
            ),
            ErrorKind::Mismatch { .. } => (
                Outcome::Findings,
                "find out who changed the content before you use it",
            ),
            ErrorKind::Rejected(rejection) => remedy(*rejection),
            ErrorKind::Protocol => (
                Outcome::Network,
                "check that this is the right server; a proxy may be in the way",
            ),
            ErrorKind::Local => (
                Outcome::Machine,
                "fix the problem with the file, then run the same command again",
            ),
        };
        Self::new(outcome, error.to_string()).hint(hint)
    }
}

/// The outcome and the hint for a rejection.
fn remedy(rejection: Rejection) -> (Outcome, &'static str) {
    match rejection {
        Rejection::Immutable => (
            Outcome::Drift,
            "a published release is frozen: release the next version",
        ),
        Rejection::BurntTag => (
            Outcome::Findings,
            "this tag name can never be used again: release the next version",
        ),
        Rejection::NoTag => (
            Outcome::Findings,
            "push the tag (`git push origin vX.Y.Z`), then run the same command again",
        ),
        Rejection::Ruleset => (
            Outcome::Findings,
            "a repository rule forbids it: see Settings, Rules",
        ),
        Rejection::Taken => (
            Outcome::Drift,
            "something with that name already exists: inspect it first",
        ),
        Rejection::Invalid => (
            Outcome::Findings,
            "GitHub rejected the request; its message says why",
        ),
    }
}
