//! `multipass launch`: the checks of client and daemon, then a machine whose future is decided at once.

use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt;

use super::call::{Call, wait_until};
use super::{errors, power};
use crate::fault::Effect;
use crate::grammar::{self, Grammar, Parsed};
use crate::guest::user_data::UserData;
use crate::world::now;
use crate::world::state::{Instance, Power, State};

pub(super) const GRAMMAR: Grammar = Grammar {
    name: "launch",
    valued: &[
        &["name", "n"],
        &["cpus", "c"],
        &["memory", "m"],
        &["disk", "d"],
        &["cloud-init"],
        &["timeout"],
        &["network"],
        &["mount"],
    ],
    flags: &[&["bridged"]],
    arity: (0, 1),
    guest_command: false,
};

/// What the daemon gives SSH and cloud-init each, without `--timeout`.
const DEFAULT_LIMIT: u64 = 300_000;
/// The least memory and the least disk, in bytes; and since 1.17.
const LEAST: (u64, u64) = (128 << 20, 512 << 20);
const LEAST_SINCE_1_17: (u64, u64) = (512 << 20, 1 << 30);

/// What is asked of the daemon.
struct Request {
    image: String,
    name: String,
    cpus: u32,
    memory: u64,
    disk: u64,
    timeout: Option<u64>,
    user_data: UserData,
}

pub(super) fn run(call: &mut Call, parsed: &Parsed) -> io::Result<u8> {
    let request = match read(call, parsed)? {
        Ok(request) => request,
        Err(text) => return Ok(call.refuse(&text)),
    };
    if let Err(code) = call.daemon("launch")? {
        return Ok(code);
    }
    let started = now();
    let instance = match make(call, &request)? {
        Ok(instance) => instance,
        Err(message) => return Ok(call.fail("launch", &message)),
    };
    if let Effect::KillWhilePreparing(millis) = struck(call) {
        // The daemon goes on without its client.
        postpone(call, &request.name, millis)?;
        call.kill_polis();
        return Ok(137);
    }
    wait(call, &request, &instance, started)
}

/// The fault that decides how a launch goes.
fn struck(call: &Call) -> Effect {
    let decides = |effect: &&Effect| {
        matches!(
            effect,
            Effect::KillWhilePreparing(_)
                | Effect::ClientTimeout
                | Effect::InitTimeout
                | Effect::SshTimeout
                | Effect::DiesStarting
        )
    };
    let found = call.effects.iter().find(decides);
    found.cloned().unwrap_or(Effect::Slow(0))
}

/// What the client reads and checks by itself.
fn read(call: &mut Call, parsed: &Parsed) -> io::Result<Result<Request, String>> {
    let cpus = parsed.value("cpus").unwrap_or("1");
    let Some(cpus) = cpus.parse::<u32>().ok().filter(|count| *count > 0) else {
        return Ok(Err(format!("Error: invalid CPU count '{cpus}'\n")));
    };
    let mut sizes = [0; 2];
    for (size, (option, default)) in sizes.iter_mut().zip([("memory", "1G"), ("disk", "5G")]) {
        let text = parsed.value(option).unwrap_or(default);
        match grammar::size(text) {
            Some(bytes) => *size = bytes,
            None => return Ok(Err(format!("error: {text} is not a valid memory size\n"))),
        }
    }
    let timeout = match power::timeout(parsed.value("timeout")) {
        Ok(timeout) => timeout,
        Err(text) => return Ok(Err(text.to_owned())),
    };
    let user_data = match parsed.value("cloud-init") {
        None => String::new(),
        Some("-") => String::from_utf8_lossy(&call.read_stdin()?).into_owned(),
        Some(path) => match read_file(path) {
            Some(text) => text,
            None => return Ok(Err(bad_cloud_init(&format!("bad file: {path}")))),
        },
    };
    let user_data = match UserData::read(&user_data) {
        Ok(user_data) => user_data,
        Err(message) => return Ok(Err(bad_cloud_init(&message))),
    };
    Ok(Ok(Request {
        image: parsed
            .positional
            .first()
            .map_or("24.04", String::as_str)
            .to_owned(),
        // The real one thinks of a name; ours has one that nobody else would.
        name: parsed.value("name").unwrap_or("fabulous-fake").to_owned(),
        cpus,
        memory: sizes[0],
        disk: sizes[1],
        timeout,
        user_data,
    }))
}

fn bad_cloud_init(message: &str) -> String {
    format!(
        "Could not load cloud-init configuration: {message}\nPlease ensure that Multipass can read it.\n"
    )
}

