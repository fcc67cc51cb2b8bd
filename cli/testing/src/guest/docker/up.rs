//! `docker compose up`.

use std::collections::BTreeMap;
use std::fs;
use std::io;

use super::super::paths;
use super::super::tool::Tool;
use super::container::{self, Container, Status};
use super::engine::{self, Engine};
use super::flags::{Flags, Parsed};
use super::project::{Condition, Project, Spec};
use super::{inside, networks, statuses};
use crate::process;
use crate::world::now;

pub(super) const FLAGS: Flags = Flags {
    valued: &["wait-timeout", "timeout", "t", "scale", "pull"],
    bare: &[
        "detach",
        "d",
        "no-build",
        "force-recreate",
        "no-recreate",
        "remove-orphans",
        "wait",
        "quiet-pull",
        "no-color",
        "no-log-prefix",
        "no-deps",
        "no-start",
        "build",
    ],
    stops: false,
};
pub(super) fn run(tool: &mut Tool, project: &Project, parsed: &Parsed) -> io::Result<u8> {
    if !parsed.has(&["detach", "d", "wait", "no-start"]) {
        return Ok(tool.refuse(1, "up: not played without --detach\n"));
    }
    let order = match project.in_order(&parsed.words) {
        Ok(mut order) => {
            let named = |service: &&str| parsed.words.iter().any(|word| word == service);
            if parsed.has(&["no-deps"]) && !parsed.words.is_empty() {
                order.retain(named);
            }
            order
        }
        Err(message) => return fails(tool, &message),
    };
    if let Some(message) = missing_image(tool, project, &order)? {
        return fails(tool, &message);
    }
    if let Err(message) = networks::make(tool, project, &order)? {
        return fails(tool, &message);
    }
    for volume in &project.volumes {
        let name = project.full(volume);
        if Engine::update(&tool.guest, |engine| engine.volumes.insert(name.clone()))? {
            tool.call.end.changed_guest = true;
            tool.call.err(&format!(" Volume {name}  Created\n"));
        }
    }
    orphans(tool, project, parsed.has(&["remove-orphans"]))?;
    for service in &order {
        let named = parsed.words.is_empty() || parsed.words.iter().any(|word| word == service);
        let recreate = if parsed.has(&["no-recreate"]) {
            Recreate::Never
        } else if parsed.has(&["force-recreate"]) && named {
            Recreate::Always
        } else {
            Recreate::Diverged
        };
        if let Err(message) = create(tool, project, service, recreate)? {
            return fails(tool, &message);
        }
    }
    if parsed.has(&["no-start"]) {
        return Ok(0);
    }
    if let Err(message) = start_in_order(tool, project, &order)? {
        return fails(tool, &message);
    }
    if parsed.has(&["wait"])
        && let Err(message) = wait(tool, project, &order)?
    {
        return fails(tool, &message);
    }
    Ok(0)
}

fn fails(tool: &Tool, message: &str) -> io::Result<u8> {
    let message = paths::to_guest(message, tool.guest.root());
    tool.call.err(&format!("{message}\n"));
    Ok(1)
}

/// The real one would pull what is missing; here nothing may rely on that, since it would hide a forgotten pull.
fn missing_image(tool: &Tool, project: &Project, order: &[&str]) -> io::Result<Option<String>> {
    let images = Engine::look(&tool.guest)?.images;
    let missing = order
        .iter()
        .map(|service| &project.services[*service].image)
        .find(|image| !images.contains(*image));
    Ok(missing.map(|image| format!("Error response from daemon: No such image: {image}")))
}

fn orphans(tool: &mut Tool, project: &Project, remove: bool) -> io::Result<()> {
    let names: Vec<String> = Engine::look(&tool.guest)?
        .of(project)
        .filter(|found| !project.services.contains_key(&found.service))
        .map(|found| container::name(&project.name, &found.service))
        .collect();
    if names.is_empty() {
        return Ok(());
    }
    if !remove {
        let list = names.join(" ");
        tool.call.err(&format!(
            "Found orphan containers ([{list}]) for this project. If you removed or renamed this service in your \
             compose file, you can run this command with the --remove-orphans flag to clean it up.\n"
        ));
        return Ok(());
    }
    for name in names {
        let gone = Engine::update(&tool.guest, |engine| engine.containers.remove(&name))?;
        if let Some(gone) = gone {
            engine::forget_layer(&tool.guest, &gone)?;
        }
        tool.call.end.changed_guest = true;
        tool.call.err(&format!(" Container {name}  Removed\n"));
    }
    Ok(())
}

