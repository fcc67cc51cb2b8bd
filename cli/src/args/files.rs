//! The arguments of the commands that copy files.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;

/// Arguments of `cp`.
#[derive(Debug, Args)]
pub(crate) struct CpArgs {
    /// Act as root, not as the workspace's user `polis`
    #[arg(long)]
    pub(crate) root: bool,
    /// The source: a path on this machine, or `workspace:PATH`, relative to the user's home
    #[arg(value_name = "SRC")]
    pub(crate) source: OsString,
    /// The destination: an existing directory, or a new name; exactly one side is `workspace:PATH`
    #[arg(value_name = "DST")]
    pub(crate) destination: OsString,
}

/// Arguments of `sync`.
#[derive(Debug, Args)]
pub(crate) struct SyncArgs {
    /// The directory; it keeps its name in the workspace, in the user's home
    #[arg(value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// Show what has changed in the workspace since the last sync, and change nothing
    #[arg(long, conflicts_with = "apply")]
    pub(crate) diff: bool,
    /// Show those changes, ask, and apply them to the directory
    #[arg(long)]
    pub(crate) apply: bool,
    /// Keep syncing changes to the workspace, and report changes in it, until Ctrl-C
    #[arg(long, conflicts_with_all = ["diff", "apply"])]
    pub(crate) watch: bool,
    /// Do not ask for confirmation
    #[arg(long, short, requires = "apply")]
    pub(crate) yes: bool,
}
