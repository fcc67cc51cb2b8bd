//! `multipass exec`: runs a command in the guest, with all the pitfalls of the real one.

use std::io;

use super::{answers, power};
use crate::call::Call;
use crate::fault::Effect;
use crate::grammar::{Grammar, Parsed};
use crate::guest::run::Pipes;
use crate::process;
use crate::store::now;

pub(super) const GRAMMAR: Grammar = Grammar {
    name: "exec",
    valued: &[&["working-directory", "d"]],
    flags: &[&["no-map-working-directory", "n"]],
    arity: (2, usize::MAX),
    guest_command: true,
};

pub(super) fn run(call: &mut Call, parsed: &Parsed) -> io::Result<u8> {
    let Some((name, command)) = parsed.positional.split_first() else {
        return Ok(call.refuse("Wrong number of arguments\n"));
    };
    let directory = parsed.value("working-directory");
    if directory.is_some() && parsed.has("no-map-working-directory") {
        let text = "Options --working-directory and --no-map-working-directory clash\n";
        return Ok(call.refuse(text));
    }
    // The client first queries the instance in order to map the working directory, so it fails twice.
    let twice = directory.is_none() && !parsed.has("no-map-working-directory");
    loop {
        let code = once(call, "exec", name, command, directory, twice)?;
        // Up to 1.16, the client takes the guest's code 4 for its own "try again".
        if code != 4 || call.store.look()?.since_1_17() {
            return Ok(code);
        }
        // Ends with its parent process, so that no test leaves it behind.
        if process::parent_is_gone() || !call.store.dir().exists() {
            return Ok(code);
        }
    }
}

/// Runs the command once; failures start with `verb`.
pub(super) fn once(
    call: &mut Call,
    verb: &str,
    name: &str,
    command: &[String],
    directory: Option<&str>,
    twice: bool,
) -> io::Result<u8> {
    if twice && let Err(code) = call.daemon(verb)? {
        // The second of the two calls fails like the first.
        call.daemon(verb)?.err();
        return Ok(code);
    }
    let state = match call.daemon(verb)? {
        Ok(state) => state,
        Err(code) => return Ok(code),
    };
    let instance = state.find(name);
    let power = instance.map(|instance| instance.state(now()));
    let runs = match answers::credentials(name, power) {
        Ok(runs) => runs,
        Err(message) => {
            // The query for the directory fails too, but only if there is no instance.
            if twice && power.is_none() {
                call.fail(verb, &message);
            }
            return Ok(call.fail(verb, &message));
        }
    };
    if !runs {
        let code = power::power_on(call, "start", name, None)?;
        if code != 0 {
            return Ok(code);
        }
    }
    let ssh = instance.is_some_and(|instance| instance.ssh);
    if !ssh || call.struck(&Effect::SshFails) {
        return Ok(call.fail(verb, "ssh connection failed: 'Connection refused'"));
    }
    let pipes = if state.windows {
        Pipes::Windows
    } else {
        Pipes::Unix
    };
    let guest = call.store.guest(name);
    // While the machine itself is changing, the cause of a change is unknown.
    let quiet = instance.is_none_or(|instance| !instance.provisioning(now()));
    let before = guest.snapshot()?;
    let meanwhile = || call.store.look().map(drop);
    let done = guest.run(call.number, command, directory, pipes, &meanwhile)?;
    call.end.changed_guest |= quiet && before != guest.snapshot()?;
    if !done.stdin.is_empty() {
        call.remember_stdin(&done.stdin);
    }
    Ok(done.code)
}