/// When an existing container is recreated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Recreate {
    Never,
    /// When its definition has changed.
    Diverged,
    Always,
}

/// Makes the container of a service, unless it is there as it should be.
fn create(
    tool: &mut Tool,
    project: &Project,
    service: &str,
    recreate: Recreate,
) -> io::Result<Result<(), String>> {
    let spec = &project.services[service];
    let name = container::name(&project.name, service);
    let found = Engine::look(&tool.guest)?.containers.remove(&name);
    let (doing, done) = match &found {
        Some(found)
            if recreate == Recreate::Never
                || (recreate == Recreate::Diverged && found.config == spec.digest) =>
        {
            let state = tool.guest.store.look()?;
            if found.status(&state, now()).runs() {
                tool.call.err(&format!(" Container {name}  Running\n"));
            }
            return Ok(Ok(()));
        }
        Some(_) => ("Recreate", "Recreated"),
        None => ("Creating", "Created"),
    };
    tool.call.err(&format!(" Container {name}  {doing}\n"));
    // A container that cannot be made is not there afterwards.
    if let Err(message) = mounts(spec)? {
        let shown = paths::to_guest(&message, tool.guest.root());
        tool.call.err(&format!(" Container {name}  {shown}\n"));
        return Ok(Err(message));
    }
    if let Some(found) = &found {
        engine::forget_layer(&tool.guest, found)?;
    }
    let container = Container::create(project, service, spec);
    inside::make(&tool.guest, &container)?;
    Engine::update(&tool.guest, |engine| {
        engine.containers.insert(name.clone(), container);
    })?;
    tool.call.end.changed_guest = true;
    tool.call.err(&format!(" Container {name}  {done}\n"));
    Ok(Ok(()))
}

/// What Docker checks, and makes, when it mounts the guest's files.
fn mounts(spec: &Spec) -> io::Result<Result<(), String>> {
    if let Some(missing) = spec.needs.iter().find(|path| !path.exists()) {
        return Ok(Err(format!(
            "Error response from daemon: invalid mount config for type \"bind\": bind source path does not exist: {}",
            missing.display()
        )));
    }
    for path in spec.makes.iter().filter(|path| !path.exists()) {
        fs::create_dir_all(path)?;
    }
    Ok(Ok(()))
}

/// Starts each container as soon as what it waits for is so far.
fn start_in_order(
    tool: &mut Tool,
    project: &Project,
    order: &[&str],
) -> io::Result<Result<(), String>> {
    let mut left: Vec<&str> = order.to_vec();
    let mut awaited: BTreeMap<&str, bool> = BTreeMap::new();
    loop {
        let state = tool.guest.store.look()?;
        let mut waiting = Vec::new();
        for service in left {
            let statuses = statuses(&Engine::look(&tool.guest)?, project, &state);
            let mut ready = true;
            let depends = project.services[service].depends.iter();
            for (on, condition) in depends.filter(|(on, _)| order.contains(&on.as_str())) {
                let reached = reached(project, on, *condition, statuses.get(on));
                ready &= reached == Ok(true);
                tell(tool, project, (on, *condition), &reached, &mut awaited);
                if let Err(message) = reached {
                    return Ok(Err(message));
                }
            }
            if ready {
                start(tool, project, service, statuses.get(service))?;
            } else {
                waiting.push(service);
            }
        }
        if waiting.is_empty() {
            return Ok(Ok(()));
        }
        left = waiting;
        std::thread::sleep(process::TICK);
    }
}

