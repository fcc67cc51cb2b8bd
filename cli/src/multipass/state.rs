//! What `multipass list` says about our VM.

use serde::Deserialize;

use crate::error::{Error, Kind, Result, cut};
use crate::instance::vm;

/// The state of a VM in Multipass's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum VmState {
    /// SSH answers; cloud-init may still be at work.
    Running,
    Stopped,
    /// In the trash; the name is taken.
    Deleted,
    Starting,
    Restarting,
    DelayedShutdown,
    Suspending,
    Suspended,
    /// Running as far as the hypervisor knows, and without an answer; during a first boot too.
    Unknown,
    /// A word that this version does not know; `Unavailable` of 1.17 is one.
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

    /// Multipass's word.
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

/// What a state means for whoever wants the VM to run. `start`, `status`, `doctor` and `exec` all go by it, so that they
/// cannot disagree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outlook {
    /// SSH answers.
    Up,
    /// It has to be started.
    Off,
    /// It needs nothing but time.
    Coming,
    /// It is booting, or it hangs: only time tells.
    NoAnswer,
    /// It has to be recovered or purged.
    Deleted,
    /// No call of ours mends it.
    Stuck,
}

/// [`Outlook::NoAnswer`] in words.
pub(crate) const NO_ANSWER: &str = "the VM does not answer: it is booting, or it hangs";
/// What tells whether it hangs.
pub(crate) const WAITING: &str = "polis start   (waits for it, and tells what to do if it hangs)";

impl VmState {
    /// What it means.
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

/// The state of our VM in the answer of `list --format json`; none when there is no such VM.
///
/// # Errors
/// As [`parse_all`].
pub(crate) fn parse_list(text: &str) -> Result<Option<VmState>> {
    let ours = parse_all(text)?.into_iter().find(|(name, _)| name == vm());
    Ok(ours.map(|(_, state)| state))
}

/// Every VM in it, also those that are not ours, each with its state.
///
/// # Errors
/// When the answer is not the document that Multipass prints.
pub(crate) fn parse_all(text: &str) -> Result<Vec<(String, VmState)>> {
    // What a spinner left before the document is not part of it.
    let document = &text[text.find('{').unwrap_or_default()..];
    let list: List = serde_json::from_str(document).map_err(|error| {
        Error::new(
            Kind::Unexpected,
            "Multipass's list of VMs could not be read",
        )
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
    fn words_come_back_as_they_were() {
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
