//! The arguments of the commands that use SSH.

use clap::{Args, ValueEnum};

/// Arguments of `ssh-config`.
#[derive(Debug, Args)]
pub(crate) struct SshConfigArgs {
    /// Include it from ~/.ssh/config, with a line at the top
    #[arg(long)]
    pub(crate) install: bool,
    /// Remove that line and the key
    #[arg(long, conflicts_with = "install")]
    pub(crate) remove: bool,
    /// Do not ask for confirmation
    #[arg(long, short)]
    pub(crate) yes: bool,
}

/// Arguments of `connect`.
#[derive(Debug, Args)]
pub(crate) struct ConnectArgs {
    /// The client to connect with
    #[arg(default_value = "ssh")]
    pub(crate) with: Client,
}

/// A client that connects to the workspace over SSH.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Client {
    /// Visual Studio Code
    Code,
    /// Cursor
    Cursor,
    /// A login shell
    Ssh,
}

/// Arguments of `_ssh-proxy`.
#[derive(Debug, Args)]
pub(crate) struct SshProxyArgs {
    /// The public key that may log in
    #[arg(num_args = 2, required = true)]
    pub(crate) key: Vec<String>,
}
