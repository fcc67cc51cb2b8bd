//! What the release programs have in common: they take the secrets out of the environment, parse
//! the same command line, run one verb and turn its result into output and an exit code.

use std::process::ExitCode;

use crate::cli::{Cli, Package, Verb};
use crate::heavy;
use xtask_host::error::{Error, Outcome, Result};
use xtask_host::options::Format;
use xtask_host::print;
use xtask_host::report::Report;
use xtask_host::secrets;
use xtask_host::workspace::Workspace;

/// Parses the command line; prints help, version or a usage error itself.
///
/// # Errors
/// The exit code, where there is nothing left to run.
pub fn parse() -> std::result::Result<Cli, ExitCode> {
    Cli::read(std::env::args_os()).map_err(|error| {
        // Help that cannot be printed has no reader.
        let _ = error.print();
        ExitCode::from(if error.use_stderr() {
            Outcome::Usage.code()
        } else {
            0
        })
    })
}

/// Runs one of the programs: its own verbs by `run`, the others by their package. Call it first in
/// `main`, before any thread is started.
pub fn main(own: Package, run: impl FnOnce(&Cli, &Workspace) -> Result<Report>) -> ExitCode {
    secrets::take();
    let cli = match parse() {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    let code = if cli.global.format.is_of_findings() && !cli.verb.has_findings() {
        print::finish(cli.verb.name(), Format::Human, Err(no_findings(&cli.verb)))
    } else if cli.verb.package() == own {
        let result = Workspace::open(&cli.global).and_then(|workspace| run(&cli, &workspace));
        print::finish(cli.verb.name(), cli.global.format, result)
    } else if own == Package::Xtask {
        heavy::run(cli.verb.package(), cli.global.quiet)
            .unwrap_or_else(|error| print::finish(cli.verb.name(), cli.global.format, Err(error)))
    } else {
        let error = not_ours(&cli.verb, own);
        print::finish(cli.verb.name(), cli.global.format, Err(error))
    };
    ExitCode::from(code)
}

fn no_findings(verb: &Verb) -> Error {
    Error::usage(format!(
        "`{}` checks nothing, so it has no findings to print",
        verb.name()
    ))
    .hint("use `--format human` or `--format json`")
}

fn not_ours(verb: &Verb, own: Package) -> Error {
    Error::usage(format!(
        "`{}` does not answer `{}`",
        own.name(),
        verb.name()
    ))
    .hint(format!("run `cargo xtask {}`", verb.name()))
}
