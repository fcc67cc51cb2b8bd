//! Runs `dist` and `images build` for `cargo xtask`.

#![warn(clippy::print_stdout, clippy::print_stderr)]

use std::process::ExitCode;

use xtask_build::report;
use xtask_dist::args::{ImagesVerb, Verb};
use xtask_dist::verb;
use xtask_host::program;
use xtask_host::progress::Progress;

fn main() -> ExitCode {
    program::main(|cli, workspace| {
        let progress = Progress::new(cli.global.quiet);
        match &cli.verb {
            Verb::Dist(args) => verb::run(workspace, args, progress),
            Verb::Images(ImagesVerb::Build(args)) => {
                report::build(workspace, args.output.clone(), progress)
            }
        }
    })
}
