//! `systemctl` in the guest.

use std::io;

use super::super::Guest;
use super::super::tool::Tool;
use super::unit::{self, File, Unit};
use super::{active_state, full_name, is_root, start};
use crate::process;

/// The code of `is-active` for a unit that is not active, and for one that is not known.
const NOT_ACTIVE: u8 = 3;
const NOT_KNOWN: u8 = 4;

/// A command line of `systemctl`.
#[derive(Debug, Default)]
struct Request {
    command: String,
    units: Vec<String>,
    properties: Vec<String>,
    quiet: bool,
    value: bool,
    no_block: bool,
}

fn parse(args: &[String]) -> Result<Request, String> {
    let mut request = Request::default();
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let properties = match arg.split_once('=') {
            Some(("--property" | "-p", list)) => Some(list),
            _ if matches!(arg.as_str(), "--property" | "-p") => args.next().map(String::as_str),
            _ => None,
        };
        if let Some(list) = properties {
            let list = list.split(',').map(str::to_owned);
            request.properties.extend(list);
            continue;
        }
        match arg.as_str() {
            "--quiet" | "-q" => request.quiet = true,
            "--value" => request.value = true,
            "--no-block" => request.no_block = true,
            "--no-pager" | "--full" | "-l" | "--system" | "--now" => {}
            flag if flag.starts_with('-') => return Err(format!("unrecognized option '{flag}'")),
            word if request.command.is_empty() => word.clone_into(&mut request.command),
            word => request.units.push(full_name(word)),
        }
    }
    Ok(request)
}

/// `systemctl`.
pub(in super::super) fn systemctl(tool: &mut Tool, args: &[String]) -> io::Result<u8> {
    let request = match parse(args) {
        Ok(request) => request,
        Err(text) => return Ok(tool.refuse(1, &format!("systemctl: {text}\n"))),
    };
    let changes = [
        "start",
        "stop",
        "restart",
        "reset-failed",
        "daemon-reload",
        "enable",
    ];
    if changes.contains(&request.command.as_str()) && !is_root() {
        let what = format!("Failed to {} unit", request.command);
        tool.call
            .err(&format!("{what}: Interactive authentication required.\n"));
        return Ok(1);
    }
    match request.command.as_str() {
        "is-active" => states(tool, &request, "active"),
        "is-failed" => states(tool, &request, "failed"),
        "is-enabled" => is_enabled(tool, &request),
        "show" => show(tool, &request),
        "start" | "restart" => start_units(tool, &request),
        "stop" => stop(tool, &request),
        "reset-failed" => reset_failed(tool, &request),
        "daemon-reload" | "enable" => Ok(0),
        other => {
            let text = format!("Unknown command verb '{other}'.\n");
            Ok(tool.refuse(1, &text))
        }
    }
}

/// Prints the states; content when one of them is the wanted one.
fn states(tool: &mut Tool, request: &Request, wanted: &str) -> io::Result<u8> {
    let mut code = NOT_KNOWN;
    for name in &request.units {
        let state = active_state(&tool.guest, name)?;
        code = match state {
            Some(state) if state == wanted => 0,
            Some(_) if code == NOT_KNOWN => NOT_ACTIVE,
            _ => code,
        };
        if !request.quiet {
            tool.call.out(&format!("{}\n", state.unwrap_or("inactive")));
        }
    }
    Ok(code)
}

fn is_enabled(tool: &mut Tool, request: &Request) -> io::Result<u8> {
    for name in &request.units {
        let known =
            File::read(&tool.guest, name)?.is_some() || active_state(&tool.guest, name)?.is_some();
        if !known {
            tool.call.out("not-found\n");
            return Ok(NOT_KNOWN);
        }
        if !request.quiet {
            tool.call.out("enabled\n");
        }
    }
    Ok(0)
}

