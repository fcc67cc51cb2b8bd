//! The command line, whole: `polis --help` is the table of contents.

mod doctor;
mod snapshot;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
pub(crate) use doctor::DoctorArgs;
use semver::Version;
use serde::Serialize;
pub(crate) use snapshot::SnapshotVerb;

use crate::embedded;

/// Gives AI coding agents a safe machine.
#[derive(Debug, Parser)]
#[command(
    name = "polis",
    bin_name = "polis",
    version = embedded::LABEL,
    disable_help_subcommand = true
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// The heading of what every command understands.
pub(crate) const GLOBAL: &str = "Global options";

/// What every command understands.
#[derive(Debug, Clone, Args)]
pub(crate) struct Global {
    /// The workspace; each has a VM, keys and settings of its own [default: default]
    // Not `name`, which some commands have of their own.
    #[arg(
        long = "name",
        id = "workspace-name",
        value_name = "NAME",
        global = true,
        help_heading = GLOBAL
    )]
    pub(crate) name: Option<String>,
    /// Print one JSON document, described by schemas/polis.schema.json
    #[arg(long, global = true, help_heading = GLOBAL)]
    pub(crate) json: bool,
    /// Show no progress and no notes
    #[arg(long, short, global = true, help_heading = GLOBAL, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Show every call of Multipass
    #[arg(long, short, global = true, help_heading = GLOBAL)]
    pub(crate) verbose: bool,
    /// When to use colours; `auto` heeds NO_COLOR
    #[arg(long, global = true, help_heading = GLOBAL, value_name = "WHEN", value_enum, default_value_t = Color::Auto)]
    pub(crate) color: Color,
}

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    Auto,
    Always,
    Never,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Start the workspace, or finish a start that was cut off
    Start(StartArgs),
    /// Stop the VM, and keep everything in it
    Stop,
    /// Show the state of the workspace, and each setting; changes nothing
    Status,
    /// List the workspaces of this user, and the state of their VMs; changes nothing
    List,
    /// Delete the VM
    Delete(DeleteArgs),
    /// Check what polis needs on this machine; without --fix changes nothing
    Doctor(DoctorArgs),
    /// Run a command in the workspace
    Exec(ExecArgs),
    /// Open a shell in the workspace
    Shell(ShellArgs),
    /// Copy a file or a directory into the workspace or out of it
    Cp(CpArgs),
    /// Copy a directory into the workspace, and bring its changes back as a diff
    Sync(SyncArgs),
    /// Set up OpenSSH for the workspace, so that `ssh polis` works
    SshConfig(SshConfigArgs),
    /// Open the workspace in an editor, or log in over SSH
    Connect(ConnectArgs),
    // What the configuration of OpenSSH starts.
    #[command(name = "_ssh-proxy", hide = true)]
    SshProxy(SshProxyArgs),
    /// Show the logs of the services
    Logs(LogsArgs),
    /// Approve or deny blocked requests, and set the security level
    // The page that sentinel answers a blocked request with says `polis blocked approve ID`.
    #[command(alias = "blocked")]
    Security {
        #[command(subcommand)]
        verb: SecurityVerb,
    },
    /// Add, list and remove the agents that run in the workspace
    #[command(subcommand)]
    Agent(AgentVerb),
    /// Keep the VM as it is, and bring it back
    #[command(subcommand)]
    Snapshot(SnapshotVerb),
    /// Open, list and close ports at the VM's address that lead into the workspace
    #[command(subcommand)]
    Port(PortVerb),
    /// Update polis to the newest release
    Update(UpdateArgs),
    /// Print the version, and the digests of the files built into this program
    Version,
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print a man page
    Man {
        /// The command to describe; without one, polis itself
        command: Vec<String>,
    },
}

