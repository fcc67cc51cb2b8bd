//! The outcome of a verb, which determines its exit code: scripts can distinguish a wrong file from an unreachable
//! network.

/// The outcome of a verb. Each has its own exit code.
///
/// Ordered by severity: a run with several outcomes ends with the greatest. A wrong pin is never hidden by an
/// unreachable registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// Success.
    Ok,
    /// Something could not be verified, because the network or a credential is missing.
    Network,
    /// A server no longer serves what is pinned.
    Drift,
    /// Something in the tree is wrong; the findings show where.
    Findings,
    /// The command line is wrong.
    Usage,
    /// This machine failed: a program is missing or failed, a disk is full.
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

    /// The name of the outcome in JSON reports.
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