/// The text of a regular file or of a fifo; nothing else is accepted.
fn read_file(path: &str) -> Option<String> {
    let kind = fs::metadata(path).ok()?.file_type();
    let bytes = (kind.is_file() || kind.is_fifo())
        .then(|| fs::read(path).ok())
        .flatten()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// What the daemon checks.
fn check(state: &State, request: &Request) -> Result<(), String> {
    let name = &request.name;
    let invalid = |what: &str, value: &str| {
        Err(format!(
            "Invalid arguments supplied\nInvalid {what} value supplied: {value}."
        ))
    };
    if !grammar::is_name(name) {
        return Err(format!(
            "Invalid arguments supplied\nInvalid instance name supplied: {name}."
        ));
    }
    let least = if state.since_1_17() {
        LEAST_SINCE_1_17
    } else {
        LEAST
    };
    if request.memory < least.0 {
        return invalid("memory size", &request.memory.to_string());
    }
    if request.disk < least.1 {
        return invalid("disk size", &request.disk.to_string());
    }
    if let Some(found) = state.instances.iter().find(|found| found.name == *name) {
        return Err(if found.preparing(now()) {
            format!("instance \"{name}\" is being prepared")
        } else {
            format!("instance \"{name}\" already exists")
        });
    }
    if !state.images.contains(&request.image) {
        return Err(format!(
            "Unable to find an image matching \"{}\" in remote \"\".",
            request.image
        ));
    }
    if request.disk < state.minimum_disk {
        return Err(format!(
            "Requested disk ({} bytes) below minimum for this image ({} bytes)",
            request.disk, state.minimum_disk
        ));
    }
    Ok(())
}

/// Makes the instance and what will become of it; the inner error is the daemon's.
fn make(call: &mut Call, request: &Request) -> io::Result<Result<Instance, String>> {
    let guest = call.store.guest(&request.name);
    // Made beside its place, so that of two launches at once the first takes it and the second is refused.
    let staged = guest.staged(call.number);
    staged.make()?;
    let ignored = call.struck(&Effect::UserDataIgnored);
    let user_data = if ignored {
        UserData::default()
    } else {
        request.user_data.clone()
    };
    staged.write_user_data(&user_data)?;
    let made = call.store.update(|state| {
        check(state, request)?;
        guest
            .replace_by(&staged)
            .map_err(|error| error.to_string())?;
        let instance = instance(call, state, request, &user_data);
        if struck(call) != Effect::DiesStarting {
            state.instances.push(instance.clone());
        }
        Ok(instance)
    })?;
    staged.remove()?;
    call.end.changed_vm |= made.is_ok();
    Ok(made)
}

fn instance(call: &Call, state: &State, request: &Request, user_data: &UserData) -> Instance {
    let prepared_at = now() + state.timing.image;
    let booted_at = prepared_at + state.timing.boot;
    let fails = call.effects.iter().find_map(|effect| match effect {
        Effect::StepFails(step, message) => Some((step.clone(), message.clone())),
        _ => None,
    });
    Instance {
        name: request.name.clone(),
        image: request.image.clone(),
        cpus: request.cpus,
        memory: request.memory,
        disk: request.disk,
        power: Power::Running,
        prepared_at,
        booted_at,
        provision: user_data.provision(booted_at, state.timing.provision, fails),
        degraded: call.struck(&Effect::Degraded) || user_data.degrades(),
        cloud_init_failed: false,
        ssh: true,
        docker: false,
    }
}

/// Keeps the daemon busy with the instance for so long.
fn postpone(call: &Call, name: &str, millis: u64) -> io::Result<()> {
    call.store.update(|state| {
        let found = state
            .instances
            .iter_mut()
            .find(|instance| instance.name == name);
        if let Some(instance) = found {
            instance.prepared_at += millis;
            instance.booted_at += millis;
            if let Some(run) = &mut instance.provision {
                run.starts_at += millis;
            }
        }
    })
}

/// Waits as client and daemon do, each with its own limit.
fn wait(call: &mut Call, request: &Request, instance: &Instance, started: u64) -> io::Result<u8> {
    let name = &request.name;
    let limit = request.timeout.unwrap_or(DEFAULT_LIMIT);
    let client_ends = request.timeout.map(|limit| started + limit);
    let struck = struck(call);
    let until = |time: u64| match client_ends {
        Some(ends) if ends <= time && now() < time => {
            wait_until(ends);
            false
        }
        _ => {
            wait_until(time);
            true
        }
    };
    call.spinner("Retrieving image: 100%");
    call.spinner(&format!("Creating {name}"));
    if !until(instance.prepared_at) || struck == Effect::ClientTimeout {
        return Ok(client_timeout(call));
    }
    call.spinner(&format!("Starting {name}"));
    if struck == Effect::DiesStarting {
        call.store.guest(name).remove()?;
        let message = errors(&format!("{name}: The instance died while starting"));
        return Ok(call.fail("launch", &message));
    }
    let ssh_ends = instance.prepared_at + limit;
    if struck == Effect::SshTimeout || instance.booted_at > ssh_ends {
        if struck != Effect::SshTimeout && !until(ssh_ends) {
            return Ok(client_timeout(call));
        }
        call.store
            .change(name, |instance| instance.power = Power::Unknown)?;
        let message = errors(&format!("{name}: timed out waiting for response"));
        return Ok(call.fail("launch", &message));
    }
    if !until(instance.booted_at) {
        return Ok(client_timeout(call));
    }
    call.spinner("Waiting for initialization to complete");
    let run = instance.provision.as_ref();
    let finished = run.map_or(instance.booted_at, |run| run.starts_at + run.takes);
    let init_ends = instance.booted_at + limit;
    if struck == Effect::InitTimeout || finished > init_ends {
        if struck != Effect::InitTimeout && !until(init_ends) {
            return Ok(client_timeout(call));
        }
        let what = "timed out waiting for initialization to complete";
        return Ok(call.fail("launch", &errors(&format!("{name}: {what}"))));
    }
    if !until(finished) {
        return Ok(client_timeout(call));
    }
    call.clear();
    let zone = if call.store.look()?.since_1_17() {
        " in zone1"
    } else {
        ""
    };
    call.out(&format!("Launched: {name}{zone}\n"));
    Ok(0)
}

fn client_timeout(call: &Call) -> u8 {
    call.clear();
    call.err("Timed out waiting for instance launch.\n");
    5
}