impl Verb {
    /// The command as typed, for reports.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Start(_) => "start",
            Self::Stop => "stop",
            Self::Status => "status",
            Self::List => "list",
            Self::Delete(_) => "delete",
            Self::Doctor(_) => "doctor",
            Self::Exec(_) => "exec",
            Self::Shell(_) => "shell",
            Self::Cp(_) => "cp",
            Self::Sync(_) => "sync",
            Self::SshConfig(_) => "ssh-config",
            Self::Connect(_) => "connect",
            Self::SshProxy(_) => "_ssh-proxy",
            Self::Logs(_) => "logs",
            Self::Security { verb } => verb.name(),
            Self::Agent(verb) => verb.name(),
            Self::Snapshot(verb) => verb.name(),
            Self::Port(verb) => verb.name(),
            Self::Update(_) => "update",
            Self::Version => "version",
            Self::Completions { .. } => "completions",
            Self::Man { .. } => "man",
        }
    }

    /// What was set on the command line.
    pub(crate) fn flags(&self) -> Vec<(&'static str, Option<String>)> {
        let Self::Start(args) = self else {
            return Vec::new();
        };
        let text = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
        vec![
            ("cpus", args.cpus.clone()),
            ("memory", args.memory.clone()),
            ("disk", args.disk.clone()),
            ("timeout", args.timeout.clone()),
            ("cloud-init", text(&args.cloud_init)),
            ("agent", text(&args.agent)),
        ]
    }
}

/// Arguments of `start`.
#[derive(Debug, Args)]
pub(crate) struct StartArgs {
    /// CPUs of a new VM [env: POLIS_CPUS] [default: 4]
    #[arg(long)]
    pub(crate) cpus: Option<String>,
    /// Memory of a new VM [env: POLIS_MEMORY] [default: 8G]
    #[arg(long)]
    pub(crate) memory: Option<String>,
    /// Disk of a new VM [env: POLIS_DISK] [default: 40G]
    #[arg(long)]
    pub(crate) disk: Option<String>,
    /// Seconds for launch and provisioning together [env: POLIS_TIMEOUT] [default: 900]
    #[arg(long, value_name = "SECONDS")]
    pub(crate) timeout: Option<String>,
    /// User-data for a new VM, in place of the built-in one [env: POLIS_CLOUD_INIT]
    #[arg(long, value_name = "FILE")]
    pub(crate) cloud_init: Option<PathBuf>,
    /// Add the agent in this directory first, as `polis agent add` does [env: POLIS_AGENT]
    #[arg(long, value_name = "DIR", conflicts_with = "no_agent")]
    pub(crate) agent: Option<PathBuf>,
    /// Start no agent; they stay installed, and the next start without this starts them again
    #[arg(long)]
    pub(crate) no_agent: bool,
    #[command(flatten)]
    pub(crate) given: GivenArgs,
    /// Recreate the workspace's container if its image or definition has changed; everything outside
    /// its volumes is lost
    #[arg(long)]
    pub(crate) recreate_workspace: bool,
    /// Print what would be done, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// What is given along with an agent.
#[derive(Debug, Default, Args)]
pub(crate) struct GivenArgs {
    /// Give the agent this key; its value is taken from the environment
    #[arg(long = "env", short = 'e', value_name = "KEY")]
    pub(crate) keys: Vec<String>,
    /// Give the agent the keys in this file, one KEY=VALUE a line
    #[arg(long, value_name = "FILE")]
    pub(crate) env_file: Option<PathBuf>,
    /// Accept an agent with a Compose file of its own, which can undo the sandbox; shows the file
    #[arg(long)]
    pub(crate) trust_compose: bool,
}

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
    /// Show an agent's output, after that of its install script
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
    fn name(&self) -> &'static str {
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

/// The commands of `port`.
#[derive(Debug, Subcommand)]
pub(crate) enum PortVerb {
    /// List the ports, where they are reached, and who asked for them
    List,
    /// Open a port, for everyone who reaches the VM
    Add {
        /// The port at the VM's address, from 1024 on
        port: u16,
        /// The port in the workspace, if it is another one
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
    fn name(&self) -> &'static str {
        match self {
            Self::List => "port list",
            Self::Add { .. } => "port add",
            Self::Remove { .. } => "port remove",
        }
    }
}

/// Arguments of `delete`.
#[derive(Debug, Args)]
pub(crate) struct DeleteArgs {
    /// Delete it for good; otherwise `multipass recover` brings the VM back
    #[arg(long, short)]
    pub(crate) purge: bool,
    /// Do not ask for confirmation
    #[arg(long, short)]
    pub(crate) yes: bool,
}

/// Where `exec` and `shell` run their command.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct WhereArgs {
    /// Run it in the VM itself, not in the workspace
    #[arg(long)]
    pub(crate) vm: bool,
    /// Act as root, not as the workspace's user `polis`
    #[arg(long, conflicts_with = "vm")]
    pub(crate) root: bool,
}

