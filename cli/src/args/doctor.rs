//! Arguments of `polis doctor`.

use clap::Args;

/// Arguments of `doctor`.
#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// Show what polis itself has left in disorder, ask for each, and mend it
    #[arg(long)]
    pub(crate) fix: bool,
    /// Do not ask for confirmation
    #[arg(long, short, requires = "fix")]
    pub(crate) yes: bool,
}
