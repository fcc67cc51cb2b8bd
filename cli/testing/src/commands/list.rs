//! `multipass list`: what there is, without asking any guest.

use std::io;

use serde_json::{Value, json};

use super::call::Call;
use crate::grammar::{Grammar, Parsed};
use crate::world::now;
use crate::world::state::{Instance, Power};

pub(super) const GRAMMAR: Grammar = Grammar {
    name: "list",
    valued: &[&["format"]],
    flags: &[&["no-ipv4"], &["snapshots"]],
    arity: (0, 0),
    guest_command: false,
};

pub(super) fn run(call: &mut Call, parsed: &Parsed) -> io::Result<u8> {
    let state = match call.daemon("list")? {
        Ok(state) => state,
        Err(code) => return Ok(code),
    };
    let format = parsed.value("format").unwrap_or("table");
    let now = now();
    let shown: Vec<&Instance> = state
        .instances
        .iter()
        .filter(|instance| !instance.preparing(now))
        .collect();
    match format {
        "json" => {
            let no_ipv4 = parsed.has("no-ipv4");
            let list: Vec<Value> = shown
                .iter()
                .map(|instance| entry(instance, now, no_ipv4))
                .collect();
            call.out(&format!("{:#}\n", json!({ "list": list })));
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

fn entry(instance: &Instance, now: u64, no_ipv4: bool) -> Value {
    let state = instance.state(now);
    let address = address(state).filter(|_| !no_ipv4);
    json!({
        "name": instance.name,
        "state": state.text(),
        "ipv4": address.into_iter().collect::<Vec<_>>(),
        "release": release(instance),
    })
}

/// The guest's address while it runs.
pub(super) fn address(state: Power) -> Option<&'static str> {
    (state == Power::Running).then_some("10.87.112.23")
}

/// The release as Multipass names it.
pub(super) fn release(instance: &Instance) -> &'static str {
    match instance.image.as_str() {
        "22.04" | "jammy" => "Ubuntu 22.04 LTS",
        _ => "Ubuntu 24.04 LTS",
    }
}
