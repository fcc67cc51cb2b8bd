//! `multipass start`, `stop`, `restart` and `suspend`.

use std::io;

use super::answers::{self, PRIMARY, errors};
use crate::call::Call;
use crate::grammar::{Grammar, Parsed};
use crate::store::now;
use crate::store::state::{Instance, Power, State};
use crate::tools::docker;

pub(super) const START: Grammar = Grammar {
    name: "start",
    valued: &[&["timeout"]],
    flags: &[],
    arity: (0, usize::MAX),
    guest_command: false,
};

pub(super) const STOP: Grammar = Grammar {
    name: "stop",
    valued: &[&["time", "t"]],
    flags: &[&["cancel", "c"], &["force"]],
    arity: (0, usize::MAX),
    guest_command: false,
};

pub(super) const RESTART: Grammar = Grammar {
    name: "restart",
    valued: &[&["timeout"]],
    flags: &[],
    arity: (0, usize::MAX),
    guest_command: false,
};

pub(super) const SUSPEND: Grammar = Grammar {
    name: "suspend",
    valued: &[],
    flags: &[],
    arity: (0, usize::MAX),
    guest_command: false,
};

/// The daemon's default timeout for SSH and for cloud-init, without `--timeout`.
pub(super) const DEFAULT_LIMIT: u64 = 300_000;

/// The instances that the command line names.
pub(crate) fn names(parsed: &Parsed) -> Vec<String> {
    match parsed.positional.as_slice() {
        [] => vec![PRIMARY.to_owned()],
        names => names.to_vec(),
    }
}

