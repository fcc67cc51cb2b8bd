//! The program behind `cargo xtask check`.

#![warn(clippy::print_stdout, clippy::print_stderr)]

use std::process::ExitCode;

use xtask_check::Verb;
use xtask_host::program;

fn main() -> ExitCode {
    program::main(|cli, workspace| match &cli.verb {
        Verb::Check(args) => xtask_check::run(workspace, args),
    })
}
