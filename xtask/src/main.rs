//! `cargo xtask`: runs the offline verbs, and the programs that own the others.

#![warn(clippy::print_stdout, clippy::print_stderr)]

use std::process::ExitCode;

use xtask::cli::{Cli, Delegated, ImagesVerb, Verb};
use xtask::delegate::{self, Package};
use xtask::verbs::{docs, images, prepare};
use xtask_host::program::{self, answer};
use xtask_host::{print, secrets};
use xtask_pins::verify_pins;

fn main() -> ExitCode {
    secrets::take();
    let cli = match Cli::read(std::env::args_os()) {
        Ok(cli) => cli,
        Err(error) => return program::refuse(&error),
    };
    let to = |package, args: &Delegated| become_program(&cli, package, args.is_quiet());
    match &cli.verb {
        Verb::Images(ImagesVerb::List) => answer(&cli, images::list),
        Verb::VerifyPins(args) if args.offline => answer(&cli, |tree| verify_pins::run(tree, args)),
        Verb::Prepare(args) => answer(&cli, |tree| prepare::run(tree, args)),
        Verb::Docs(args) => answer(&cli, |tree| docs::run(tree, args)),
        Verb::Ci(args) | Verb::Setup(args) | Verb::Bench(args) => to(Package::Dev, args),
        Verb::Check(args) => to(Package::Check, args),
        Verb::Dist(args) | Verb::Images(ImagesVerb::Build(args)) => to(Package::Dist, args),
        Verb::Lab(args) => to(Package::Proof, args),
        Verb::VerifyPins(_) => become_program(&cli, Package::Online, false),
        Verb::Images(ImagesVerb::Push(args))
        | Verb::Pin(args)
        | Verb::VerifyImages(args)
        | Verb::VerifyChecksums(args)
        | Verb::Update(args)
        | Verb::Drift(args)
        | Verb::Release(args) => to(Package::Online, args),
    }
}

/// Replaces this process with the program of `package`. Returns only if that fails or the platform does not support it.
fn become_program(cli: &Cli, package: Package, quiet: bool) -> ExitCode {
    let ran = delegate::run(package, quiet || cli.global.quiet);
    let name = program::Verb::name(&cli.verb);
    ExitCode::from(ran.unwrap_or_else(|error| print::finish(name, cli.global.format, Err(error))))
}
