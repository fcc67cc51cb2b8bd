//! Runs `check` for `cargo xtask`.

#![warn(clippy::print_stdout, clippy::print_stderr)]

use std::process::ExitCode;

use xtask::cli::{Cli, Package, Verb};
use xtask::error::{Error, Result};
use xtask::report::Report;
use xtask::workspace::Workspace;

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
