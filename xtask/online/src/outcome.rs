//! How a network failure ends a verb: which exit code, and what to do next.

use xtask::error::{Error, Outcome};

use crate::error::{ErrorKind, NetError};

impl From<NetError> for Error {
    fn from(error: NetError) -> Self {
        let (outcome, hint) = match &error.kind {
            ErrorKind::Unreachable => (
                Outcome::Network,
                "check the network, then run the same command again",
            ),
            ErrorKind::RateLimited => (
                Outcome::Network,
                "wait, or log in: servers let who is logged in ask more often",
            ),
            ErrorKind::MissingPlatform => (
                Outcome::Findings,
                "the image cannot run on every machine that Polis serves; have it built for that platform",
            ),
            ErrorKind::Unauthorised => (
                Outcome::Network,
                "check the login: `docker login`, or POLIS_REGISTRY, POLIS_REGISTRY_USER and POLIS_REGISTRY_PASSWORD; GITHUB_ACTOR and GITHUB_TOKEN for ghcr.io and GitHub",
            ),
            ErrorKind::NotFound => (
                Outcome::Drift,
                "check the name and the tag; what was there may have been deleted",
            ),
            ErrorKind::Mismatch { .. } => (
                Outcome::Findings,
                "do not go on before it is clear who changed the bytes",
            ),
            ErrorKind::Protocol => (
                Outcome::Network,
                "is this the right server? a proxy may be in the way",
            ),
            ErrorKind::Local => (
                Outcome::Machine,
                "see to the file, then run the same command again",
            ),
        };
        Self::new(outcome, error.to_string()).hint(hint)
    }
}
