//! `multipass start` and `multipass stop`.

use std::io;

use super::call::{Call, wait_until};
use super::errors;
use crate::grammar::{Grammar, Parsed};
use crate::world::now;
use crate::world::state::{Instance, Power};

pub(super) const START: Grammar = Grammar {
    name: "start",
    valued: &[&["timeout"]],
    flags: &[&["all"]],
    arity: (1, usize::MAX),
    guest_command: false,
};

pub(super) const STOP: Grammar = Grammar {
    name: "stop",
    valued: &[&["time", "t"]],
    flags: &[&["all"], &["cancel", "c"], &["force"]],
    arity: (1, usize::MAX),
    guest_command: false,
};

pub(super) fn start(call: &mut Call, parsed: &Parsed) -> io::Result<u8> {
    let timeout = match timeout(parsed.value("timeout")) {
        Ok(timeout) => timeout,
        Err(text) => return Ok(call.refuse(text)),
    };
    if let Err(code) = call.daemon("start")? {
        return Ok(code);
    }
    for name in &parsed.positional {
        let code = power_on(call, "start", name, timeout)?;
        if code != 0 {
            return Ok(code);
        }
    }
    Ok(0)
}

/// The value of `--timeout` in milliseconds.
pub(super) fn timeout(value: Option<&str>) -> Result<Option<u64>, &'static str> {
    let seconds = value.map(|text| text.parse::<u32>().ok().filter(|seconds| *seconds > 0));
    match seconds {
        None => Ok(None),
        Some(Some(seconds)) => Ok(Some(u64::from(seconds) * 1000)),
        Some(None) => Err("error: --timeout value has to be a positive integer\n"),
    }
}

/// Starts an instance, for `start` and for `exec`: waits for SSH and for nothing else.
pub(super) fn power_on(
    call: &mut Call,
    command: &str,
    name: &str,
    timeout: Option<u64>,
) -> io::Result<u8> {
    let found = call.store.update(|state| {
        let boot = state.timing.boot;
        let instance = state.find_mut(name)?;
        let before = instance.state(now());
        if matches!(before, Power::Stopped | Power::Suspended) {
            instance.power_on(now() + boot);
        }
        Some((before, instance.clone()))
    })?;
    let Some((before, instance)) = found else {
        let message = format!("instance(s) missing\nInstance '{name}' does not exist.");
        return Ok(call.fail(command, &message));
    };
    match before {
        Power::Deleted => {
            let message = format!(
                "instance(s) missing\nInstance '{name}' is deleted. Use 'recover' to recover it."
            );
            return Ok(call.fail(command, &message));
        }
        Power::Unknown => {
            let message = format!(
                "Instance '{name}' is already running, but in an unknown state.\nTry to stop it first."
            );
            return Ok(call.fail(command, &message));
        }
        Power::Running | Power::DelayedShutdown => return Ok(0),
        _ => {}
    }
    call.end.changed_vm = matches!(before, Power::Stopped | Power::Suspended);
    call.spinner(&format!("Starting {name}"));
    let code = wait_for_ssh(call, command, &instance, timeout)?;
    call.clear();
    if code == 0 && before == Power::Stopped {
        call.store.guest(name).boot()?;
    }
    Ok(code)
}

fn wait_for_ssh(
    call: &Call,
    command: &str,
    instance: &Instance,
    timeout: Option<u64>,
) -> io::Result<u8> {
    // The daemon's own limit is 300 s; the client's comes first when it is shorter.
    let ends = now() + timeout.unwrap_or(300_000);
    // Stuck in Starting or Suspending: nothing comes of waiting.
    let never = instance.power != Power::Running || !instance.ssh;
    if never || instance.booted_at > ends {
        wait_until(ends);
        if timeout.is_some() {
            call.err("Timed out waiting for instance to start.\n");
            return Ok(5);
        }
        let name = &instance.name;
        let message = errors(&format!("{name}: timed out waiting for response"));
        return Ok(call.fail(command, &message));
    }
    wait_until(instance.booted_at);
    Ok(0)
}

pub(super) fn stop(call: &mut Call, parsed: &Parsed) -> io::Result<u8> {
    if let Err(code) = call.daemon("stop")? {
        return Ok(code);
    }
    for name in &parsed.positional {
        let code = power_off(call, name, parsed.has("force"))?;
        if code != 0 {
            return Ok(code);
        }
    }
    Ok(0)
}

fn power_off(call: &mut Call, name: &str, force: bool) -> io::Result<u8> {
    let before = call.store.change(name, |instance| instance.state(now()))?;
    let Some(before) = before else {
        let message = format!("instance(s) missing\nInstance '{name}' does not exist.");
        return Ok(call.fail("stop", &message));
    };
    match before {
        Power::Deleted => {
            let message = format!("instance(s) missing\nInstance '{name}' is deleted.");
            return Ok(call.fail("stop", &message));
        }
        Power::Stopped => return Ok(0),
        Power::Starting | Power::Restarting | Power::Suspended if !force => {
            let state = before.text().to_lowercase();
            let message = format!(
                "Cannot shut down instance '{name}' in {state} state.\nUse --force to power it off."
            );
            return Ok(call.fail("stop", &message));
        }
        _ => {}
    }
    call.spinner(&format!("Stopping {name}"));
    call.store.guest(name).shut_down()?;
    call.store
        .change(name, |instance| instance.power_off(Power::Stopped))?;
    call.end.changed_vm = true;
    call.clear();
    Ok(0)
}
