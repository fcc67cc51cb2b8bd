//! Runs `ci`, `setup` and `bench` for `cargo xtask`.

#![warn(clippy::print_stdout, clippy::print_stderr)]

use std::process::ExitCode;

use xtask_dev::args::Verb;
use xtask_dev::verbs::{bench, ci, setup};
use xtask_host::program;
use xtask_host::progress::Progress;

fn main() -> ExitCode {
    program::main(|cli, workspace| {
        let progress = Progress::new(cli.global.quiet);
        match &cli.verb {
            Verb::Ci(args) => ci::run(workspace, args, &cli.global),
            Verb::Setup(args) => setup::run(workspace, args, progress),
            Verb::Bench(args) => bench::run(workspace, args, progress),
        }
    })
}
