//! Runs `lab` for `cargo xtask`.

use std::process::ExitCode;

use clap::Subcommand;
use polis_stack_proof::lab::Lab;
use xtask_host::program;

#[derive(Debug, Clone, Subcommand)]
enum Verb {
    /// Start a machine by hand on which `polis` can be tried: real cloud-init, systemd and Docker
    #[command(subcommand)]
    Lab(LabVerb),
}

/// The verbs under `lab`.
#[derive(Debug, Clone, Subcommand)]
enum LabVerb {
    /// Start it, unless it is running, and explain how to use it
    Up,
    /// Take it down, with the machine and everything in it
    Down,
    /// Show its state, and how to use it
    Status,
    /// Run the lab in the foreground; `up` leaves this running
    #[command(hide = true)]
    Serve,
}

impl program::Verb for Verb {
    fn name(&self) -> &'static str {
        let Self::Lab(verb) = self;
        match verb {
            LabVerb::Up => "lab up",
            LabVerb::Down => "lab down",
            LabVerb::Status => "lab status",
            LabVerb::Serve => "lab serve",
        }
    }

    fn has_findings(&self) -> bool {
        false
    }
}

fn main() -> ExitCode {
    program::main(|cli, workspace| {
        let (Verb::Lab(verb), lab) = (&cli.verb, Lab::of(workspace));
        match verb {
            LabVerb::Up => lab.up(cli.global.quiet),
            LabVerb::Down => lab.down(),
            LabVerb::Status => lab.status(),
            LabVerb::Serve => lab.serve(),
        }
    })
}
