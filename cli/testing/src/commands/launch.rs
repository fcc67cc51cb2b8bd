//! `multipass launch`: makes the checks of client and daemon, then creates a machine and decides at once how it will develop.

use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt;

use super::answers::errors;
use super::power::{self, DEFAULT_LIMIT};
use crate::call::{Call, log_line};
use crate::fault::Effect;
use crate::grammar::{self, Grammar, Parsed};
use crate::guest::user_data::UserData;
use crate::store::now;
use crate::store::state::{Instance, Power, State};

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

/// When SSH answers if the machine never comes up, or if the clock does not end its first boot.
const NEVER: u64 = u64::MAX / 2;
/// The minimum memory and disk in bytes, and those since 1.17.
const LEAST: (u64, u64) = (128 << 20, 512 << 20);
const LEAST_SINCE_1_17: (u64, u64) = (512 << 20, 1 << 30);

/// The request to the daemon.
struct Request {
    image: String,
    name: String,
    cpus: u32,
    memory: Size,
    disk: Size,
    timeout: Option<u64>,
    user_data: UserData,
}

/// A size in bytes, and as typed.
#[derive(Debug, Clone, Default)]
struct Size {
    bytes: u64,
    typed: String,
}

pub(super) fn run(call: &mut Call, parsed: &Parsed) -> io::Result<u8> {
    let request = match read(call, parsed)? {
        Ok(request) => request,
        Err(text) => return Ok(call.refuse(&text)),
    };
    let client_ends = request.timeout.map(|limit| now() + limit);
    if let Err(code) = call.daemon("launch")? {
        return Ok(code);
    }
    if let Err(message) = make(call, &request)? {
        call.clear();
        return Ok(call.fail("launch", &message));
    }
    if let Effect::KillWhilePreparing(millis) = struck(call) {
        // The daemon continues without its client.
        postpone(call, &request.name, millis)?;
        call.kill_polis();
        return Ok(137);
    }
    wait(call, &request, client_ends)
}

/// The fault that decides the outcome of a launch.
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

/// Parses and checks the options, as the client does.
fn read(call: &mut Call, parsed: &Parsed) -> io::Result<Result<Request, String>> {
    let cpus = parsed.value("cpus").unwrap_or("1");
    let Some(cpus) = cpus.parse::<u32>().ok().filter(|count| *count > 0) else {
        return Ok(Err(format!(
            "Error: invalid CPU count '{cpus}', need a positive integer value.\n"
        )));
    };
    let mut sizes = [Size::default(), Size::default()];
    for (size, (option, default)) in sizes.iter_mut().zip([("memory", "1G"), ("disk", "5G")]) {
        let typed = parsed.value(option).unwrap_or(default);
        let Some(bytes) = grammar::size(typed) else {
            let text = format!(
                "Caught an unhandled exception: {typed} is not a valid memory size - need a number and a unit"
            );
            return Ok(Err(log_line("client", &text)));
        };
        *size = Size {
            bytes,
            typed: typed.to_owned(),
        };
    }
    let [memory, disk] = sizes;
    let timeout = match power::timeout(parsed.value("timeout")) {
        Ok(timeout) => timeout,
        Err(text) => return Ok(Err(text.to_owned())),
    };
    let user_data = match parsed.value("cloud-init") {
        None => String::new(),
        Some("-") => String::from_utf8_lossy(&call.read_stdin()?).into_owned(),
        Some(path) => match read_file(path) {
            Some(text) => text,
            None => {
                let text = format!(
                    "{BAD_CLOUD_INIT}: bad file: {path}\nPlease ensure that Multipass can read it.\n"
                );
                return Ok(Err(text));
            }
        },
    };
    let user_data = match UserData::read(&user_data) {
        Ok(user_data) => user_data,
        Err(message) => {
            // Our YAML parser says `yaml: line L, column C: what`.
            let (at, what) = message
                .strip_prefix("yaml: ")
                .and_then(|rest| rest.split_once(": "))
                .unwrap_or(("line 1, column 1", &message));
            let text = format!("{BAD_CLOUD_INIT}: yaml-cpp: error at {at}: {what}\n");
            return Ok(Err(text));
        }
    };
    Ok(Ok(Request {
        image: parsed
            .positional
            .first()
            .map_or("24.04", String::as_str)
            .to_owned(),
        // The real one generates a name; ours is fixed and used nowhere else.
        name: parsed.value("name").unwrap_or("fabulous-fake").to_owned(),
        cpus,
        memory,
        disk,
        timeout,
        user_data,
    }))
}

/// The start of an error about user-data.
const BAD_CLOUD_INIT: &str = "Could not load cloud-init configuration";

/// Reads a regular file or a FIFO; refuses anything else.
fn read_file(path: &str) -> Option<String> {
    let kind = fs::metadata(path).ok()?.file_type();
    let bytes = (kind.is_file() || kind.is_fifo())
        .then(|| fs::read(path).ok())
        .flatten()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// Makes the daemon's checks.
fn check(state: &State, request: &Request) -> Result<(), String> {
    let name = &request.name;
    let invalid = |what: &str, size: &Size| {
        Err(format!(
            "Invalid arguments supplied\nInvalid {what} value supplied: {}.",
            size.typed
        ))
    };
    if !grammar::is_name(name) {
        return Err(format!(
            "Invalid arguments supplied\nInvalid instance name supplied: {name}"
        ));
    }
    let least = if state.since_1_17() {
        LEAST_SINCE_1_17
    } else {
        LEAST
    };
    if request.memory.bytes < least.0 {
        return invalid("memory size", &request.memory);
    }
    if request.disk.bytes < least.1 {
        return invalid("disk size", &request.disk);
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
    if request.disk.bytes < state.minimum_disk {
        return Err(format!(
            "Requested disk ({} bytes) below minimum for this image ({} bytes)",
            request.disk.bytes, state.minimum_disk
        ));
    }
    Ok(())
}

/// Creates the instance and decides how it will develop; the inner error is the daemon's.
fn make(call: &mut Call, request: &Request) -> io::Result<Result<(), String>> {
    let guest = call.store.guest(&request.name);
    // Created under another name and then renamed, so that of two concurrent launches the second is refused.
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
            state.instances.push(instance);
        }
        Ok(())
    })?;
    staged.remove()?;
    call.end.changed_vm |= made.is_ok();
    Ok(made)
}

