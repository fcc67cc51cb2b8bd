//! The command line; `polis --help` is its table of contents.

mod agent;
mod doctor;
mod files;
mod port;
mod security;
mod snapshot;
mod ssh;

use std::path::PathBuf;

pub(crate) use agent::{AgentVerb, GivenArgs};
use clap::{Args, Parser, Subcommand, ValueEnum};
pub(crate) use doctor::DoctorArgs;
pub(crate) use files::{CpArgs, SyncArgs};
pub(crate) use port::PortVerb;
pub(crate) use security::{Level, SecurityVerb};
use semver::Version;
pub(crate) use snapshot::SnapshotVerb;
pub(crate) use ssh::{Client, ConnectArgs, SshConfigArgs, SshProxyArgs};

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

/// The heading of the global options.
pub(crate) const GLOBAL: &str = "Global options";

#[derive(Debug, Clone, Args)]
pub(crate) struct Global {
    /// The workspace; each one has its own VM, keys and settings [default: default]
    // Not `name`, which is an argument of some commands.
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
    /// When to use colours; `auto` respects NO_COLOR
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

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Start the workspace, or resume an interrupted start
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
    // Started by the configuration of OpenSSH.
    #[command(name = "_ssh-proxy", hide = true)]
    SshProxy(SshProxyArgs),
    /// Show the logs of the services
    Logs(LogsArgs),
    /// Approve or deny blocked requests, and set the security level
    // Sentinel's page about a blocked request says `polis blocked approve ID`.
    #[command(alias = "blocked")]
    Security {
        #[command(subcommand)]
        verb: SecurityVerb,
    },
    /// Add, list and remove the agents that run in the workspace
    #[command(subcommand)]
    Agent(AgentVerb),
    /// Take, restore and delete snapshots of the VM
    #[command(subcommand)]
    Snapshot(SnapshotVerb),
    /// Open, list and close ports that lead from the VM's address into the workspace
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
    /// The command as typed.
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

    /// The settings given on the command line.
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
    /// User-data for a new VM, instead of the built-in one [env: POLIS_CLOUD_INIT]
    #[arg(long, value_name = "FILE")]
    pub(crate) cloud_init: Option<PathBuf>,
    /// Add the agent in this directory first, as `polis agent add` does [env: POLIS_AGENT]
    #[arg(long, value_name = "DIR", conflicts_with = "no_agent")]
    pub(crate) agent: Option<PathBuf>,
    /// Start no agents; they stay installed, and the next start without this option starts them again
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

/// Arguments of `delete`.
#[derive(Debug, Args)]
pub(crate) struct DeleteArgs {
    /// Delete it permanently; otherwise `multipass recover` restores the VM
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

/// Arguments of `update`.
#[derive(Debug, Args)]
pub(crate) struct UpdateArgs {
    /// Only report whether a newer release is available
    #[arg(long)]
    pub(crate) check: bool,
    /// Install this release instead of the newest; it must not be older than this program
    #[arg(long, value_name = "X.Y.Z")]
    pub(crate) version: Option<Version>,
}

/// Arguments of `logs`.
#[derive(Debug, Args)]
pub(crate) struct LogsArgs {
    /// Print the services' output unfiltered, even on a terminal, which interprets control characters
    #[arg(long)]
    pub(crate) raw: bool,
    /// Show only this service
    pub(crate) service: Option<String>,
    /// Keep printing new lines
    #[arg(long, short)]
    pub(crate) follow: bool,
    /// Number of lines to show for each service
    #[arg(long, short = 'n', default_value_t = 100)]
    pub(crate) tail: u32,
}