fn show(tool: &mut Tool, request: &Request) -> io::Result<u8> {
    for name in &request.units {
        for property in &request.properties {
            let Some(value) = property_of(&tool.guest, name, property)? else {
                let text = format!("systemctl: not played: property {property}\n");
                return Ok(tool.refuse(1, &text));
            };
            let line = if request.value {
                format!("{value}\n")
            } else {
                format!("{property}={value}\n")
            };
            tool.call.out(&line);
        }
    }
    Ok(0)
}

fn property_of(guest: &Guest, name: &str, property: &str) -> io::Result<Option<String>> {
    let unit = Unit::read(guest, name)?;
    let known = active_state(guest, name)?;
    let state = known.unwrap_or("inactive");
    let code = unit.as_ref().and_then(|unit| unit.code).unwrap_or(0);
    let value = match property {
        "LoadState" if known.is_none() => "not-found".to_owned(),
        "LoadState" => "loaded".to_owned(),
        "ActiveState" => state.to_owned(),
        "SubState" => match (state, &unit) {
            ("active", Some(unit)) if unit.remains => "exited",
            ("active", _) => "running",
            ("activating", _) => "start",
            ("inactive", _) => "dead",
            (other, _) => other,
        }
        .to_owned(),
        "Result" if state == "failed" => "exit-code".to_owned(),
        "Result" => "success".to_owned(),
        "ExecMainStatus" => code.to_string(),
        "MainPID" => match &unit {
            Some(unit) if unit.code.is_none() => unit.pid.to_string(),
            _ => "0".to_owned(),
        },
        "NeedDaemonReload" => "no".to_owned(),
        _ => return Ok(None),
    };
    Ok(Some(value))
}

fn start_units(tool: &mut Tool, request: &Request) -> io::Result<u8> {
    for name in &request.units {
        if request.command == "restart" {
            unit::end(&tool.guest, name, None)?;
        }
        let state = active_state(&tool.guest, name)?;
        if matches!(state, Some("active" | "activating")) {
            continue;
        }
        let Some(file) = File::read(&tool.guest, name)? else {
            let text = format!("Failed to start {name}: Unit {name} not found.\n");
            tool.call.err(&text);
            return Ok(5);
        };
        // A condition that does not hold is no failure: the unit just stays as it is.
        if !file.conditions_hold(&tool.guest) {
            continue;
        }
        tool.call.end.changed_guest = true;
        start::start_file(&tool.guest, name)?;
        while !request.no_block && active_state(&tool.guest, name)? == Some("activating") {
            std::thread::sleep(process::TICK);
        }
        if active_state(&tool.guest, name)? == Some("failed") {
            tool.call.err(&format!(
                "Job for {name} failed because the control process exited with error code.\n\
                 See \"systemctl status {name}\" and \"journalctl -xeu {name}\" for details.\n"
            ));
            return Ok(1);
        }
    }
    Ok(0)
}

fn stop(tool: &mut Tool, request: &Request) -> io::Result<u8> {
    for name in &request.units {
        if active_state(&tool.guest, name)?.is_none() {
            tool.call
                .err(&format!("Failed to stop {name}: Unit {name} not loaded.\n"));
            return Ok(5);
        }
        unit::end(&tool.guest, name, None)?;
        tool.call.end.changed_guest = true;
    }
    Ok(0)
}

fn reset_failed(tool: &mut Tool, request: &Request) -> io::Result<u8> {
    let names = match request.units.as_slice() {
        [] => unit::names(&tool.guest)?,
        names => names.to_vec(),
    };
    for name in names {
        match Unit::read(&tool.guest, &name)? {
            Some(unit) if unit.state() == "failed" => unit::forget(&tool.guest, &name)?,
            Some(_) => {}
            None if active_state(&tool.guest, &name)?.is_some() => {}
            None => {
                tool.call.err(&format!(
                    "Failed to reset failed state of unit {name}: Unit {name} not loaded.\n"
                ));
                return Ok(1);
            }
        }
    }
    Ok(0)
}
