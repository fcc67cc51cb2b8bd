//! Runs `dist` for `cargo xtask`.

#![warn(clippy::print_stdout, clippy::print_stderr)]

use std::process::ExitCode;

use xtask::cli::{Cli, Package, Verb};
use xtask_dist::verb;
use xtask_host::error::{Error, Result};
use xtask_host::progress::Progress;
use xtask_host::report::Report;
use xtask_host::workspace::Workspace;

fn main() -> ExitCode {
    xtask::program::main(Package::Dist, run)
}

fn run(cli: &Cli, workspace: &Workspace) -> Result<Report> {
    match &cli.verb {
        Verb::Dist(args) => verb::run(workspace, args, Progress::new(cli.global.quiet)),
        other => Err(Error::usage(format!(
            "`{}` is answered elsewhere",
            other.name()
        ))),
    }
}
