//! `polis`: gives AI coding agents a safe machine.

#![warn(clippy::print_stdout, clippy::print_stderr)]

mod agent;
mod args;
mod blocked;
mod context;
mod copy;
mod doctor;
mod embedded;
mod error;
mod guest;
mod handover;
mod help;
mod instance;
mod multipass;
mod output;
mod plan;
mod platform;
mod process;
mod proxy;
mod reconcile;
mod release;
mod reports;
mod security;
mod settings;
mod signals;
mod ssh;
mod store;
mod verbs;
mod view;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::FromArgMatches;

use args::{AgentVerb, Cli, Verb};
use context::Context;
use error::{Error, Kind, Result};
use output::{Done, Printer};

fn main() -> ExitCode {
    let matches = help::definition().try_get_matches();
    let cli = matches.and_then(|matches| Cli::from_arg_matches(&matches));
    match cli {
        Ok(cli) => Program::new(cli).run(),
        Err(error) => {
            let words: Vec<OsString> = std::env::args_os().collect();
            help::with_dashes(error, &words).exit()
        }
    }
}

struct Program {
    cli: Cli,
    output: Printer,
}

impl Program {
    fn new(cli: Cli) -> Self {
        let output = Printer::new(&cli.global);
        Self { cli, output }
    }

    fn run(&self) -> ExitCode {
        match &self.cli.verb {
            Verb::Start(args) => self.report(|context| verbs::start::run(context, args)),
            Verb::Stop => self.report(verbs::stop::run),
            Verb::Status => self.report(verbs::status::run),
            Verb::List => self.report(verbs::list::run),
            Verb::Snapshot(verb) => self.report(|context| verbs::snapshot::run(context, verb)),
            Verb::Delete(args) => self.report(|context| verbs::delete::run(context, args)),
            Verb::Doctor(args) => self.report(|context| verbs::doctor::run(context, args)),
            Verb::Exec(args) => self.enter(|context| {
                let place = args.place;
                verbs::exec::run(context, &args.command, place)
            }),
            Verb::Shell(args) => self.enter(|context| {
                let shell = ["bash", "-l"].map(str::to_owned);
                verbs::exec::run(context, &shell, args.place)
            }),
            Verb::Cp(args) => self.report(|context| verbs::cp::run(context, args)),
            Verb::Sync(args) if args.watch => {
                self.report(|context| verbs::sync_watch::run(context, args))
            }
            Verb::Sync(args) => self.report(|context| verbs::sync::run(context, args)),
            Verb::SshConfig(args) => self.report(|context| verbs::ssh::config(context, args)),
            Verb::Connect(args) => self.pass(|context| verbs::ssh::connect(context, args)),
            Verb::SshProxy(args) => self.enter(|context| verbs::ssh::proxy(context, args)),
            Verb::Logs(args) => self.pass(|context| verbs::logs::run(context, args)),
            Verb::Security { verb } => self.report(|context| verbs::security::run(context, verb)),
            Verb::Agent(verb) => self.agent(verb),
            Verb::Port(verb) => self.report(|context| verbs::port::run(context, verb)),
            Verb::Update(args) => self.report(|context| verbs::update::run(context, args)),
            Verb::Version => self.finish(verbs::version::run()),
            Verb::Completions { shell } => self.print(Ok(help::completions(*shell))),
            Verb::Man { command } => self.print(verbs::man::page(command)),
        }
    }

    fn agent(&self, verb: &AgentVerb) -> ExitCode {
        match verb {
            AgentVerb::Check { dir } => self.finish(verbs::agent::check(dir)),
            AgentVerb::Logs { name, follow, tail } => {
                self.pass(|context| verbs::agent::logs(context, name, *follow, *tail))
            }
            AgentVerb::Add { .. }
            | AgentVerb::List
            | AgentVerb::Show { .. }
            | AgentVerb::Remove { .. }
            | AgentVerb::Restart { .. } => self.report(|context| verbs::agent::run(context, verb)),
        }
    }

    /// Runs a command that ends with a report.
    fn report(&self, run: impl FnOnce(&Context) -> Result<Done>) -> ExitCode {
        signals::heed();
        self.finish(Context::read(&self.cli, self.output).and_then(|context| run(&context)))
    }

    /// Runs a command in the VM, and passes on its output and exit code. Since it can exit with any code, a failure of polis has a
    /// reserved one.
    fn enter(&self, run: impl FnOnce(&Context) -> Result<u8>) -> ExitCode {
        self.passed(run).unwrap_or_else(|error| {
            self.finish(Err(error));
            ExitCode::from(verbs::exec::POLIS_FAILED)
        })
    }

    /// Runs a command that passes on the output of another.
    fn pass(&self, run: impl FnOnce(&Context) -> Result<u8>) -> ExitCode {
        self.passed(run)
            .unwrap_or_else(|error| self.finish(Err(error)))
    }

    fn passed(&self, run: impl FnOnce(&Context) -> Result<u8>) -> Result<ExitCode> {
        self.refuse_json()?;
        signals::heed();
        let context = Context::read(&self.cli, self.output)?;
        run(&context).map(ExitCode::from)
    }

    /// Runs a command that prints a document of another format.
    fn print(&self, document: Result<Vec<u8>>) -> ExitCode {
        let printed = self.refuse_json().and(document);
        match printed.and_then(|bytes| output::print(&bytes)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => self.finish(Err(error)),
        }
    }

    /// Refuses `--json` for a command that has no report.
    fn refuse_json(&self) -> Result<()> {
        if !self.output.is_json() {
            return Ok(());
        }
        let name = self.cli.verb.name();
        let refused = format!("`polis {name}` has no report, so `--json` is not available");
        Err(Error::new(Kind::Usage, refused).next("run it without `--json`"))
    }

    fn finish(&self, result: Result<Done>) -> ExitCode {
        self.output.finish(self.cli.verb.name(), result)
    }
}
