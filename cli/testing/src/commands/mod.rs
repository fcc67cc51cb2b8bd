//! Multipass's commands, one file each, and their dispatch.

pub(crate) mod answers;
mod exec;
mod get;
mod info;
mod launch;
mod list;
mod power;
mod remove;
mod shell;
mod snapshots;
mod transfer;
mod version;

use std::io;
use std::process::ExitCode;

use crate::call::Call;
use crate::grammar::{Grammar, Parsed, Refusal};
use crate::machine::Machine;
use crate::store::Store;
use crate::store::state::Access;

/// A function that carries out a command and returns the exit code.
type Run = fn(&mut Call, &Parsed) -> io::Result<u8>;

const COMMANDS: [(Grammar, Run); 16] = [
    (launch::GRAMMAR, launch::run),
    (exec::GRAMMAR, exec::run),
    (shell::GRAMMAR, shell::run),
    (get::GRAMMAR, get::run),
    (transfer::GRAMMAR, transfer::run),
    (info::GRAMMAR, info::run),
    (list::GRAMMAR, list::run),
    (power::START, power::start),
    (power::STOP, power::stop),
    (power::RESTART, power::restart),
    (power::SUSPEND, power::suspend),
    (remove::DELETE, remove::delete),
    (remove::RECOVER, remove::recover),
    (snapshots::SNAPSHOT, snapshots::take),
    (snapshots::RESTORE, snapshots::restore),
    (version::GRAMMAR, version::run),
];

const HELP: &str = "Usage: multipass [options] <command>
Create, control and connect to Ubuntu instances.

This is a command line utility for multipass, a
service that manages Ubuntu instances.

Options:
  -h, --help     Displays help on commandline options
  -v, --verbose  Increase logging verbosity. Repeat the 'v' in the short option
                 for more detail. Maximum verbosity is obtained with 4 (or more)
                 v's, i.e. -vvvv.
";

/// Runs `multipass ARGS`.
///
/// # Errors
/// When the sandbox cannot be read or written.
pub fn run(args: &[String]) -> io::Result<ExitCode> {
    let store = Store::from_environment()?;
    let mut call = Call::start(&store, "multipass", args)?;
    let code = match call.before() {
        Some(code) => code,
        None => dispatch(&mut call, args)?,
    };
    Ok(ExitCode::from(call.finish(code)?))
}

fn dispatch(call: &mut Call, args: &[String]) -> io::Result<u8> {
    // The client and its certificate are created before the command line is parsed.
    if call.access()? == Access::NeverRan {
        return Ok(call.daemon("")?.err().unwrap_or(1));
    }
    let verbose = |arg: &&String| arg.starts_with("-v") || *arg == "--verbose";
    let skipped = args.iter().take_while(verbose).count();
    let Some((name, rest)) = args.get(skipped..).and_then(|args| args.split_first()) else {
        call.out(HELP);
        return Ok(2);
    };
    if matches!(name.as_str(), "help" | "-h" | "--help") {
        call.out(HELP);
        return Ok(0);
    }
    if name == "purge" {
        return remove::purge(call, rest);
    }
    let name = if name == "ls" { "list" } else { name.as_str() };
    let Some((grammar, run)) = COMMANDS.iter().find(|(grammar, _)| grammar.name == name) else {
        call.end.refused = true;
        call.out(&format!(
            "Error: Unknown command or alias '{name}' (try \"multipass help\" or \"multipass aliases\")\n"
        ));
        return Ok(1);
    };
    match grammar.parse(rest) {
        Ok(parsed) => {
            if let Some(machine) = Machine::from_environment(call)
                && let Some(code) = machine.run(call, name, &parsed)?
            {
                return Ok(code);
            }
            run(call, &parsed)
        }
        Err(Refusal::Help) => {
            call.out(&format!("Usage: multipass {name} [options]\n"));
            Ok(0)
        }
        Err(Refusal::Usage(text)) => Ok(call.refuse(&text)),
    }
}