pub(super) fn start(call: &mut Call, parsed: &Parsed) -> io::Result<u8> {
    let timeout = match timeout(parsed.value("timeout")) {
        Ok(timeout) => timeout,
        Err(text) => return Ok(call.refuse(text)),
    };
    for name in names(parsed) {
        let code = power_on(call, "start", &name, timeout)?;
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
    let text = format!("Starting {name}");
    let client_ends = timeout.map(|limit| now() + limit);
    if call.spin(&text, client_ends, idle)?.is_none() {
        return Ok(client_timeout(call));
    }
    if let Err(code) = call.daemon(command)? {
        return Ok(code);
    }
    let daemon_ends = now() + timeout.unwrap_or(DEFAULT_LIMIT);
    let before = call.store.update(|state| {
        let boot = state.timing.boot;
        let instance = state.find_mut(name)?;
        let before = instance.state(now());
        if matches!(before, Power::Stopped | Power::Suspended) {
            instance.power_on(now() + boot, daemon_ends);
        }
        Some(before)
    })?;
    if let Err(message) = answers::before_start(name, before) {
        return Ok(call.fail(command, &message));
    }
    call.end.changed_vm |= matches!(before, Some(Power::Stopped | Power::Suspended));
    let code = wait_for_ssh(call, command, name, (client_ends, daemon_ends))?;
    if code == 0 && before == Some(Power::Stopped) {
        docker::boot(&call.store.guest(name))?;
    }
    Ok(code)
}

/// Waits for SSH as client and daemon do, each with its own timeout.
fn wait_for_ssh(
    call: &Call,
    command: &str,
    name: &str,
    (client_ends, daemon_ends): (Option<u64>, u64),
) -> io::Result<u8> {
    let text = format!("Starting {name}");
    let up = call.spin(&text, client_ends, |state| {
        let instance = state.find(name)?;
        match instance.state(now()) {
            Power::Running | Power::DelayedShutdown if instance.ssh => Some(true),
            Power::Unknown => Some(false),
            _ if now() >= daemon_ends => Some(false),
            _ => None,
        }
    })?;
    match up {
        Some(true) => Ok(0),
        Some(false) => {
            let message = errors(&format!("{name}: timed out waiting for response"));
            Ok(call.fail(command, &message))
        }
        None => Ok(client_timeout(call)),
    }
}

fn client_timeout(call: &Call) -> u8 {
    call.err("Timed out waiting for instance to start.\n");
    5
}

pub(super) fn stop(call: &mut Call, parsed: &Parsed) -> io::Result<u8> {
    for name in names(parsed) {
        let text = format!("Stopping {name}");
        call.spin(&text, None, idle)?;
        let state = match call.daemon("stop")? {
            Ok(state) => state,
            Err(code) => return Ok(code),
        };
        let power = state.find(&name).map(|instance| instance.state(now()));
        if let Some(message) = answers::absent(&name, power) {
            return Ok(call.fail("stop", &message));
        }
        let done = match (parsed.has("cancel"), parsed.has("force")) {
            (true, _) => change(call, &name, Power::DelayedShutdown, Power::Running).map(Ok),
            (_, true) => power_off(call, &name, Power::Stopped).map(Ok),
            _ if parsed.value("time").is_some_and(|minutes| minutes != "0") => {
                change(call, &name, Power::Running, Power::DelayedShutdown).map(Ok)
            }
            _ => shut_down(call, &name, Power::Stopped),
        }?;
        call.spin(&text, None, idle)?;
        if let Err(message) = done {
            let message = format!("{message}\nUse --force to power it off.");
            return Ok(call.fail("stop", &message));
        }
    }
    Ok(0)
}

/// Changes an instance from the state `from` to `to`.
fn change(call: &mut Call, name: &str, from: Power, to: Power) -> io::Result<()> {
    let changed = call.store.change(name, |instance| {
        let meant = instance.state(now()) == from;
        if meant {
            instance.power = to;
        }
        meant
    })?;
    call.end.changed_vm |= changed == Some(true);
    Ok(())
}

/// Whether the daemon is not busy.
pub(super) fn idle(state: &State) -> Option<()> {
    (state.busy_until <= now()).then_some(())
}

/// Presses the power button. The daemon does nothing else until the machine is off, for which the caller waits. The inner error
/// is the daemon's; the contract page lacks its message for a machine that ignores the button.
pub(super) fn shut_down(
    call: &mut Call,
    name: &str,
    becomes: Power,
) -> io::Result<Result<(), String>> {
    let state = call.store.look()?;
    let Some(instance) = state.find(name) else {
        return Ok(Ok(()));
    };
    if let Err(message) = answers::before_shutdown(name, instance.state(now())) {
        return Ok(Err(message));
    }
    if listens(instance) {
        power_off(call, name, becomes)?;
        call.keep_busy(state.timing.shutdown)?;
        return Ok(Ok(()));
    }
    let waits = state.timing.lost_button;
    call.keep_busy(waits)?;
    Ok(Err(format!(
        "The QEMU process did not finish within {waits} milliseconds after being shutdown"
    )))
}

/// Whether the guest has booted far enough to react to the power button.
fn listens(instance: &Instance) -> bool {
    match instance.power {
        Power::Running => now() >= instance.booted_at,
        power => power != Power::Unknown,
    }
}

/// Powers an instance off immediately; does nothing if it is already off.
pub(super) fn power_off(call: &mut Call, name: &str, becomes: Power) -> io::Result<()> {
    let on = |power| !matches!(power, Power::Stopped | Power::Deleted);
    let before = call
        .store
        .change(name, |instance| instance.power)?
        .is_some_and(on);
    if !before && becomes == Power::Stopped {
        return Ok(());
    }
    call.store.guest(name).shut_down()?;
    call.store
        .change(name, |instance| instance.power_off(becomes))?;
    call.end.changed_vm = true;
    Ok(())
}

/// `restart`: the guest reboots, and the daemon waits for SSH.
pub(super) fn restart(call: &mut Call, parsed: &Parsed) -> io::Result<u8> {
    let timeout = match timeout(parsed.value("timeout")) {
        Ok(timeout) => timeout,
        Err(text) => return Ok(call.refuse(text)),
    };
    for name in names(parsed) {
        call.spin(&format!("Restarting {name}"), None, idle)?;
        let state = match call.daemon("restart")? {
            Ok(state) => state,
            Err(code) => return Ok(code),
        };
        let power = state.find(&name).map(|instance| instance.state(now()));
        let message = match power {
            power if answers::absent(&name, power).is_some() => answers::absent(&name, power),
            Some(Power::Running | Power::DelayedShutdown) => None,
            Some(Power::Unknown) => Some(errors(&format!(
                "Instance '{name}' is already running, but in an unknown state.\nTry to stop and start it instead."
            ))),
            _ => Some(errors(&format!("Instance '{name}' is not running"))),
        };
        if let Some(message) = message {
            return Ok(call.fail("restart", &message));
        }
        power_off(call, &name, Power::Stopped)?;
        let code = power_on(call, "restart", &name, timeout)?;
        if code != 0 {
            return Ok(code);
        }
    }
    Ok(0)
}

pub(super) fn suspend(call: &mut Call, parsed: &Parsed) -> io::Result<u8> {
    for name in names(parsed) {
        let state = match call.daemon("suspend")? {
            Ok(state) => state,
            Err(code) => return Ok(code),
        };
        let power = state.find(&name).map(|instance| instance.state(now()));
        if let Some(message) = answers::absent(&name, power) {
            return Ok(call.fail("suspend", &message));
        }
        change(call, &name, Power::Running, Power::Suspended)?;
    }
    Ok(0)
}
