//! Runs `dist` for `cargo xtask`.

#![warn(clippy::print_stdout, clippy::print_stderr)]

use std::process::ExitCode;

use xtask::cli::{Cli, Package, Verb};
use xtask::error::{Error, Result};
use xtask::progress::Progress;
use xtask::report::Report;
use xtask::workspace::Workspace;
use xtask_dist::verb;

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
