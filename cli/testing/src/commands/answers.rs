//! The daemon's answers to a request for an instance in a given state, shared by both backends.
//!
//! Sources: the contract page, and of canonical/multipass `src/daemon/daemon.cpp` (`start`, `stop`, `get_ssh_info_for_vm`)
//! and `src/platform/backends/shared/base_virtual_machine.cpp` (`check_state_for_shutdown`).
//!
//! # One request at a time
//! The daemon answers requests in the single thread of its event loop (`emit_signal_and_wait_for_result` in
//! `src/daemon/daemon_rpc.cpp`), so anything that this thread waits for blocks every other call: the shutdown of `stop`,
//! `delete` and `restart`, and the logins of `info` and of `list` with addresses. Other threads do what blocks no other call
//! (`QtConcurrent::run` in `daemon.cpp`): the preparation of the image, and the wait for SSH and cloud-init of `launch` and
//! `start` (`async_wait_for_ready_all`). `exec` and `transfer` only get credentials from the daemon, and then connect to the
//! guest directly.

use serde_json::{Value, json};

use crate::store::state::Power;

/// The instance that `start`, `stop` and `shell` use without a name.
pub(crate) const PRIMARY: &str = "primary";

/// The daemon's list of errors about instances.
pub(crate) fn errors(message: &str) -> String {
    format!("The following errors occurred:\n{message}")
}

/// Why a command other than `start` cannot find an instance; `None` if it can.
pub(crate) fn absent(name: &str, power: Option<Power>) -> Option<String> {
    let what = match power {
        None => "does not exist",
        Some(Power::Deleted) => "is deleted",
        Some(_) => return None,
    };
    Some(errors(&format!("instance \"{name}\" {what}")))
}

/// Why `start` does not start it. A blank line follows the name of an instance that cannot be found.
pub(crate) fn before_start(name: &str, power: Option<Power>) -> Result<(), String> {
    Err(match power {
        None => format!("instance(s) missing\nInstance '{name}' does not exist.\n"),
        Some(Power::Deleted) => format!(
            "instance(s) missing\nInstance '{name}' is deleted. Use 'recover' to recover it or 'purge' to permanently delete it.\n"
        ),
        Some(Power::Unknown) => errors(&format!(
            "Instance '{name}' is already running, but in an unknown state.\nTry to stop it first."
        )),
        Some(Power::Suspending) => errors(&format!(
            "Cannot start the instance '{name}' while suspending."
        )),
        Some(_) => return Ok(()),
    })
}

/// Why the power button is not pressed. `stop --force` never presses it.
pub(crate) fn before_shutdown(name: &str, power: Power) -> Result<(), String> {
    Err(match power {
        Power::Suspended => format!("Cannot shut down suspended instance {name}."),
        Power::Suspending => format!("Cannot shut down instance {name} while suspending."),
        Power::Starting | Power::Restarting => {
            format!("Cannot shut down instance {name} while starting.")
        }
        _ => return Ok(()),
    })
}

/// Why the client gets no credentials, which `exec`, `shell` and `transfer` need. `Ok` is whether the instance runs.
pub(crate) fn credentials(name: &str, power: Option<Power>) -> Result<bool, String> {
    if let Some(message) = absent(name, power) {
        return Err(message);
    }
    match power {
        Some(Power::Unknown) => Err("Cannot retrieve credentials in unknown state".to_owned()),
        power => Ok(matches!(
            power,
            Some(Power::Running | Power::DelayedShutdown)
        )),
    }
}

/// The output of `list --format json` for these instances: their names, states, addresses and releases.
pub(crate) fn list<'a>(
    instances: impl Iterator<Item = (&'a str, Power, Option<&'a str>, &'a str)>,
) -> String {
    let entry = |(name, power, address, release): (&str, Power, Option<&str>, &str)| {
        json!({
            "name": name,
            "state": power.text(),
            "ipv4": address.into_iter().collect::<Vec<_>>(),
            "release": release,
        })
    };
    let list: Vec<Value> = instances.map(entry).collect();
    format!("{:#}\n", json!({ "list": list }))
}
