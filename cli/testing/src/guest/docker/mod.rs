//! Docker and Compose in the guest: a project that is read for real, and containers that are entries in a file.

mod container;
mod down;
mod engine;
mod flags;
mod inside;
mod interpolate;
mod networks;
mod objects;
mod project;
mod pull;
mod query;
mod up;

use std::io;

use container::Status;
use engine::Engine;
use flags::Flags;
use project::Project;

use super::Guest;
use super::tool::Tool;
use crate::world::now;
use crate::world::state::State;

/// `docker ARGS`.
pub(super) fn run(tool: &mut Tool, args: &[String]) -> io::Result<u8> {
    let state = tool.guest.store.look()?;
    let installed = state
        .find(&tool.guest.name)
        .is_some_and(|instance| instance.docker);
    if !installed {
        tool.call.err("bash: line 1: docker: command not found\n");
        return Ok(127);
    }
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["compose", ..] => compose(tool, &args[1..]),
        ["image", "inspect", ..] => query::image_inspect(tool, &args[2..]),
        ["inspect", ..] => objects::inspect(tool, &args[1..]),
        ["diff", ..] => objects::diff(tool, &args[1..]),
        ["volume", "ls", ..] => objects::volumes(tool, &args[2..]),
        ["network", "connect" | "disconnect", ..] => networks::run(tool, &args[1..]),
        ["info"] => query::info(tool),
        ["info", flag, ..] => Ok(tool.refuse(125, &unknown_flag(flag, "docker info"))),
        ["version", ..] | ["--version"] => query::version(tool, &args[1..]),
        [] => Ok(tool.refuse(1, "Usage:  docker [OPTIONS] COMMAND\n")),
        [other, ..] => {
            let text = format!(
                "docker: unknown command: docker {other}\n\nRun 'docker --help' for more information\n"
            );
            Ok(tool.refuse(1, &text))
        }
    }
}

fn unknown_flag(flag: &str, command: &str) -> String {
    format!(
        "unknown flag: {flag}\n\nUsage:  {command} [OPTIONS]\n\nRun '{command} --help' for more information\n"
    )
}

/// What `docker compose` accepts before its command.
const GLOBAL: Flags = Flags {
    valued: &[
        "file",
        "f",
        "project-directory",
        "project-name",
        "p",
        "env-file",
        "progress",
        "ansi",
        "profile",
    ],
    bare: &["compatibility", "dry-run"],
    stops: true,
};

/// What carries out a command of Compose, and what that accepts.
type Command = (
    &'static str,
    Flags,
    fn(&mut Tool, &Project, &flags::Parsed) -> io::Result<u8>,
);

const COMMANDS: [Command; 9] = [
    ("config", query::CONFIG, query::config),
    ("ps", query::PS, query::ps),
    ("logs", query::LOGS, query::logs),
    ("pull", pull::FLAGS, pull::run),
    ("up", up::FLAGS, up::run),
    ("stop", down::STOP, down::stop),
    ("down", down::DOWN, down::down),
    ("exec", inside::FLAGS, inside::exec),
    ("restart", down::STOP, down::restart),
];

fn compose(tool: &mut Tool, args: &[String]) -> io::Result<u8> {
    let global = match GLOBAL.parse(args) {
        Ok(global) => global,
        Err(text) => return Ok(tool.refuse(1, &text)),
    };
    let Some((name, rest)) = global.words.split_first() else {
        return Ok(tool.refuse(1, "Usage:  docker compose [OPTIONS] COMMAND\n"));
    };
    if name == "version" {
        tool.call.out("Docker Compose version v2.40.3\n");
        return Ok(0);
    }
    let Some((_, flags, run)) = COMMANDS.iter().find(|(found, ..)| found == name) else {
        let text = format!("unknown docker command: \"compose {name}\"\n");
        return Ok(tool.refuse(1, &text));
    };
    let parsed = match flags.parse(rest) {
        Ok(parsed) => parsed,
        Err(text) => return Ok(tool.refuse(1, &text)),
    };
    match Project::load(&tool.guest, &global) {
        Ok(project) if global.has(&["dry-run"]) => dry_run(tool, &project, name),
        Ok(project) => run(tool, &project, &parsed),
        Err(message) => {
            let message = super::paths::to_guest(&message, tool.guest.root());
            tool.call.err(&format!("{message}\n"));
            Ok(1)
        }
    }
}

/// `docker compose --dry-run up`, as far as something relies on it: the networks that would be made anew.
fn dry_run(tool: &mut Tool, project: &Project, command: &str) -> io::Result<u8> {
    if command != "up" {
        let text = format!("{command}: not played with --dry-run\n");
        return Ok(tool.refuse(1, &text));
    }
    networks::diverged(tool, project)?;
    Ok(0)
}

/// The ID of the image behind a reference.
fn image_id(image: &str) -> String {
    polis_base::Digest::of(image.as_bytes()).to_string()
}

/// Ends all containers, since the machine goes down.
pub(super) fn shut_down(guest: &Guest) -> io::Result<()> {
    let state = guest.store.look()?;
    Engine::update(guest, |engine| {
        for container in engine.containers.values_mut() {
            if container.status(&state, now()).state == "running" {
                container.went_down = true;
                container.ended = Some(137);
            }
        }
    })
}

/// Brings back what Docker's restart policy brings back after a boot.
pub(super) fn boot(guest: &Guest) -> io::Result<()> {
    Engine::update(guest, |engine| {
        for container in engine.containers.values_mut() {
            if container.went_down && container.restarts {
                container.start(now());
            }
            container.went_down = false;
        }
    })
}

/// The status of each of the project's containers, by service.
fn statuses(
    engine: &Engine,
    project: &Project,
    state: &State,
) -> std::collections::BTreeMap<String, Status> {
    let now = now();
    engine
        .of(project)
        .map(|container| (container.service.clone(), container.status(state, now)))
        .collect()
}
