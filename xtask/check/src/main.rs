//! The program behind `cargo xtask check`.

#![warn(clippy::print_stdout, clippy::print_stderr)]

use std::process::ExitCode;

use xtask::cli::{Cli, Package, Verb};
use xtask_host::error::{Error, Result};
use xtask_host::report::Report;
use xtask_host::workspace::Workspace;

fn main() -> ExitCode {
    xtask::program::main(Package::Check, run)
}

fn run(cli: &Cli, workspace: &Workspace) -> Result<Report> {
    match &cli.verb {
        Verb::Check(args) => xtask_check::run(workspace, args),
        other => Err(Error::usage(format!(
            "`{}` is answered elsewhere",
            other.name()
        ))),
    }
}
