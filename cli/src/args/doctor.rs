//! Arguments of `polis doctor`.

use clap::Args;

/// Arguments of `doctor`.
#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// Repair what polis itself has left behind; shows each problem and asks first
    #[arg(long)]
    pub(crate) fix: bool,
    /// Do not ask for confirmation
    #[arg(long, short, requires = "fix")]
    pub(crate) yes: bool,
}
