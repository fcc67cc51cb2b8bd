//! `docker compose pull`.

use std::collections::BTreeSet;
use std::io;

use super::super::tool::Tool;
use super::engine::Engine;
use super::flags::{Flags, Parsed};
use super::project::Project;
use crate::commands::call::wait_until;
use crate::world::now;

pub(super) const FLAGS: Flags = Flags {
    valued: &["policy"],
    bare: &[
        "quiet",
        "q",
        "ignore-buildable",
        "ignore-pull-failures",
        "include-deps",
        "no-parallel",
    ],
    stops: false,
};

pub(super) fn run(tool: &mut Tool, project: &Project, parsed: &Parsed) -> io::Result<u8> {
    let quiet = parsed.has(&["quiet", "q"]);
    let missing_only = parsed.value(&["policy"]) == Some("missing");
    let mut pulled: BTreeSet<&str> = BTreeSet::new();
    for word in &parsed.words {
        if !project.services.contains_key(word) {
            tool.call.err(&format!("no such service: {word}\n"));
            return Ok(1);
        }
    }
    for (service, spec) in &project.services {
        let named = parsed.words.is_empty() || parsed.words.contains(service);
        let skipped = spec.builds && parsed.has(&["ignore-buildable"]);
        let there = Engine::look(&tool.guest)?.images.contains(&spec.image);
        if !named || skipped || (missing_only && there) || !pulled.insert(&spec.image) {
            continue;
        }
        if !quiet {
            tool.call.err(&format!(" {service} Pulling \n"));
        }
        if let Err(message) = pull(tool, &spec.image)? {
            if !quiet {
                tool.call.err(&format!(" {service} Error {message}\n"));
            }
            tool.call
                .err(&format!("Error response from daemon: {message}\n"));
            return Ok(1);
        }
        if !quiet {
            tool.call.err(&format!(" {service} Pulled \n"));
        }
    }
    Ok(0)
}

/// Pulls one image; the inner error is the registry's answer.
fn pull(tool: &mut Tool, image: &str) -> io::Result<Result<(), String>> {
    let (takes, refused) = tool.guest.store.update(|state| {
        let fault = state
            .pulls
            .iter_mut()
            .find(|pull| image.contains(&pull.image) && pull.left != Some(0));
        let refused = match fault {
            Some(fault) => {
                fault.left = fault.left.map(|left| left - 1);
                Some(fault.message.clone())
            }
            None if state.disk_full => Some(
                "failed to register layer: write /usr/lib/libcrypto.so.3: no space left on device"
                    .to_owned(),
            ),
            None => None,
        };
        (state.timing.pull, refused)
    })?;
    wait_until(now() + takes);
    if let Some(message) = refused {
        return Ok(Err(message));
    }
    let new = Engine::update(&tool.guest, |engine| engine.images.insert(image.to_owned()))?;
    tool.call.end.changed_guest |= new;
    Ok(Ok(()))
}
