//! The state of the workspace in one word, and the next command.

use polis_base::Digest;

use crate::error::{Error, Kind};
use crate::guest::probe::{Guest, Provisioning};
use crate::instance::named;
use crate::multipass::Multipass;
use crate::multipass::state::{Outlook, VmState, WAITING};
use crate::{blocked, embedded, guest};

/// The next command: the hint of a start that would refuse, otherwise that of the status.
pub(super) fn next(status: WorkspaceStatus, blocked: Option<&Error>) -> String {
    let first = blocked.and_then(|error| error.next.first());
    first.cloned().unwrap_or_else(|| named(status.next()))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WorkspaceStatus {
    Absent,
    Deleted,
    Stopped,
    Stuck,
    Provisioning,
    ProvisioningFailed,
    Incomplete,
    Outdated,
    Starting,
    Silent,
    Running,
}

impl WorkspaceStatus {
    /// The status of a workspace whose VM is in the state `machine` and whose probe found `guest`.
    pub(super) fn of(machine: Option<&VmState>, guest: Option<&Guest>) -> Self {
        let guest = match (machine.map(VmState::outlook), guest) {
            (None, _) => return Self::Absent,
            (Some(Outlook::Deleted), _) => return Self::Deleted,
            (Some(Outlook::Off), _) => return Self::Stopped,
            (Some(Outlook::Coming), _) => return Self::Starting,
            (Some(Outlook::NoAnswer), _) => return Self::Silent,
            (Some(Outlook::Up), Some(guest)) => guest,
            _ => return Self::Stuck,
        };
        let current = guest.bundle == Some(Digest::of(&embedded::bundle().bytes));
        match guest.provisioning() {
            Provisioning::Running => Self::Provisioning,
            Provisioning::Failed | Provisioning::CutShort | Provisioning::Never => {
                Self::ProvisioningFailed
            }
            Provisioning::Done if guest.ready.is_none() || !guest.is_healthy() => Self::Incomplete,
            Provisioning::Done if !current => Self::Outdated,
            Provisioning::Done => Self::Running,
        }
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Deleted => "deleted",
            Self::Stopped => "stopped",
            Self::Stuck => "stuck",
            Self::Provisioning => "provisioning",
            Self::ProvisioningFailed => "provisioning failed",
            Self::Incomplete => "incomplete",
            Self::Outdated => "outdated",
            Self::Starting | Self::Silent => "starting",
            Self::Running => "running",
        }
    }

    /// The next command, unless a person has to act first.
    fn next(self) -> &'static str {
        match self {
            Self::Running => "polis shell",
            Self::Silent => WAITING,
            _ => "polis start",
        }
    }

    /// Why a command cannot run in the workspace although its VM runs, unless a person has to act first.
    fn reason(self) -> &'static str {
        match self {
            Self::Provisioning => "the VM is being provisioned",
            Self::ProvisioningFailed => "the provisioning of the VM has not finished",
            _ => "the stack is not in the VM yet",
        }
    }
}

/// The error of a command that needs the stack before it exists: the workspace's state, and the next command.
pub(super) fn no_stack(multipass: &Multipass) -> Box<Error> {
    let answer = multipass.call(&guest::probe(), Kind::Unexpected);
    let guest = match answer.and_then(|answer| Guest::parse(&answer)) {
        Ok(guest) => guest,
        Err(error) => return error,
    };
    let status = WorkspaceStatus::of(Some(&VmState::Running), Some(&guest));
    let blocked = blocked::reason(&VmState::Running, Some(&guest));
    let reason = blocked
        .as_ref()
        .map_or(status.reason(), |error| &error.message);
    super::not_running(reason).next(next(status, blocked.as_deref()))
}
