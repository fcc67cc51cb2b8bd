//! `polis exec` and `polis shell`: the user's own commands, with their own exit codes.

use std::io::{self, IsTerminal, Read};
use std::time::Duration;

use crate::args::WhereArgs;
use crate::context::Context;
use crate::error::{Error, Kind, Result, cut};
use crate::guest::run::{CODE_IN_FILE, CommandRun, NO_STACK, RUNS, Target, UNRECORDED};
use crate::handover::{self, HandedOver, TerminalUse};
use crate::instance::vm;
use crate::multipass::{Multipass, SMALL_FILE, TRANSFER, USER_OUTPUT, failed, interrupted, size};
use crate::{output, process};

/// The exit code of `exec` when polis itself fails.
pub(crate) const POLIS_FAILED: u8 = 125;

/// The exit code of `exec` when the reader of its output has closed the pipe: what a shell reports for SIGPIPE.
const UNREAD: u8 = 141;

/// The maximum size of standard input for a command whose output is captured.
const MOST_INPUT: u64 = 64 << 20;
/// How long until a note that the command waits for the end of standard input.
const WAITS: Duration = Duration::from_secs(5);

/// Runs `words`, in the VM itself or in the workspace; returns the exit code.
///
/// # Errors
/// When it cannot be run, or its exit code is unknown.
pub(crate) fn run(context: &Context, words: &[String], place: WhereArgs) -> Result<u8> {
    let is_terminal = io::stdout().is_terminal() && io::stdin().is_terminal();
    let root = place.root;
    let place = match place.vm {
        true => Target::Machine,
        false => Target::Workspace {
            terminal: is_terminal,
            root,
        },
    };
    let terminal = match is_terminal {
        true => TerminalUse::Terminal,
        false => TerminalUse::Streams,
    };
    enter(context, words, place, terminal)
}

/// Runs `words` in `place`; returns the exit code.
///
/// # Errors
/// As [`run`].
pub(crate) fn enter(
    context: &Context,
    words: &[String],
    place: Target,
    terminal: TerminalUse,
) -> Result<u8> {
    let multipass = context.multipass()?;
    super::must_run(&multipass)?;
    let captured = !io::stdout().is_terminal() && !multipass.takes_long_output();
    let run = CommandRun::new();
    if captured && place != Target::Stack && !io::stdin().is_terminal() {
        bring_input(context, &multipass, &run)?;
    }
    let terminal = if captured {
        TerminalUse::Captured
    } else {
        terminal
    };
    let call = run.command(place, words, captured);
    match handover::hand_over(&multipass, &run, &call, terminal)? {
        HandedOver::Unread => Ok(UNREAD),
        HandedOver::Signalled(signal) => Ok(128 + signal),
        HandedOver::Ended(Some(CODE_IN_FILE)) => recorded(context, &multipass, &run, captured),
        HandedOver::Ended(Some(UNRECORDED)) => Err(Error::new(
            Kind::Unexpected,
            "the exit code of the command is unknown",
        )
        .because(format!(
            "the VM cannot write to {RUNS}: its disk may be full"
        ))
        .next("polis doctor")),
        // Multipass's own exit codes; it has printed its message.
        HandedOver::Ended(None | Some(1 | 2 | 5 | 255)) => Err(Error::new(
            Kind::Machine,
            "Multipass could not run the command",
        )
        .next("polis status")),
        HandedOver::Ended(Some(code)) => {
            u8::try_from(code).map_err(|_| invalid_code(&code.to_string()))
        }
    }
}

/// Transfers all of standard input into the VM: if output has to be captured, input cannot be piped either.
fn bring_input(context: &Context, multipass: &Multipass, run: &CommandRun) -> Result<()> {
    let read = || {
        let mut bytes = Vec::new();
        let read = io::stdin().take(MOST_INPUT + 1).read_to_end(&mut bytes);
        read.map(|_| bytes)
    };
    let mut told = false;
    let read = process::beside(read, |since| {
        if since >= WAITS && !std::mem::replace(&mut told, true) {
            let note = "waiting for the end of standard input; the command starts then";
            context.output.note(note);
        }
    });
    let bytes = read.map_err(|_| interrupted())?.map_err(|error| {
        Error::new(Kind::Unexpected, "could not read standard input").caused_by(&error)
    })?;
    if bytes.len() as u64 > MOST_INPUT {
        let most = size::words(MOST_INPUT);
        return Err(Error::new(
            Kind::Usage,
            format!("the command's input is larger than {most}"),
        )
        .because("Multipass cannot pipe it here, so it is transferred into the VM as a file")
        .next(format!(
            "multipass transfer FILE {}:   (then pass its name to the command)",
            vm()
        )));
    }
    if bytes.is_empty() {
        return Ok(());
    }
    let call = run.input(bytes);
    let output = multipass.output(&call, Some(TRANSFER))?;
    if output.code == Some(0) {
        return Ok(());
    }
    forget(context, multipass, run);
    Err(failed(&call, &output, Kind::Transfer))
}

/// Prints the captured output of a command, and returns the exit code that it left in the VM.
fn recorded(
    context: &Context,
    multipass: &Multipass,
    run: &CommandRun,
    captured: bool,
) -> Result<u8> {
    let code = multipass.read(&run.file("code"), SMALL_FILE)?;
    let code = String::from_utf8_lossy(&code);
    if code.trim() == NO_STACK {
        forget(context, multipass, run);
        return Err(super::workspace::no_stack(multipass));
    }
    if captured {
        let stderr = multipass.read(&run.file("stderr"), USER_OUTPUT)?;
        output::print(&multipass.read(&run.file("stdout"), USER_OUTPUT)?)?;
        output::pass_on(&stderr);
    }
    forget(context, multipass, run);
    code.trim().parse().map_err(|_| invalid_code(code.trim()))
}

/// Removes the command's files from the VM. A failure is only noted: the command has ended, and a later one removes them.
fn forget(context: &Context, multipass: &Multipass, run: &CommandRun) {
    if let Err(error) = multipass.call(&run.forget(), Kind::Unexpected) {
        let cause = cut(error.causes.first().unwrap_or(&error.message));
        context.output.note(&format!(
            "could not remove the command's files from the VM: {cause}"
        ));
    }
}

fn invalid_code(code: &str) -> Box<Error> {
    Error::new(Kind::Unexpected, "the exit code of the command is unknown")
        .because(format!("invalid exit code `{code}`"))
}
