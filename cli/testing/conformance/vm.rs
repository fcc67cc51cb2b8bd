//! Brings the instance into the state that a row needs, and removes it at the end.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::host::{Host, Running};
use crate::rows::Call;

/// How long a launch may take until `list` shows the instance.
const SEEN: Duration = Duration::from_secs(600);

/// The state of an instance; `None` if it does not exist.
fn state(host: &Host, name: &str) -> Result<Option<String>, String> {
    let answer = host.do_it(&["list", "--format", "json", "--no-ipv4"])?;
    let list: Value = serde_json::from_str(&answer.streams[0])
        .map_err(|error| format!("multipass list: {error}: {}", answer.streams[0]))?;
    let instances = list["list"].as_array().ok_or("multipass list: no list")?;
    let found = instances.iter().find(|instance| instance["name"] == name);
    Ok(found.map(|instance| instance["state"].as_str().unwrap_or_default().to_owned()))
}

/// Whether all groups need a running daemon.
fn has_daemon(groups: &[String]) -> bool {
    groups
        .iter()
        .all(|group| ["plain", "vm", "boot", "bare"].contains(&group.as_str()))
}

/// Refuses to continue if the user's own instance is in the way.
///
/// # Errors
/// When it is.
pub(crate) fn refuse_what_is_there(host: &Host, groups: &[String]) -> Result<(), String> {
    if !has_daemon(groups) {
        return match groups {
            [_] => Ok(()),
            _ => Err("a group with a condition of the client must be the only group".to_owned()),
        };
    }
    if state(host, &host.name)?.is_some() {
        let name = &host.name;
        return Err(format!(
            "an instance `{name}` exists: choose another --name, or `multipass delete --purge {name}`"
        ));
    }
    if groups.iter().any(|group| group == "bare") && state(host, "primary")?.is_some() {
        return Err(
            "an instance `primary` exists: the group `bare` would start and stop it".to_owned(),
        );
    }
    Ok(())
}

/// Removes the instances that the rows created.
///
/// # Errors
/// When it cannot be removed.
pub(crate) fn clean_up(host: &Host, groups: &[String]) -> Result<(), String> {
    if !has_daemon(groups) {
        return Ok(());
    }
    remove(host, &host.name)?;
    match groups.iter().any(|group| group == "bare") {
        // There was none before.
        true => remove(host, "primary"),
        false => Ok(()),
    }
}

fn remove(host: &Host, name: &str) -> Result<(), String> {
    match state(host, name)? {
        Some(_) => host.do_it(&["delete", "--purge", name]).map(drop),
        None => Ok(()),
    }
}

/// Brings the instance into the state that a row needs. Returns the running launch if that is the state.
///
/// # Errors
/// When the instance does not reach the state.
pub(crate) fn arrange(host: &Host, on: &str) -> Result<Option<Running>, String> {
    let name = host.name.as_str();
    match on {
        "absent" | "late" => remove(host, name)?,
        "running" => running(host)?,
        "stopped" => from_running(host, "Stopped", &["stop", name])?,
        "suspended" => from_running(host, "Suspended", &["suspend", name])?,
        "delayed" => from_running(host, "Delayed Shutdown", &["stop", "--time", "5", name])?,
        "deleted" => from_running(host, "Deleted", &["delete", name])?,
        "booting" => {
            remove(host, name)?;
            let launch = host.start(&Call::of(&["launch", "--name", name]), None, false)?;
            let end = Instant::now() + SEEN;
            while state(host, name)?.is_none() {
                if Instant::now() > end {
                    return Err(format!("multipass launch: no instance after {SEEN:?}"));
                }
                thread::sleep(Duration::from_millis(100));
            }
            return Ok(Some(launch));
        }
        "lost" => {
            remove(host, name)?;
            let call = Call::of(&["launch", "--name", name, "--timeout", "1"]);
            host.start(&call, None, false)?.wait(SEEN);
        }
        // Nothing to arrange, or the maintainer has to do it.
        _ => {}
    }
    Ok(None)
}

/// Brings it into a state that one call reaches from Running.
fn from_running(host: &Host, wanted: &str, call: &[&str]) -> Result<(), String> {
    if state(host, &host.name)?.as_deref() == Some(wanted) {
        return Ok(());
    }
    running(host)?;
    host.do_it(call).map(drop)
}

/// Makes it run, whatever its state.
fn running(host: &Host) -> Result<(), String> {
    let name = host.name.as_str();
    let steps: &[&[&str]] = match state(host, name)?.as_deref() {
        None => &[&["launch", "--name", name]],
        Some("Running") => &[],
        Some("Stopped" | "Suspended") => &[&["start", name]],
        Some("Delayed Shutdown") => &[&["stop", "--cancel", name]],
        Some("Deleted") => &[&["recover", name], &["start", name]],
        Some(_) => &[&["stop", "--force", name], &["start", name]],
    };
    for step in steps {
        host.do_it(step)?;
    }
    Ok(())
}
