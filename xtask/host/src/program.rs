//! The main loop of every release program: take the secrets out of the environment, parse the command line, run one
//! verb, print its result and return the exit code.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::parser::ValueSource;
use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::error::{Error, Outcome, Result};
use crate::options::{Format, Global};
use crate::print;
use crate::report::Report;
use crate::secrets;
use crate::workspace::Workspace;

/// The release tools of Polis.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    version,
    after_help = EXIT_CODES,
    disable_help_subcommand = true
)]
pub struct Cli<V: Verb> {
    /// Global options.
    #[command(flatten)]
    pub global: Global,
    /// The verb, with its own arguments.
    #[command(subcommand)]
    pub verb: V,
}

const EXIT_CODES: &str = "\
Exit codes:
  0    success
  1    findings: something in the tree is wrong
  2    drift: a server serves something other than what is pinned
  3    network or credentials: something could not be verified
  4    usage
  5    this machine: a program failed, a disk is full
  130  interrupted
Of several, the most severe counts: 5, 4, 1, 2, 3.";

/// The verbs of a program.
pub trait Verb: Subcommand {
    /// The verb as typed by the user, for reports.
    fn name(&self) -> &'static str;

    /// Whether the verb produces findings. Only then does it accept formats that show findings alone.
    fn has_findings(&self) -> bool;
}

impl<V: Verb> Cli<V> {
    /// Parses the command line `args`, which starts with the program's name.
    ///
    /// # Errors
    /// Those of clap, which include `--help` and `--version`.
    pub fn read<I>(args: I) -> clap::error::Result<Self>
    where
        I: IntoIterator,
        I::Item: Into<OsString> + Clone,
    {
        let matches = Self::command().try_get_matches_from(args)?;
        let mut cli = Self::from_arg_matches(&matches)?;
        cli.global.endpoints_from_env =
            matches.value_source("endpoints") == Some(ValueSource::EnvVariable);
        Ok(cli)
    }
}

/// Runs a program: parses its command line and calls `run` with the verb. Call it first in `main`, before any thread is
/// started.
pub fn main<V: Verb>(run: impl FnOnce(&Cli<V>, &Workspace) -> Result<Report>) -> ExitCode {
    secrets::take();
    match Cli::read(std::env::args_os()) {
        Ok(cli) => answer(&cli, |workspace| run(&cli, workspace)),
        Err(error) => refuse(&error),
    }
}

/// Runs the verb of `cli` and prints its result.
pub fn answer<V: Verb>(cli: &Cli<V>, run: impl FnOnce(&Workspace) -> Result<Report>) -> ExitCode {
    let (name, format) = (cli.verb.name(), cli.global.format);
    if format.is_of_findings() && !cli.verb.has_findings() {
        return ExitCode::from(print::finish(name, Format::Human, Err(no_findings(name))));
    }
    let result = Workspace::open(&cli.global).and_then(|workspace| run(&workspace));
    ExitCode::from(print::finish(name, format, result))
}

/// Prints clap's message: help, the version or a usage error.
pub fn refuse(error: &clap::Error) -> ExitCode {
    // The reader of the pipe has closed it.
    let _ = error.print();
    ExitCode::from(match error.use_stderr() {
        true => Outcome::Usage.code(),
        false => 0,
    })
}

fn no_findings(verb: &str) -> Error {
    Error::usage(format!(
        "`{verb}` checks nothing, so it has no findings to print"
    ))
    .hint("use `--format human` or `--format json`")
}
