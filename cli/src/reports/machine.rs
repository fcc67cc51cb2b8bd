//! The reports of the commands that work on whole VMs.

#[cfg(test)]
use schemars::JsonSchema;
use serde::Serialize;

use crate::multipass::snapshots::Snapshot;

/// The result of `stop`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
pub(crate) struct Stop<'a> {
    /// False if the VM was not running.
    pub(crate) changed: bool,
    /// The state of the VM in Multipass's terms.
    pub(crate) state: &'a str,
}

/// The result of `delete`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
pub(crate) struct Delete {
    /// False if there was nothing to delete, or the user declined.
    pub(crate) changed: bool,
    /// Whether the VM was deleted permanently.
    pub(crate) purged: bool,
}

impl Delete {
    /// The result if nothing was deleted.
    pub(crate) const NOTHING: Self = Self {
        changed: false,
        purged: false,
    };
}

/// The result of `list`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
pub(crate) struct List<'a> {
    /// The workspaces of this user, sorted by name.
    pub(crate) workspaces: Vec<Workspace<'a>>,
}

/// A workspace of this user.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
pub(crate) struct Workspace<'a> {
    /// The name for `--name`.
    pub(crate) name: &'a str,
    /// The name of its VM.
    pub(crate) vm: &'a str,
    /// The state of its VM in Multipass's terms.
    pub(crate) state: &'a str,
    /// Whether this command would work on it.
    pub(crate) current: bool,
}

/// The result of `snapshot list`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
pub(crate) struct SnapshotList<'a> {
    /// The snapshots of the workspace's VM, sorted by name.
    pub(crate) snapshots: &'a [Snapshot],
}

/// The result of `snapshot create`, `restore` and `delete`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
pub(crate) struct SnapshotChange<'a> {
    /// False if the user declined.
    pub(crate) changed: bool,
    /// The snapshot.
    pub(crate) name: &'a str,
    /// Whether the VM was stopped for it and started again.
    pub(crate) restarted: bool,
}
