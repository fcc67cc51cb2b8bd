//! Runs `lab` for `cargo xtask`.

use std::process::ExitCode;

use polis_stack_proof::lab::Lab;
use xtask::cli::{Cli, LabVerb, Package, Verb};
use xtask_host::error::{Error, Result};
use xtask_host::report::Report;
use xtask_host::workspace::Workspace;

fn main() -> ExitCode {
    xtask::program::main(Package::Proof, run)
}

fn run(cli: &Cli, workspace: &Workspace) -> Result<Report> {
    let lab = Lab::of(workspace);
    match &cli.verb {
        Verb::Lab(LabVerb::Up) => lab.up(cli.global.quiet),
        Verb::Lab(LabVerb::Down) => lab.down(),
        Verb::Lab(LabVerb::Status) => lab.status(),
        Verb::Lab(LabVerb::Serve) => lab.serve(),
        other => Err(Error::usage(format!(
            "`{}` is answered elsewhere",
            other.name()
        ))),
    }
}
