//! The commands of `polis port`.

use clap::Subcommand;

/// The commands of `port`.
#[derive(Debug, Subcommand)]
pub(crate) enum PortVerb {
    /// List the ports, with their URLs and who requested them
    List,
    /// Open a port to everyone who can reach the VM
    Add {
        /// The port at the VM's address, at least 1024
        port: u16,
        /// The port in the workspace, if different
        #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
        to: Option<u16>,
    },
    /// Close a port that you opened
    Remove {
        /// The port at the VM's address
        port: u16,
    },
}

impl PortVerb {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::List => "port list",
            Self::Add { .. } => "port add",
            Self::Remove { .. } => "port remove",
        }
    }
}
