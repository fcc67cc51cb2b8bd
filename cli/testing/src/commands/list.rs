//! `multipass list`: lists the instances without contacting any guest.

use std::io;

use super::{answers, snapshots};
use crate::call::Call;
use crate::grammar::{Grammar, Parsed};
use crate::store::now;
use crate::store::state::{Instance, Power};

pub(super) const GRAMMAR: Grammar = Grammar {
    name: "list",
    valued: &[&["format"]],
    flags: &[&["no-ipv4"], &["snapshots"]],
    arity: (0, 0),
    guest_command: false,
};

pub(super) fn run(call: &mut Call, parsed: &Parsed) -> io::Result<u8> {
    if let Err(code) = call.daemon("list")? {
        return Ok(code);
    }
    let state = call.store.update(|state| {
        for instance in &mut state.instances {
            instance.listed(now());
        }
        state.clone()
    })?;
    let format = parsed.value("format").unwrap_or("table");
    // polis does not use the table.
    if parsed.has("snapshots") {
        call.out(&snapshots::list(&state));
        return Ok(0);
    }
    let now = now();
    let shown: Vec<&Instance> = state
        .instances
        .iter()
        .filter(|instance| !instance.preparing(now))
        .collect();
    match format {
        "json" => {
            let no_ipv4 = parsed.has("no-ipv4");
            let entries = shown.iter().map(|instance| {
                let state = instance.state(now);
                let address = address(state).filter(|_| !no_ipv4);
                (instance.name.as_str(), state, address, release(instance))
            });
            call.out(&answers::list(entries));
        }
        "table" if shown.is_empty() => call.out("No instances found.\n"),
        "table" => {
            let mut text =
                "Name                    State             IPv4             Image\n".to_owned();
            for instance in shown {
                let state = instance.state(now);
                let address = address(state).unwrap_or("--");
                text.push_str(&format!(
                    "{:<24}{:<18}{address:<17}{}\n",
                    instance.name,
                    state.text(),
                    release(instance)
                ));
            }
            call.out(&text);
        }
        _ => return Ok(call.refuse("Invalid format type given.\n")),
    }
    Ok(0)
}

/// The guest's address while it is running.
pub(super) fn address(state: Power) -> Option<&'static str> {
    (state == Power::Running).then_some("10.87.112.23")
}

/// Multipass's name of the release.
pub(super) fn release(instance: &Instance) -> &'static str {
    match instance.image.as_str() {
        "22.04" | "jammy" => "Ubuntu 22.04 LTS",
        _ => "Ubuntu 24.04 LTS",
    }
}
