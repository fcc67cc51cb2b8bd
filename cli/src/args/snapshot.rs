//! The commands of `polis snapshot`.

use clap::Subcommand;

/// The commands of `snapshot`.
#[derive(Debug, Subcommand)]
pub(crate) enum SnapshotVerb {
    /// Take a snapshot of the whole VM; stops a running VM, and starts it again
    Create {
        /// Its name [default: the next free snapshotN]
        name: Option<String>,
        /// Do not ask for confirmation
        #[arg(long, short)]
        yes: bool,
    },
    /// List the snapshots; changes nothing
    List,
    /// Restore the VM from a snapshot; later changes are lost
    Restore {
        /// Its name
        name: String,
        /// Do not ask for confirmation
        #[arg(long, short)]
        yes: bool,
    },
    /// Delete a snapshot
    Delete {
        /// Its name
        name: String,
        /// Do not ask for confirmation
        #[arg(long, short)]
        yes: bool,
    },
}

impl SnapshotVerb {
    /// The command as typed, for reports.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Create { .. } => "snapshot create",
            Self::List => "snapshot list",
            Self::Restore { .. } => "snapshot restore",
            Self::Delete { .. } => "snapshot delete",
        }
    }
}
