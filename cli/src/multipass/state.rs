//! The state of the workspace's VM in `multipass list`.

use serde::Deserialize;

use crate::error::{Error, Kind, Result, cut};
use crate::instance::vm;

/// The state of a VM as Multipass names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum VmState {
    /// SSH answers; cloud-init may still be at work.
    Running,
    Stopped,
    /// Deleted but not purged; the name is still taken.
    Deleted,
    Starting,
    Restarting,
    DelayedShutdown,
    Suspending,
    Suspended,
    /// The hypervisor runs it, but it does not answer, as during its first boot.
    Unknown,
    /// A state that this version does not know, such as `Unavailable` of 1.17.
    Other(String),
}

impl VmState {
    fn of(word: &str) -> Self {
        match word {
            "Running" => Self::Running,
            "Stopped" => Self::Stopped,
            "Deleted" => Self::Deleted,
            "Starting" => Self::Starting,
            "Restarting" => Self::Restarting,
            "Delayed Shutdown" => Self::DelayedShutdown,
            "Suspending" => Self::Suspending,
            "Suspended" => Self::Suspended,
            "Unknown" => Self::Unknown,
            other => Self::Other(cut(other)),
        }
    }

    /// The state as Multipass names it.
    pub(crate) fn word(&self) -> &str {
        match self {
            Self::Running => "Running",
            Self::Stopped => "Stopped",
            Self::Deleted => "Deleted",
            Self::Starting => "Starting",
            Self::Restarting => "Restarting",
            Self::DelayedShutdown => "Delayed Shutdown",
            Self::Suspending => "Suspending",
            Self::Suspended => "Suspended",
            Self::Unknown => "Unknown",
            Self::Other(word) => word,
        }
    }
}

/// What a state means for a command that needs the VM to run. All commands use it, so that they cannot disagree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outlook {
    /// SSH answers.
    Up,
    /// It has to be started.
    Off,
    /// It will be running in a moment.
    Coming,
    /// It is booting, or it hangs.
    NoAnswer,
    /// It has to be recovered or purged.
    Deleted,
    /// No call of polis can leave this state.
    Stuck,
}

/// [`Outlook::NoAnswer`] as a message.
pub(crate) const NO_ANSWER: &str = "the VM does not answer: it is booting, or it hangs";
/// The command that determines whether it hangs.
pub(crate) const WAITING: &str = "polis start   (waits for it, and says what to do if it hangs)";

impl VmState {
    pub(crate) fn outlook(&self) -> Outlook {
        match self {
            Self::Running => Outlook::Up,
            Self::Stopped | Self::Suspended => Outlook::Off,
            Self::Starting | Self::Restarting | Self::Suspending => Outlook::Coming,
            Self::Unknown => Outlook::NoAnswer,
            Self::Deleted => Outlook::Deleted,
            Self::DelayedShutdown | Self::Other(_) => Outlook::Stuck,
        }
    }
}

#[derive(Deserialize)]
struct List {
    list: Vec<ListedVm>,
}

#[derive(Deserialize)]
struct ListedVm {
    name: String,
    state: String,
}

/// The state of the workspace's VM in the answer of `list --format json`; none when there is no such VM.
///
/// # Errors
/// As [`parse_all`].
pub(crate) fn parse_list(text: &str) -> Result<Option<VmState>> {
    let ours = parse_all(text)?.into_iter().find(|(name, _)| name == vm());
    Ok(ours.map(|(_, state)| state))
}

/// The name and state of every VM, including those of other programs.
///
/// # Errors
/// When the answer is not the document that Multipass prints.
pub(crate) fn parse_all(text: &str) -> Result<Vec<(String, VmState)>> {
    // A spinner may precede the document.
    let document = &text[text.find('{').unwrap_or_default()..];
    let list: List = serde_json::from_str(document).map_err(|error| {
        Error::new(Kind::Unexpected, "could not read Multipass's list of VMs")
            .because(format!("{error}: `{}`", text.trim()))
            .next("multipass list --format json")
    })?;
    let each = list.list.into_iter();
    Ok(each
        .map(|instance| (instance.name, VmState::of(&instance.state)))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_vm_counts() {
        let text = r#"{"list":[{"ipv4":[],"name":"polis-two","release":"","state":"Running"},
            {"ipv4":[],"name":"polis","release":"","state":"Delayed Shutdown"}]}"#;
        assert_eq!(parse_list(text).unwrap(), Some(VmState::DelayedShutdown));
        assert_eq!(parse_list(r#"{"list":[]}"#).unwrap(), None);
        assert!(parse_list("{}").is_err());
        assert!(parse_list("").is_err());
    }

    #[test]
    fn parsing_reverses_printing() {
        for word in [
            "Running",
            "Deleted",
            "Delayed Shutdown",
            "Unknown",
            "Unavailable",
        ] {
            assert_eq!(VmState::of(word).word(), word);
        }
    }
}
