//! Networks: `up` creates them and recreates those whose definition changed; `docker network` connects and disconnects.

use std::io;

use polis_base::Digest;

use super::super::tool::Tool;
use super::container;
use super::engine::Engine;
use super::flags::Flags;
use super::project::Project;
use crate::world::now;

/// Makes the networks of a project, for the services in `order`. One whose definition has changed is removed first, with
/// the containers of these services stopped; one of another service that runs on it is in the way.
pub(super) fn make(
    tool: &mut Tool,
    project: &Project,
    order: &[&str],
) -> io::Result<Result<(), String>> {
    let state = tool.guest.store.look()?;
    for (network, digest) in &project.networks {
        let name = project.full(network);
        let mut engine = Engine::look(&tool.guest)?;
        match engine.networks.get(&name) {
            Some(found) if found == digest => continue,
            None => {}
            Some(found) => {
                let id = Digest::of(found.as_bytes()).hex();
                for container in engine.containers.values_mut() {
                    let on = container.networks.contains(&name);
                    if !on || !container.status(&state, now()).runs() {
                        continue;
                    }
                    if !order.contains(&container.service.as_str()) {
                        return Ok(Err(format!(
                            "Error response from daemon: error while removing network: network {name} id {id} has \
                             active endpoints"
                        )));
                    }
                    container.ended = Some(137);
                }
                tool.call.err(&format!(" Network {name}  Removed\n"));
            }
        }
        engine.networks.insert(name.clone(), digest.clone());
        Engine::update(&tool.guest, |now| *now = engine)?;
        tool.call.end.changed_guest = true;
        tool.call.err(&format!(" Network {name}  Created\n"));
    }
    Ok(Ok(()))
}

/// What `up --dry-run` says of networks.
pub(super) fn diverged(tool: &Tool, project: &Project) -> io::Result<()> {
    let engine = Engine::look(&tool.guest)?;
    for (network, digest) in &project.networks {
        let name = project.full(network);
        if engine
            .networks
            .get(&name)
            .is_some_and(|found| found != digest)
        {
            tool.call
                .err(&format!(" DRY-RUN MODE -  Network {name}  Removed\n"));
        }
    }
    Ok(())
}

/// `docker network connect` and `docker network disconnect`.
pub(super) fn run(tool: &mut Tool, args: &[String]) -> io::Result<u8> {
    const FLAGS: Flags = Flags {
        valued: &["alias", "ip"],
        bare: &["force", "f"],
        stops: false,
    };
    let parsed = match FLAGS.parse(args) {
        Ok(parsed) => parsed,
        Err(text) => return Ok(tool.refuse(125, &text)),
    };
    let [verb, network, named] = parsed.words.as_slice() else {
        return Ok(tool.refuse(1, "docker network: not played with these arguments\n"));
    };
    let engine = Engine::look(&tool.guest)?;
    let Some((name, found)) = engine.find(named) else {
        let text = format!("Error response from daemon: No such container: {named}\n");
        tool.call.err(&text);
        return Ok(1);
    };
    let connects = verb == "connect";
    let missing = connects && !engine.networks.contains_key(network);
    if missing || found.networks.contains(network) == connects {
        let text = match (missing, connects) {
            (true, _) => format!("network {network} not found"),
            (_, true) => format!(
                "endpoint with name {} already exists in network {network}",
                container::name(&found.project, &found.service)
            ),
            _ => format!(
                "container {} is not connected to network {network}",
                found.id
            ),
        };
        tool.call
            .err(&format!("Error response from daemon: {text}\n"));
        return Ok(1);
    }
    let name = name.clone();
    Engine::update(&tool.guest, |engine| {
        if let Some(container) = engine.containers.get_mut(&name) {
            if connects {
                container.networks.insert(network.clone());
            } else {
                container.networks.remove(network);
            }
        }
    })?;
    tool.call.end.changed_guest = true;
    Ok(0)
}
