//! `docker compose up`, `stop`, `restart` and `down`.

use std::fs;
use std::io;

use super::super::paths;
use super::super::tool::Tool;
use super::container::{self, Container, Status};
use super::engine::Engine;
use super::flags::{Flags, Parsed};
use super::project::{Condition, Project, Spec};
use super::statuses;
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
pub(super) const STOP: Flags = Flags {
    valued: &["timeout", "t"],
    bare: &[],
    stops: false,
};
pub(super) const DOWN: Flags = Flags {
    valued: &["timeout", "t", "rmi"],
    bare: &["volumes", "v", "remove-orphans"],
    stops: false,
};

pub(super) fn run(tool: &mut Tool, project: &Project, parsed: &Parsed) -> io::Result<u8> {
    if !parsed.has(&["detach", "d", "wait"]) {
        return Ok(tool.refuse(1, "up: not played without --detach\n"));
    }
    let order = match project.in_order(&parsed.words) {
        Ok(order) => order,
        Err(message) => return fails(tool, &message),
    };
    if let Some(message) = missing_image(tool, project, &order)? {
        return fails(tool, &message);
    }
    networks(tool, project)?;
    orphans(tool, project, parsed.has(&["remove-orphans"]))?;
    for service in &order {
        if let Err(message) = create(tool, project, service, parsed.has(&["force-recreate"]))? {
            return fails(tool, &message);
        }
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

fn networks(tool: &mut Tool, project: &Project) -> io::Result<()> {
    for network in &project.networks {
        let name = format!("{}_{network}", project.name);
        if Engine::update(&tool.guest, |engine| engine.networks.insert(name.clone()))? {
            tool.call.end.changed_guest = true;
            tool.call.err(&format!(" Network {name}  Created\n"));
        }
    }
    Ok(())
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
        Engine::update(&tool.guest, |engine| engine.containers.remove(&name))?;
        tool.call.end.changed_guest = true;
        tool.call.err(&format!(" Container {name}  Removed\n"));
    }
    Ok(())
}

/// Makes the container of a service, unless it is there as it should be.
fn create(
    tool: &mut Tool,
    project: &Project,
    service: &str,
    force: bool,
) -> io::Result<Result<(), String>> {
    let spec = &project.services[service];
    let name = container::name(&project.name, service);
    let made = Engine::update(&tool.guest, |engine| {
        let found = engine.containers.get(&name);
        if found.is_some_and(|found| found.config == spec.digest && !force) {
            return None;
        }
        let verb = if found.is_some() {
            "Recreated"
        } else {
            "Created"
        };
        let container = Container::create(project, service, spec);
        engine.containers.insert(name.clone(), container);
        Some(verb)
    })?;
    if let Some(verb) = made {
        tool.call.end.changed_guest = true;
        tool.call.err(&format!(" Container {name}  {verb}\n"));
        return mounts(spec);
    }
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
    loop {
        let state = tool.guest.store.look()?;
        let mut waiting = Vec::new();
        for service in left {
            let engine = Engine::look(&tool.guest)?;
            let statuses = statuses(&engine, project, &state);
            let mut ready = true;
            for (on, condition) in &project.services[service].depends {
                match reached(project, on, *condition, statuses.get(on)) {
                    Ok(reached) => ready &= reached,
                    Err(message) => return Ok(Err(message)),
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
        Condition::Healthy => match (status.state, status.health) {
            (_, "healthy") => Ok(true),
            (_, "unhealthy") => Err(format!(
                "dependency failed to start: container {name} is unhealthy"
            )),
            ("exited" | "restarting", _) => Err(format!(
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
    let name = container::name(&project.name, service);
    if status.is_some_and(Status::runs) {
        tool.call.err(&format!(" Container {name}  Running\n"));
        return Ok(());
    }
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
    let completes = |service: &str| {
        project.services.values().any(|spec| {
            let wanted = (service.to_owned(), Condition::Completed);
            spec.depends.contains(&wanted)
        })
    };
    loop {
        let state = tool.guest.store.look()?;
        let statuses = statuses(&Engine::look(&tool.guest)?, project, &state);
        let mut done = true;
        for service in order {
            let name = container::name(&project.name, service);
            match statuses.get(*service) {
                Some(Status {
                    health: "unhealthy",
                    ..
                }) => {
                    return Ok(Err(format!("container {name} is unhealthy")));
                }
                Some(Status {
                    state: "exited" | "restarting",
                    code,
                    ..
                }) if *code != 0 || !completes(service) => {
                    return Ok(Err(format!("container {name} exited ({code})")));
                }
                Some(Status {
                    health: "starting", ..
                }) => done = false,
                Some(Status {
                    state: "running", ..
                }) if completes(service) => done = false,
                _ => {}
            }
        }
        if done {
            return Ok(Ok(()));
        }
        std::thread::sleep(process::TICK);
    }
}

/// `stop`: containers that are stopped so stay so after a boot.
pub(super) fn stop(tool: &mut Tool, project: &Project, parsed: &Parsed) -> io::Result<u8> {
    let state = tool.guest.store.look()?;
    let stopped = Engine::update(&tool.guest, |engine| {
        let mut stopped = Vec::new();
        for container in engine.containers.values_mut() {
            let meant = container.project == project.name
                && (parsed.words.is_empty() || parsed.words.contains(&container.service));
            if meant && container.status(&state, now()).runs() {
                container.ended = Some(0);
                stopped.push(container::name(&project.name, &container.service));
            }
        }
        stopped
    })?;
    for name in &stopped {
        tool.call.err(&format!(" Container {name}  Stopped\n"));
    }
    tool.call.end.changed_guest |= !stopped.is_empty();
    Ok(0)
}

/// `restart`.
pub(super) fn restart(tool: &mut Tool, project: &Project, parsed: &Parsed) -> io::Result<u8> {
    stop(tool, project, parsed)?;
    Engine::update(&tool.guest, |engine| {
        for container in engine.containers.values_mut() {
            let named = parsed.words.is_empty() || parsed.words.contains(&container.service);
            if named && container.project == project.name {
                container.start(now());
            }
        }
    })?;
    tool.call.end.changed_guest = true;
    Ok(0)
}

/// `down`: removes containers and networks.
pub(super) fn down(tool: &mut Tool, project: &Project, _: &Parsed) -> io::Result<u8> {
    let removed = Engine::update(&tool.guest, |engine| {
        let before = engine.containers.len() + engine.networks.len();
        engine
            .containers
            .retain(|_, container| container.project != project.name);
        let prefix = format!("{}_", project.name);
        engine.networks.retain(|name| !name.starts_with(&prefix));
        before - engine.containers.len() - engine.networks.len()
    })?;
    tool.call.end.changed_guest |= removed > 0;
    Ok(0)
}
