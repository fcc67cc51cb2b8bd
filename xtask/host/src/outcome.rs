//! How a verb ends, which is its exit code: a script can tell a wrong file from a network that is down.

/// How a verb ended; each has its own exit code.
///
/// The order is the order of severity: where a run meets several, the greatest one is its
/// outcome. So a wrong pin is never hidden behind a registry that did not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// Everything is as it should be.
    Ok,
    /// The network or a credential is missing, so something could not be verified.
    Network,
    /// What the world serves is no longer what is pinned.
    Drift,
    /// Something in the tree is wrong: the findings say where.
    Findings,
    /// The command line is wrong.
    Usage,
    /// This machine could not do its part: a program is missing or failed, a disk is full.
    Machine,
    /// Stopped by Ctrl-C.
    Interrupted,
}

impl Outcome {
    /// The process exit code.
    pub fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Findings => 1,
            Self::Drift => 2,
            Self::Network => 3,
            Self::Usage => 4,
            Self::Machine => 5,
            Self::Interrupted => 130,
        }
    }

    /// The word that stands for it in JSON reports.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Findings => "findings",
            Self::Drift => "drift",
            Self::Network => "network",
            Self::Usage => "usage",
            Self::Machine => "machine",
            Self::Interrupted => "interrupted",
        }
    }
}
