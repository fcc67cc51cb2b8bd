//! `polis`: gives AI coding agents a safe machine.

#![warn(clippy::print_stdout, clippy::print_stderr)]

mod agent;
mod args;
mod context;
mod copy;
mod doctor;
mod embedded;
mod error;
mod guest;
mod handover;
mod instance;
mod multipass;
mod output;
mod plan;
mod platform;
mod process;
mod proxy;
mod reconcile;
mod release;
mod security;
mod settings;
mod signals;
mod ssh;
mod store;
mod verbs;
mod view;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use args::{AgentVerb, Cli, Verb};
use context::Context;
use error::Result;
use output::{Done, Output};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let output = Output::new(&cli.global);
    let command = cli.verb.name();
    match &cli.verb {
        // These need nothing of this machine.
        Verb::Version => output.finish(command, verbs::version::run()),

        Verb::Completions { shell } => {
            let mut definition = Cli::command();
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut definition, "polis", &mut script);
            printed(command, output, &script)
        }
        Verb::Man => {
            let mut page = Vec::new();
            match verbs::man::write(&mut page) {
                Ok(()) => printed(command, output, &page),
                Err(_) => ExitCode::FAILURE,
            }
        }
        Verb::Agent(AgentVerb::Check { dir }) => output.finish(command, verbs::agent::check(dir)),
        Verb::Exec(_)
        | Verb::Shell(_)
        | Verb::Logs(_)
        | Verb::Connect(_)
        | Verb::SshProxy(_)
        | Verb::Agent(AgentVerb::Logs { .. }) => {
            signals::heed();
            match passed_through(&cli, output) {
                Ok(code) => ExitCode::from(code),
                // The command's own codes are any, so ours has to be one that means nothing else.
                Err(error)
                    if matches!(cli.verb, Verb::Exec(_) | Verb::Shell(_) | Verb::SshProxy(_)) =>
                {
                    output.finish(command, Err(error));
                    ExitCode::from(verbs::exec::POLIS_FAILED)
                }
                Err(error) => output.finish(command, Err(error)),
            }
        }
        _ => {
            signals::heed();
            output.finish(command, reported(&cli, output))
        }
    }
}

/// Prints what is no report.
fn printed(command: &str, output: Output, bytes: &[u8]) -> ExitCode {
    match output::print(bytes) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => output.finish(command, Err(error)),
    }
}

/// The commands that end with a report.
fn reported(cli: &Cli, output: Output) -> Result<Done> {
    let context = Context::read(cli, output)?;
    match &cli.verb {
        Verb::Start(args) => verbs::start::run(&context, args),
        Verb::Stop => verbs::stop::run(&context),
        Verb::List => verbs::list::run(&context),
        Verb::Snapshot(verb) => verbs::snapshot::run(&context, verb),
        Verb::Delete(args) => verbs::delete::run(&context, args),
        Verb::Cp(args) => verbs::cp::run(&context, args),
        Verb::Security { verb } => verbs::security::run(&context, verb),
        Verb::Sync(args) => verbs::sync::run(&context, args),
        Verb::SshConfig(args) => verbs::ssh::config(&context, args),
        Verb::Update(args) => verbs::update::run(&context, args),
        Verb::Doctor => Ok(verbs::doctor::run(&context)),
        Verb::Agent(verb) => verbs::agent::run(&context, verb),
        _ => verbs::status::run(&context),
    }
}

/// The commands whose output and exit code are those of a command in the VM.
fn passed_through(cli: &Cli, output: Output) -> Result<u8> {
    let context = Context::read(cli, output)?;
    let shell = ["bash", "-l"].map(str::to_owned);
    match &cli.verb {
        Verb::Exec(args) => verbs::exec::run(&context, &args.command, args.place),
        Verb::Connect(args) => verbs::ssh::connect(&context, args),
        Verb::SshProxy(args) => verbs::ssh::proxy(&context, args),
        Verb::Logs(args) => verbs::logs::run(&context, args),
        Verb::Agent(AgentVerb::Logs { name, follow, tail }) => {
            verbs::agent::logs(&context, name, *follow, *tail)
        }
        Verb::Shell(args) => verbs::exec::run(&context, &shell, args.place),
        _ => Ok(0),
    }
}