/// Shows what is waited for, once, and how that ended.
fn tell<'a>(
    tool: &Tool,
    project: &Project,
    (on, condition): (&'a str, Condition),
    reached: &Result<bool, String>,
    awaited: &mut BTreeMap<&'a str, bool>,
) {
    if condition == Condition::Started {
        return;
    }
    let name = container::name(&project.name, on);
    let say = |word: &str| tool.call.err(&format!(" Container {name}  {word}\n"));
    if !awaited.contains_key(on) {
        say("Waiting");
    }
    let over = awaited.entry(on).or_default();
    match (reached, condition) {
        (Ok(true), _) if *over => {}
        (Ok(true), Condition::Completed) => say("Exited"),
        (Ok(true), _) => say("Healthy"),
        (Ok(false), _) => return,
        (Err(message), Condition::Completed) => say(message),
        (Err(_), _) => say("Error"),
    }
    *over = true;
}

/// Whether a dependency is as far as it has to be; an error when it never will be.
fn reached(
    project: &Project,
    on: &str,
    condition: Condition,
    status: Option<&Status>,
) -> Result<bool, String> {
    let Some(status) = status.filter(|status| status.state != "created") else {
        return Ok(false);
    };
    let name = container::name(&project.name, on);
    let code = status.code;
    match condition {
        Condition::Started => Ok(true),
        Condition::Completed if status.state != "exited" => Ok(false),
        Condition::Completed if code == 0 => Ok(true),
        Condition::Completed => Err(format!(
            "service \"{on}\" didn't complete successfully: exit {code}"
        )),
        Condition::Healthy if !project.services[on].checked => Err(format!(
            "dependency failed to start: container {name} has no healthcheck configured"
        )),
        Condition::Healthy => match (status.state, status.health) {
            (_, "healthy") => Ok(true),
            // The monitor of a container that is down says so.
            (_, "unhealthy") | ("restarting", _) => Err(format!(
                "dependency failed to start: container {name} is unhealthy"
            )),
            ("exited", _) => Err(format!(
                "dependency failed to start: container {name} exited ({code})"
            )),
            _ => Ok(false),
        },
    }
}

/// Starts a container that does not run. One that did its work and ended is started again, as Compose does.
fn start(
    tool: &mut Tool,
    project: &Project,
    service: &str,
    status: Option<&Status>,
) -> io::Result<()> {
    if status.is_some_and(Status::runs) {
        return Ok(());
    }
    let name = container::name(&project.name, service);
    tool.call.err(&format!(" Container {name}  Starting\n"));
    Engine::update(&tool.guest, |engine| {
        if let Some(container) = engine.containers.get_mut(&name) {
            container.start(now());
        }
    })?;
    tool.call.end.changed_guest = true;
    tool.call.err(&format!(" Container {name}  Started\n"));
    Ok(())
}

/// `--wait`: until every container is healthy, or has ended well where another one waits for that.
fn wait(tool: &Tool, project: &Project, order: &[&str]) -> io::Result<Result<(), String>> {
    loop {
        let state = tool.guest.store.look()?;
        let statuses = statuses(&Engine::look(&tool.guest)?, project, &state);
        let mut done = true;
        for service in order {
            match is_well(project, service, statuses.get(*service)) {
                Ok(well) => done &= well,
                Err(message) => return Ok(Err(message)),
            }
        }
        if done {
            return Ok(Ok(()));
        }
        std::thread::sleep(process::TICK);
    }
}

fn is_well(project: &Project, service: &str, status: Option<&Status>) -> Result<bool, String> {
    let wanted = (service.to_owned(), Condition::Completed);
    let mut others = project.services.values();
    let completes = others.any(|other| other.depends.contains(&wanted));
    let name = container::name(&project.name, service);
    let Some(Status {
        state,
        health,
        code,
    }) = status
    else {
        return Ok(false);
    };
    match (*state, *health) {
        (_, "unhealthy") | ("restarting", _) => Err(format!("container {name} is unhealthy")),
        ("exited", _) if *code == 0 && completes => Ok(true),
        ("exited", _) => Err(format!("container {name} exited ({code})")),
        (_, "starting") => Ok(false),
        _ => Ok(!completes),
    }
}
