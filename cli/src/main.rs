//! `polis`: gives AI coding agents a safe machine.

use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

mod embedded;
mod plan;

/// Gives AI coding agents a safe machine.
#[derive(Debug, Parser)]
#[command(name = "polis", version = embedded::LABEL, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Print the version, and the digests of what this program carries
    Version,
    /// Show how the workspace is started
    Start(StartArgs),
}

#[derive(Debug, Args)]
struct StartArgs {
    /// CPUs of the VM
    #[arg(long, default_value = "4")]
    cpus: String,
    /// Memory of the VM
    #[arg(long, default_value = "8G")]
    memory: String,
    /// Disk of the VM
    #[arg(long, default_value = "40G")]
    disk: String,
    /// Print the commands of a first start and run none of them
    #[arg(long, required = true)]
    dry_run: bool,
}

fn main() -> ExitCode {
    match Cli::parse().verb {
        Verb::Version => print!("{}", version()),
        Verb::Start(args) => {
            let resources = plan::Resources {
                cpus: args.cpus,
                memory: args.memory,
                disk: args.disk,
            };
            print!("{}", plan::to_text(&plan::first_start(&resources)));
        }
    }
    ExitCode::SUCCESS
}

fn version() -> String {
    format!(
        "polis {}\ncloud-init {}\nbundle {}\n",
        embedded::LABEL,
        embedded::cloud_init_digest(),
        embedded::bundle_digest()
    )
}
