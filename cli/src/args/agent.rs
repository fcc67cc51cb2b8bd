//! The commands of `polis agent`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// The commands of `agent`.
#[derive(Debug, Subcommand)]
pub(crate) enum AgentVerb {
    /// Add the agent in a directory; `polis start` starts it
    Add {
        /// The directory, with its agent.yaml
        dir: PathBuf,
        #[command(flatten)]
        given: GivenArgs,
    },
    /// List the agents and their states
    List,
    /// Show an agent's description, ports, volumes and keys
    Show {
        /// The name of the agent
        name: String,
    },
    /// Remove an agent and its keys, and keep its volumes
    Remove {
        /// The name of the agent
        name: String,
        /// Remove its volumes too, with everything it has stored
        #[arg(long, short)]
        purge: bool,
        /// Do not ask for confirmation
        #[arg(long, short)]
        yes: bool,
    },
    /// Restart an agent; if its installation failed, install it again
    Restart {
        /// The name of the agent
        name: String,
    },
    /// Show the output of an agent, preceded by that of its install script
    Logs {
        /// The name of the agent
        name: String,
        /// Keep printing new lines
        #[arg(long, short)]
        follow: bool,
        /// Number of lines to show
        #[arg(long, short = 'n', default_value_t = 100)]
        tail: u32,
    },
    /// Check the agent in a directory, and print the files generated from it; needs no VM
    Check {
        /// The directory, with its agent.yaml
        dir: PathBuf,
    },
}

impl AgentVerb {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Add { .. } => "agent add",
            Self::List => "agent list",
            Self::Show { .. } => "agent show",
            Self::Remove { .. } => "agent remove",
            Self::Restart { .. } => "agent restart",
            Self::Logs { .. } => "agent logs",
            Self::Check { .. } => "agent check",
        }
    }
}

/// The keys and the trust given to an agent.
#[derive(Debug, Default, Args)]
pub(crate) struct GivenArgs {
    /// Give the agent this key, with its value from the environment
    #[arg(long = "env", short = 'e', value_name = "KEY")]
    pub(crate) keys: Vec<String>,
    /// Give the agent the keys in this file, one KEY=VALUE per line
    #[arg(long, value_name = "FILE")]
    pub(crate) env_file: Option<PathBuf>,
    /// Accept an agent with a custom Compose file, which can undo the sandbox; shows the file
    #[arg(long)]
    pub(crate) trust_compose: bool,
}
