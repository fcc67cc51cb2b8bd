//! `docker compose stop`, `restart` and `down`.

use std::io;

use super::super::tool::Tool;
use super::container;
use super::engine::{self, Engine};
use super::flags::{Flags, Parsed};
use super::project::Project;
use crate::world::now;

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
    let (gone, removed) = Engine::update(&tool.guest, |engine| {
        let before = engine.containers.len() + engine.networks.len();
        let gone = engine.of(project).cloned().collect::<Vec<_>>();
        engine
            .containers
            .retain(|_, container| container.project != project.name);
        let prefix = format!("{}_", project.name);
        engine.networks.retain(|name, _| !name.starts_with(&prefix));
        let after = engine.containers.len() + engine.networks.len();
        (gone, before - after)
    })?;
    for container in &gone {
        engine::forget_layer(&tool.guest, container)?;
    }
    tool.call.end.changed_guest |= removed > 0;
    Ok(0)
}
