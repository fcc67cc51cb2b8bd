//! `multipass info`: describes an instance. Logs in to it if it runs.

use std::io;

use serde_json::{Value, json};

use super::{answers, list};
use crate::call::Call;
use crate::fault::Effect;
use crate::grammar::{Grammar, Parsed};
use crate::store::now;
use crate::store::state::{Instance, Power};

pub(super) const GRAMMAR: Grammar = Grammar {
    name: "info",
    valued: &[&["format"]],
    flags: &[&["all"], &["no-runtime-information"], &["snapshots"]],
    arity: (0, usize::MAX),
    guest_command: false,
};

pub(super) fn run(call: &mut Call, parsed: &Parsed) -> io::Result<u8> {
    let state = match call.daemon("info")? {
        Ok(state) => state,
        Err(code) => return Ok(code),
    };
    let names: Vec<String> = match parsed.positional.as_slice() {
        [] => state
            .instances
            .iter()
            .filter(|instance| !instance.preparing(now()))
            .map(|instance| instance.name.clone())
            .collect(),
        names => names.to_vec(),
    };
    let mut known = Vec::new();
    for name in &names {
        let Some(instance) = state.find(name) else {
            let message = answers::absent(name, None).unwrap_or_default();
            return Ok(call.fail("info", &message));
        };
        let running = instance.state(now()) == Power::Running;
        let refused = !instance.ssh && !instance.session || call.struck(&Effect::SshFails);
        if running && refused {
            return Ok(call.fail("info", "ssh connection failed: 'Connection refused'"));
        }
        known.push(instance);
    }
    match parsed.value("format").unwrap_or("table") {
        "json" => {
            let info: serde_json::Map<String, Value> = known
                .iter()
                .map(|instance| (instance.name.clone(), entry(instance, state.disk_full)))
                .collect();
            call.out(&format!("{:#}\n", json!({ "errors": [], "info": info })));
        }
        "table" => {
            for instance in known {
                call.out(&table(instance));
            }
        }
        _ => return Ok(call.refuse("Invalid format type given.\n")),
    }
    Ok(0)
}

fn entry(instance: &Instance, full: bool) -> Value {
    let state = instance.state(now());
    if state != Power::Running {
        return json!({
            "state": state.text(),
            "image_hash": hash(instance),
            "image_release": image_release(instance),
            "release": "",
            "cpu_count": "",
            "snapshot_count": instance.snapshots.len().to_string(),
            "load": [],
            "disks": { "sda1": {} },
            "memory": {},
            "ipv4": [],
            "mounts": {},
        });
    }
    let used = if full {
        instance.disk
    } else {
        instance.disk / 8
    };
    json!({
        "state": state.text(),
        "image_hash": hash(instance),
        "image_release": image_release(instance),
        "release": list::release(instance),
        "cpu_count": instance.cpus.to_string(),
        "snapshot_count": instance.snapshots.len().to_string(),
        "load": [0.1, 0.05, 0.01],
        "disks": { "sda1": { "used": used.to_string(), "total": instance.disk.to_string() } },
        "memory": { "used": instance.memory / 4, "total": instance.memory },
        "ipv4": list::address(state).into_iter().collect::<Vec<_>>(),
        "mounts": {},
    })
}

fn image_release(instance: &Instance) -> &'static str {
    list::release(instance).trim_start_matches("Ubuntu ")
}

/// The image's hash: a hash of the name, because there is no image.
fn hash(instance: &Instance) -> String {
    polis_base::Digest::of(instance.image.as_bytes()).hex()
}

fn table(instance: &Instance) -> String {
    let state = instance.state(now());
    format!(
        "Name:           {}\nState:          {}\nIPv4:           {}\n",
        instance.name,
        state.text(),
        list::address(state).unwrap_or("--")
    )
}
