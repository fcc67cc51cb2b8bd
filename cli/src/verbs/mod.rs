//! One file per command.

pub(crate) mod agent;
pub(crate) mod cp;
pub(crate) mod delete;
mod desired;
pub(crate) mod doctor;
pub(crate) mod exec;
mod fix;
pub(crate) mod list;
pub(crate) mod logs;
pub(crate) mod man;
pub(crate) mod port;
pub(crate) mod security;
pub(crate) mod snapshot;
pub(crate) mod ssh;
pub(crate) mod start;
pub(crate) mod status;
pub(crate) mod stop;
pub(crate) mod sync;
pub(crate) mod sync_watch;
pub(crate) mod update;
pub(crate) mod version;
mod workspace;

use std::io::{self, IsTerminal};

use crate::context::Context;
use crate::error::{Error, Kind, Result};
use crate::multipass::refusal;
use crate::multipass::state::{NO_ANSWER, Outlook, VmState, WAITING};
use crate::multipass::{self, Multipass};
use crate::output;
use crate::{platform, process};

/// Whether the user can be asked a question: on a terminal, and without `--json`.
fn can_ask(context: &Context) -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal() && !context.output.is_json()
}

/// Asks a question on the terminal; any answer but yes counts as no.
///
/// # Errors
/// Of kind `Interrupted`, immediately, when a signal arrives.
fn asked(question: &str) -> Result<bool> {
    output::question(&format!("{question} [y/N] "));
    let answer = answered(|| {
        let mut answer = String::new();
        io::stdin().read_line(&mut answer).map(|_| answer)
    })?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// Asks for a secret without echoing it; empty when there is no answer.
///
/// # Errors
/// As [`asked`].
fn asked_for_secret(question: &str) -> Result<String> {
    // Restores the echo when dropped, on every return path.
    let _unseen = platform::HiddenInput::begin();
    output::question(question);
    let answer = answered(platform::read_hidden);
    output::tell("");
    Ok(answer?.trim().to_owned())
}

/// The line that `read` returns; empty if it fails.
fn answered(read: impl FnOnce() -> io::Result<String> + Send + 'static) -> Result<String> {
    let answer = process::beside(read, |_| {}).map_err(|_| {
        output::tell("");
        multipass::interrupted()
    })?;
    Ok(answer.unwrap_or_default())
}

/// Refuses unless the VM is running: `exec` would silently start a stopped one.
fn must_run(multipass: &Multipass) -> Result<()> {
    let state = multipass.state()?;
    let not_running = |why: &str, next: &str| Err(not_running(why).next(next));
    match (state.as_ref().map(VmState::outlook), &state) {
        (Some(Outlook::Up), _) => Ok(()),
        (Some(Outlook::Deleted), _) => Err(refusal::deleted()),
        (Some(Outlook::NoAnswer), _) => not_running(NO_ANSWER, WAITING),
        (_, Some(state)) => not_running(&format!("the VM is {}", state.word()), "polis start"),
        (_, None) => not_running("there is no VM", "polis start"),
    }
}

fn not_running(why: &str) -> Box<Error> {
    Error::new(Kind::NotRunning, "the workspace is not running").because(why)
}
