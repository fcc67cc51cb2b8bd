//! `docker compose up`: creates containers, and starts them in the order of their dependencies.

use std::fs;
use std::io;
use std::time::Instant;

use polis_base::Digest;

use super::engine::{Container, Engine, Status, runs};
use super::project::{Project, Service, container, volume};
use crate::process;
use crate::store::now;
use crate::tools::tool::Tool;

/// `up FLAGS SERVICES`; without services, all of them.
pub(super) fn run(tool: &mut Tool, project: &Project, words: &[&str]) -> io::Result<u8> {
    let (flags, named): (Vec<&str>, Vec<&str>) =
        words.iter().partition(|word| word.starts_with("--"));
    let chosen: Vec<(&String, &Service)> = project
        .services
        .iter()
        .filter(|(name, _)| named.is_empty() || named.contains(&name.as_str()))
        .collect();
    let images = Engine::look(&tool.guest)?.images;
    let absent = chosen
        .iter()
        .find(|(_, service)| !images.contains(&service.image));
    // The real one would pull the image. Here that is an error, because it would hide a forgotten pull.
    if let Some((_, service)) = absent {
        let text = format!(
            "Error response from daemon: No such image: {}",
            service.image
        );
        return Ok(tool.fail(&text));
    }
    for name in project.volumes.values() {
        fs::create_dir_all(tool.guest.path(&volume(name)))?;
    }
    let forced = flags.contains(&"--force-recreate");
    let kept = flags.contains(&"--no-recreate");
    let number = tool.call.number;
    Engine::update(tool, |engine| {
        if flags.contains(&"--remove-orphans") {
            let containers = &mut engine.containers;
            containers.retain(|name, _| project.services.contains_key(name));
        }
        for (name, service) in &chosen {
            let found = engine.containers.get(*name);
            let same = |found: &Container| !forced && found.definition == service.definition;
            if !found.is_some_and(|found| kept || same(found)) {
                let made = created(name, service, number);
                engine.containers.insert((*name).clone(), made);
            }
        }
    })?;
    match flags.contains(&"--no-start") {
        true => Ok(0),
        false => start(tool, chosen, !flags.contains(&"--no-deps")),
    }
}

fn created(name: &str, service: &Service, number: u64) -> Container {
    Container {
        id: Digest::of(format!("{name} {number}").as_bytes()).hex(),
        image: service.image.clone(),
        definition: service.definition.clone(),
        once: service.once,
        mounts: service.mounts.clone(),
        started: None,
    }
}

/// Starts each stopped container; with `in_order`, as soon as its dependencies are ready.
fn start(tool: &mut Tool, mut left: Vec<(&String, &Service)>, in_order: bool) -> io::Result<u8> {
    let started = Instant::now();
    while !left.is_empty() {
        let state = tool.call.store.look()?;
        let engine = Engine::look(&tool.guest)?;
        let mut waiting = Vec::new();
        for (name, service) in left {
            let mut ready = true;
            for on in service.depends.iter().filter(|_| in_order) {
                let found = engine.containers.get(on);
                match found.map_or(Some(false), |found| reached(found.status(&state, on))) {
                    Some(true) => {}
                    None => ready = false,
                    Some(false) => {
                        let text = format!("dependency {} failed to start", container(on));
                        return Ok(tool.fail(&text));
                    }
                }
            }
            if !ready {
                waiting.push((name, service));
            } else if !runs(engine.containers[name].status(&state, name)) {
                Engine::update(tool, |engine| {
                    if let Some(container) = engine.containers.get_mut(name) {
                        container.started = Some(now());
                    }
                })?;
                tool.call
                    .err(&format!(" Container {}  Started\n", container(name)));
            }
        }
        left = waiting;
        if !left.is_empty() {
            std::thread::sleep(process::pause(started.elapsed()));
        }
    }
    Ok(0)
}

/// Whether a dependency is ready; `None` if it is not ready yet.
fn reached(status: Status) -> Option<bool> {
    match status {
        ("exited", _, code) => Some(code == 0),
        (_, "healthy", _) => Some(true),
        (_, "unhealthy", _) | ("restarting", ..) => Some(false),
        _ => None,
    }
}
