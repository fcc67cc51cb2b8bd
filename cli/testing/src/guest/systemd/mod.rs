//! systemd in the guest: transient units that are real processes, and the one unit file that the provisioning writes.

mod control;
mod start;
mod unit;

use std::io;

pub(super) use control::systemctl;
pub(super) use start::{supervise, systemd_run};
use unit::{File, Unit};

use super::Guest;
use crate::world::now;

/// The name under which the double runs a unit's command.
pub(super) const SUPERVISOR: &str = "fake-unit";
/// Starts the stack at boot.
const POLIS: &str = "polis.service";

/// Starts what is enabled, without waiting for it.
pub(super) fn boot(guest: &Guest) -> io::Result<()> {
    if File::read(guest, POLIS)?.is_some_and(|file| file.conditions_hold(guest)) {
        start::start_file(guest, POLIS)?;
    }
    Ok(())
}

/// Ends all units.
pub(super) fn shut_down(guest: &Guest) -> io::Result<()> {
    for name in unit::names(guest)? {
        unit::end(guest, &name, None)?;
        unit::forget(guest, &name)?;
    }
    Ok(())
}

/// Whether anything runs in the background.
pub(super) fn is_busy(guest: &Guest) -> io::Result<bool> {
    for name in unit::names(guest)? {
        if matches!(active_state(guest, &name)?, Some("active" | "activating")) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The state of a unit as `is-active` prints it; `None` is a unit that systemd does not know.
fn active_state(guest: &Guest, name: &str) -> io::Result<Option<&'static str>> {
    if let Some(unit) = Unit::read(guest, name)? {
        return Ok(Some(unit.state()));
    }
    if File::read(guest, name)?.is_some() {
        return Ok(Some("inactive"));
    }
    let state = guest.store.look()?;
    let instance = state.find(&guest.name);
    let docker = instance.is_some_and(|instance| instance.docker);
    Ok(match name {
        "docker.service" | "docker.socket" | "containerd.service" | "sysbox.service"
        | "sysbox-mgr.service" | "sysbox-fs.service" => docker.then_some("active"),
        "cloud-final.service" => instance.map(|instance| {
            if instance.provisioning(now()) {
                "activating"
            } else {
                "active"
            }
        }),
        "ssh.service" => Some("active"),
        _ => None,
    })
}

/// A name with its suffix.
fn full_name(name: &str) -> String {
    let suffixes = [".service", ".socket", ".target", ".timer"];
    if suffixes.iter().any(|suffix| name.ends_with(suffix)) {
        name.to_owned()
    } else {
        format!("{name}.service")
    }
}

/// Whether this process belongs to root of the guest.
fn is_root() -> bool {
    std::env::var_os(super::sudo::ROOT).is_some()
}
