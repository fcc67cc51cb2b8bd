//! The commands of `polis security`.

use clap::{Subcommand, ValueEnum};
use serde::Serialize;

/// The commands of `security`.
#[derive(Debug, Subcommand)]
pub(crate) enum SecurityVerb {
    /// Show the level, the number of pending requests, and the hosts that are currently allowed
    Status,
    /// List the blocked requests that await a decision
    Pending {
        /// Keep printing new requests until Ctrl-C
        #[arg(long, short)]
        watch: bool,
    },
    /// Allow the host of a blocked request for 300 s
    Approve {
        /// The ID, as `pending` and the page of the blocked request show it
        id: String,
        /// Do not ask for confirmation
        #[arg(long, short)]
        yes: bool,
    },
    /// Discard a blocked request; its host stays blocked
    Deny {
        /// The ID, as `pending` and the page of the blocked request show it
        id: String,
    },
    /// Allow a host for 300 s
    Allow {
        /// The Host header of the requests, with its port if it has one
        host: String,
    },
    /// Show or set what happens to requests to new destinations
    Level {
        /// `relaxed` allows them; `balanced` and `strict` block them until a person approves
        level: Option<Level>,
    },
    /// Show the newest events
    Log {
        /// Keep printing new events until Ctrl-C
        #[arg(long, short)]
        follow: bool,
    },
}

impl SecurityVerb {
    /// The command as typed, for reports.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Status => "security status",
            Self::Pending { .. } => "security pending",
            Self::Approve { .. } => "security approve",
            Self::Deny { .. } => "security deny",
            Self::Allow { .. } => "security allow",
            Self::Level { .. } => "security level",
            Self::Log { .. } => "security log",
        }
    }
}

/// How sentinel handles requests to unknown destinations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) enum Level {
    Relaxed,
    Balanced,
    Strict,
}

impl Level {
    /// All of them.
    pub(crate) const ALL: [Self; 3] = [Self::Relaxed, Self::Balanced, Self::Strict];

    /// The word that sentinel reads.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Relaxed => "relaxed",
            Self::Balanced => "balanced",
            Self::Strict => "strict",
        }
    }
}