fn instance(call: &Call, state: &State, request: &Request, user_data: &UserData) -> Instance {
    let prepared_at = now() + state.timing.image;
    let by_itself = struck(call) != Effect::SshTimeout;
    let booted_at = match (by_itself, state.timing.boot_lists) {
        (true, 0) => prepared_at + state.timing.boot,
        _ => NEVER,
    };
    let limit = request.timeout.unwrap_or(DEFAULT_LIMIT);
    let gives_up_at = prepared_at + if by_itself { limit } else { 0 };
    let fails = call.effects.iter().find_map(|effect| match effect {
        Effect::StepFails(step, message) => Some((step.clone(), message.clone())),
        _ => None,
    });
    Instance {
        name: request.name.clone(),
        image: request.image.clone(),
        cpus: request.cpus,
        memory: request.memory.bytes,
        disk: request.disk.bytes,
        power: Power::Running,
        prepared_at,
        booted_at,
        lists_to_boot: state.timing.boot_lists,
        gives_up_at,
        leased: false,
        provision: user_data.provision(booted_at, state.timing.provision, fails),
        degraded: call.struck(&Effect::Degraded) || user_data.degrades(),
        cloud_init_failed: false,
        ssh: true,
        session: false,
        docker: false,
        snapshots: Vec::new(),
        snapshots_taken: 0,
        snapshot_parent: None,
    }
}

/// Keeps the daemon busy with the instance for this long.
fn postpone(call: &Call, name: &str, millis: u64) -> io::Result<()> {
    call.store.update(|state| {
        let found = state
            .instances
            .iter_mut()
            .find(|instance| instance.name == name);
        if let Some(instance) = found {
            instance.prepared_at += millis;
            instance.booted_at += millis;
            instance.gives_up_at += millis;
            if let Some(run) = &mut instance.provision {
                run.starts_at += millis;
            }
        }
    })
}

/// How a stage of a launch ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Done,
    /// With the daemon's error about the instance.
    Failed(&'static str),
}

/// Waits as client and daemon do, each with its own timeout.
fn wait(call: &mut Call, request: &Request, client_ends: Option<u64>) -> io::Result<u8> {
    let name = &request.name;
    let struck = struck(call);
    call.stage("Retrieving image: 100%");
    if struck == Effect::DiesStarting {
        call.stage(&format!("Starting {name}"));
        call.clear();
        call.store.guest(name).remove()?;
        return Ok(failed(call, name, DIED));
    }
    let init_limit = match struck {
        Effect::InitTimeout => 0,
        _ => request.timeout.unwrap_or(DEFAULT_LIMIT),
    };
    let stages = [
        format!("Creating {name}"),
        format!("Starting {name}"),
        "Waiting for initialization to complete".to_owned(),
    ];
    for (number, text) in stages.iter().enumerate() {
        let stage = call.spin(text, client_ends, |state| {
            let found = state.instances.iter().find(|found| found.name == *name);
            match (number, found) {
                (_, None) => Some(Stage::Failed(DIED)),
                (0, Some(instance)) => (!instance.preparing(now())).then_some(Stage::Done),
                (1, Some(instance)) => up(instance),
                (_, Some(instance)) => initialized(instance, init_limit),
            }
        })?;
        match stage {
            None => return Ok(client_timeout(call)),
            _ if struck == Effect::ClientTimeout && number == 0 => return Ok(client_timeout(call)),
            Some(Stage::Failed(message)) => return Ok(failed(call, name, message)),
            Some(Stage::Done) => {}
        }
    }
    let zone = match call.store.look()?.since_1_17() {
        true => " in zone1",
        false => "",
    };
    call.out(&format!("Launched: {name}{zone}\n"));
    Ok(0)
}

/// The error for an instance that is gone.
const DIED: &str = "The instance died while starting";

/// Whether SSH is up, or the daemon has stopped waiting for it.
fn up(instance: &Instance) -> Option<Stage> {
    match instance.power {
        Power::Running if instance.state(now()) == Power::Running => Some(Stage::Done),
        Power::Running if now() < instance.gives_up_at => None,
        Power::Running => Some(Stage::Failed("timed out waiting for response")),
        _ => Some(Stage::Failed(DIED)),
    }
}

/// Whether cloud-init is done, or the daemon has waited for it longer than `limit`.
fn initialized(instance: &Instance, limit: u64) -> Option<Stage> {
    let run = instance.provision.as_ref();
    if limit > 0 && run.is_none_or(|run| run.ended) {
        return Some(Stage::Done);
    }
    let what = "timed out waiting for initialization to complete";
    (now() >= instance.booted_at + limit).then_some(Stage::Failed(what))
}

fn failed(call: &Call, name: &str, message: &str) -> u8 {
    call.fail("launch", &errors(&format!("{name}: {message}")))
}

fn client_timeout(call: &Call) -> u8 {
    call.err("Timed out waiting for instance launch.\n");
    5
}