/// Arguments of `exec`.
#[derive(Debug, Args)]
pub(crate) struct ExecArgs {
    #[command(flatten)]
    pub(crate) place: WhereArgs,
    /// The command and its arguments
    #[arg(required = true, last = true, value_name = "CMD")]
    pub(crate) command: Vec<String>,
}

/// Arguments of `shell`.
#[derive(Debug, Args)]
pub(crate) struct ShellArgs {
    #[command(flatten)]
    pub(crate) place: WhereArgs,
}

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
    /// Go on: send what changes here, and tell what changes there, until Ctrl-C
    #[arg(long, conflicts_with_all = ["diff", "apply"])]
    pub(crate) watch: bool,
    /// Do not ask for confirmation
    #[arg(long, short, requires = "apply")]
    pub(crate) yes: bool,
}

/// Arguments of `ssh-config`.
#[derive(Debug, Args)]
pub(crate) struct SshConfigArgs {
    /// Include it from ~/.ssh/config, by one line at the top
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
    /// What to connect with
    #[arg(default_value = "ssh")]
    pub(crate) with: Client,
}

/// What connects to the workspace over SSH.
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

/// Arguments of `update`.
#[derive(Debug, Args)]
pub(crate) struct UpdateArgs {
    /// Only report whether there is a newer release
    #[arg(long)]
    pub(crate) check: bool,
    /// Install this release, not the newest; never one that is older than this program
    #[arg(long, value_name = "X.Y.Z")]
    pub(crate) version: Option<Version>,
}

/// Arguments of `logs`.
#[derive(Debug, Args)]
pub(crate) struct LogsArgs {
    /// Print the services' bytes as they are, even on a terminal, which obeys control characters
    #[arg(long)]
    pub(crate) raw: bool,
    /// Show only this service
    pub(crate) service: Option<String>,
    /// Keep printing new lines
    #[arg(long, short)]
    pub(crate) follow: bool,
    /// Number of lines to show of each service
    #[arg(long, short = 'n', default_value_t = 100)]
    pub(crate) tail: u32,
}

/// The commands of `security`.
#[derive(Debug, Subcommand)]
pub(crate) enum SecurityVerb {
    /// Show the level, the number of pending requests, and the hosts that are allowed for now
    Status,
    /// List the blocked requests that await a decision
    Pending {
        /// Keep printing new requests until Ctrl-C
        #[arg(long, short)]
        watch: bool,
    },
    /// Allow the host of a blocked request for 300 s
    Approve {
        /// The ID, as `pending` and the page of the blocked request show it
        id: String,
        /// Do not ask for confirmation
        #[arg(long, short)]
        yes: bool,
    },
    /// Discard a blocked request; its host stays blocked
    Deny {
        /// The ID, as `pending` and the page of the blocked request show it
        id: String,
    },
    /// Allow a host for 300 s
    Allow {
        /// The Host header of the requests, with its port if it has one
        host: String,
    },
    /// Show or set what happens to requests to new destinations
    Level {
        /// `relaxed` allows them; `balanced` and `strict` block them until a person approves
        level: Option<Level>,
    },
    /// Show the newest events
    Log {
        /// Keep printing new events until Ctrl-C
        #[arg(long, short)]
        follow: bool,
    },
}

impl SecurityVerb {
    /// The command as typed, for reports.
    fn name(&self) -> &'static str {
        match self {
            Self::Status => "security status",
            Self::Pending { .. } => "security pending",
            Self::Approve { .. } => "security approve",
            Self::Deny { .. } => "security deny",
            Self::Allow { .. } => "security allow",
            Self::Level { .. } => "security level",
            Self::Log { .. } => "security log",
        }
    }
}

/// What happens to requests to destinations that sentinel does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Level {
    Relaxed,
    Balanced,
    Strict,
}

impl Level {
    /// All of them.
    pub(crate) const ALL: [Self; 3] = [Self::Relaxed, Self::Balanced, Self::Strict];

    /// The word that sentinel reads.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Relaxed => "relaxed",
            Self::Balanced => "balanced",
            Self::Strict => "strict",
        }
    }
}
