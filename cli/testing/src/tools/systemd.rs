//! systemd in the guest: transient units, which are real processes. A unit is a file with the process that leads its process
//! group; it exists for as long as the unit runs.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::Stdio;

use super::tool::Tool;
use crate::fault::{self, Effect};
use crate::guest::Guest;
use crate::guest::units::{file, leader};
use crate::guest::user_data::SCRIPT;
use crate::process;
use crate::store::files::{now, replace};
use crate::store::state::Provision;
use crate::store::{Store, provision};

/// Waits for the unit's file, which is written a moment later, runs the command, and removes the file when it has ended.
const SUPERVISOR: &str = r#"until [[ -s $1 ]]; do :; done; "${@:2}"; rm -f -- "$1""#;
/// The unit that runs the provisioning again.
const PROVISION: &str = "polis-provision";
/// The code of `is-active` for a unit that is not active.
const NOT_ACTIVE: u8 = 3;

/// `systemctl`.
pub(super) fn systemctl(tool: &mut Tool, words: &[&str]) -> io::Result<u8> {
    match words {
        ["is-active", "--quiet", unit] | ["is-active", unit] => {
            let active = is_active(tool, unit)?;
            if words.len() == 2 {
                tool.call
                    .out(if active { "active\n" } else { "inactive\n" });
            }
            Ok(if active { 0 } else { NOT_ACTIVE })
        }
        // Nothing ever restarts it.
        ["show", "--property=MainPID", "--value", "docker.service"] => {
            tool.call.out("1000\n");
            Ok(0)
        }
        ["start", "--no-block", unit] => start(tool, unit),
        ["stop", unit] => {
            tool.call.end.changed_guest |= stop(&tool.guest, unit);
            Ok(0)
        }
        ["restart", "--no-block", unit] => {
            stop(&tool.guest, unit);
            start(tool, unit)
        }
        ["daemon-reload"] => Ok(0),
        ["restart", "docker.service"] => {
            tool.call.end.changed_guest = true;
            Ok(0)
        }
        // The stack's unit finds the stack running. `docker::boot` does what it does at boot.
        ["start", "polis.service"] => Ok(0),
        _ => Ok(tool.refuse()),
    }
}

/// `systemd-run`, which starts a unit without waiting for it.
pub(super) fn systemd_run(tool: &mut Tool, words: &[&str]) -> io::Result<u8> {
    let flags = words.iter().take_while(|word| word.starts_with("--"));
    let (flags, command) = words.split_at(flags.count());
    let value = |name: &str| flags.iter().find_map(|flag| flag.strip_prefix(name));
    let (Some(unit), [program, ..]) = (value("--unit="), command) else {
        return Ok(tool.refuse());
    };
    let guest = &tool.guest;
    if is_active(tool, unit)? {
        let text = "Failed to start transient service unit: Unit was already loaded.";
        return Ok(tool.fail(text));
    }
    tool.call.end.changed_guest = true;
    if guest.path(SCRIPT) == PathBuf::from(program) {
        provision_again(&tool.call.store, guest)?;
        return Ok(0);
    }
    spawn(
        tool,
        unit,
        value("--working-directory=").unwrap_or("/"),
        command,
    )
}

/// Starts the processes of a unit.
fn spawn(tool: &mut Tool, unit: &str, directory: &str, command: &[&str]) -> io::Result<u8> {
    tool.call.end.changed_guest = true;
    let guest = &tool.guest;
    let file = file(guest, unit);
    let mut process = process::group("bash");
    process
        .args(["-c", SUPERVISOR, "unit"])
        .arg(&file)
        .args(command);
    guest.dress(&mut process);
    process
        .current_dir(directory)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    replace(&file, process.spawn()?.id().to_string().as_bytes())?;
    Ok(0)
}

/// Starts a unit from its file: runs its `ExecStart` in a shell after removing the specifiers, like systemd.
fn start(tool: &mut Tool, unit: &str) -> io::Result<u8> {
    let guest = tool.guest.clone();
    let text = guest.get(&format!("/etc/systemd/system/{unit}"))?;
    let text = String::from_utf8_lossy(&text.unwrap_or_default()).into_owned();
    let Some(command) = text
        .lines()
        .find_map(|line| line.strip_prefix("ExecStart="))
    else {
        return Ok(tool.fail(&format!("Unit {unit} not found.")));
    };
    if is_active(tool, unit)? {
        return Ok(0);
    }
    let command = format!("exec {}", command.replace("%%", "%").replace("$$", "\\$"));
    spawn(tool, short(unit), "/", &["bash", "-c", &command])
}

/// Stops a unit; returns whether it was running.
fn stop(guest: &Guest, unit: &str) -> bool {
    let leader = leader(guest, short(unit));
    if let Some(pid) = leader {
        process::kill_group(pid);
    }
    let _it_may_have_ended = fs::remove_file(file(guest, short(unit)));
    leader.is_some()
}

fn short(unit: &str) -> &str {
    unit.strip_suffix(".service").unwrap_or(unit)
}

/// Whether a unit runs.
fn is_active(tool: &Tool, unit: &str) -> io::Result<bool> {
    if short(unit) == PROVISION {
        let state = tool.call.store.look()?;
        let run = state.find(tool.guest.name()).and_then(provision::under_way);
        return Ok(run.is_some_and(|run| !run.first));
    }
    if short(unit) == "docker" {
        let state = tool.call.store.look()?;
        return Ok(state
            .find(tool.guest.name())
            .is_some_and(|instance| instance.docker));
    }
    Ok(leader(&tool.guest, short(unit)).is_some_and(process::alive))
}

/// Runs the provisioning again, unless it is already running.
fn provision_again(store: &Store, guest: &Guest) -> io::Result<()> {
    let effects = fault::take(store, "provision.sh", &[])?;
    let fails = effects.into_iter().find_map(|effect| match effect {
        Effect::StepFails(step, message) => Some((step, message)),
        _ => None,
    });
    store.update(|state| {
        let takes = state.timing.provision;
        let Some(instance) = state.find_mut(guest.name()) else {
            return;
        };
        if !instance.provisioning(now()) {
            instance.provision = Some(Provision {
                first: false,
                ..Provision::new(now(), takes, fails)
            });
        }
    })?;
    // A run that takes no time has already ended.
    store.look().map(drop)
}
