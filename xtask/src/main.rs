//! `cargo xtask`: dispatches the verbs; the offline ones are answered here.

#![warn(clippy::print_stdout, clippy::print_stderr)]

use std::process::ExitCode;

use xtask::cli::{Cli, ImagesVerb, Package, Verb};
use xtask::verbs::{ci, docs, images, prepare, setup, verify_pins};
use xtask_host::error::{Error, Result};
use xtask_host::progress::Progress;
use xtask_host::report::Report;
use xtask_host::workspace::Workspace;

fn main() -> ExitCode {
    xtask::program::main(Package::Xtask, run)
}

fn run(cli: &Cli, workspace: &Workspace) -> Result<Report> {
    let progress = Progress::new(cli.global.quiet);
    match &cli.verb {
        Verb::Images(ImagesVerb::List) => images::list(workspace),
        Verb::Images(ImagesVerb::Build(args)) => images::build(workspace, args, progress),
        Verb::VerifyPins(args) => verify_pins::run(workspace, args),
        Verb::Prepare(args) => prepare::run(workspace, args),
        Verb::Docs(args) => docs::run(workspace, args),
        Verb::Ci(args) => ci::run(workspace, args, &cli.global),
        Verb::Setup(args) => setup::run(workspace, args, progress),
        other => Err(Error::usage(format!(
            "`{}` is answered elsewhere",
            other.name()
        ))),
    }
}
