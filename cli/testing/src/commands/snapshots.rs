//! `multipass snapshot`, `restore`, `list --snapshots` and `delete INSTANCE.SNAPSHOT`.
//!
//! Not yet checked against the real one. The messages are those of canonical/multipass: `src/client/cli/cmd/snapshot.cpp` and
//! `restore.cpp`, `src/client/cli/formatter/json_formatter.cpp` (`generate_snapshots_list`),
//! `include/multipass/exceptions/snapshot_exceptions.h`, and for running machines, its tests.

use std::io;

use serde_json::{Map, Value, json};

use super::answers;
use super::power::idle;
use crate::call::Call;
use crate::grammar::{Grammar, Parsed, is_name};
use crate::store::now;
use crate::store::state::{Instance, Power, Snapshot, State};

pub(super) const SNAPSHOT: Grammar = Grammar {
    name: "snapshot",
    valued: &[&["name", "n"], &["comment", "c", "m"]],
    flags: &[],
    arity: (1, 1),
    guest_command: false,
};

pub(super) const RESTORE: Grammar = Grammar {
    name: "restore",
    valued: &[],
    flags: &[&["destructive", "d"]],
    arity: (1, 1),
    guest_command: false,
};

/// The only argument; the grammar requires it.
fn target(parsed: &Parsed) -> &str {
    parsed.positional.first().map_or("", String::as_str)
}

pub(super) fn take(call: &mut Call, parsed: &Parsed) -> io::Result<u8> {
    let vm = target(parsed);
    call.spin("Taking snapshot", None, idle)?;
    let state = match call.daemon("snapshot")? {
        Ok(state) => state,
        Err(code) => return Ok(code),
    };
    let instance = match stopped(&state, vm, "take") {
        Ok(instance) => instance.clone(),
        Err(message) => return Ok(call.fail("snapshot", &message)),
    };
    let default = format!("snapshot{}", instance.snapshots_taken + 1);
    let name = parsed.value("name").unwrap_or(&default).to_owned();
    if !is_name(&name) {
        return Ok(call.fail("snapshot", &format!("Invalid snapshot name: \"{name}\".")));
    }
    if instance.snapshots.iter().any(|known| known.name == name) {
        return Ok(call.fail("snapshot", &format!("Snapshot already exists: {vm}.{name}")));
    }
    call.store.guest(vm).save(&name)?;
    call.store.change(vm, |instance| {
        let mut saved = instance.clone();
        saved.snapshots.clear();
        instance.snapshots.push(Snapshot {
            name: name.clone(),
            parent: instance
                .snapshot_parent
                .replace(name.clone())
                .unwrap_or_default(),
            comment: parsed.value("comment").unwrap_or_default().to_owned(),
            saved: Box::new(saved),
        });
        instance.snapshots_taken += 1;
    })?;
    call.end.changed_vm = true;
    call.out(&format!("Snapshot taken: {vm}.{name}\n"));
    Ok(0)
}

pub(super) fn restore(call: &mut Call, parsed: &Parsed) -> io::Result<u8> {
    let Some((vm, name)) = target(parsed).split_once('.') else {
        return Ok(call.refuse("Need the name of a snapshot to restore from.\n"));
    };
    if !parsed.has("destructive") {
        // The real one asks for confirmation on a terminal, and there is none here.
        return Ok(call.uncaught("Unable to query client for confirmation."));
    }
    call.spin("Restoring snapshot ", None, idle)?;
    let state = match call.daemon("restore")? {
        Ok(state) => state,
        Err(code) => return Ok(code),
    };
    let found = stopped(&state, vm, "restore").and_then(|instance| {
        let mut snapshots = instance.snapshots.iter();
        let found = snapshots.find(|known| known.name == name);
        found.ok_or_else(|| format!("No such snapshot: {vm}.{name}"))
    });
    let saved = match found {
        Ok(snapshot) => snapshot.saved.clone(),
        Err(message) => return Ok(call.fail("restore", &message)),
    };
    call.store.guest(vm).bring_back(name)?;
    call.store.change(vm, |instance| {
        *instance = Instance {
            snapshots: std::mem::take(&mut instance.snapshots),
            snapshots_taken: instance.snapshots_taken,
            snapshot_parent: Some(name.to_owned()),
            ..*saved
        };
    })?;
    call.end.changed_vm = true;
    call.out(&format!("Snapshot restored: {vm}.{name}\n"));
    Ok(0)
}

/// The instance, if it is stopped; otherwise the daemon's error.
fn stopped<'a>(state: &'a State, vm: &str, what: &str) -> Result<&'a Instance, String> {
    let found = state.find(vm);
    let power = found.map(|instance| instance.state(now()));
    match (answers::absent(vm, power), found) {
        (None, Some(instance)) if power == Some(Power::Stopped) => Ok(instance),
        (Some(message), _) => Err(message),
        _ => Err(format!(
            "Multipass can only {what} snapshots of stopped instances."
        )),
    }
}

/// The output of `list --snapshots --format json`.
pub(super) fn list(state: &State) -> String {
    let mut info = Map::new();
    for instance in state.instances.iter().filter(|it| !it.snapshots.is_empty()) {
        let each = instance.snapshots.iter().map(|snapshot| {
            let facts = json!({"comment": snapshot.comment, "parent": snapshot.parent});
            (snapshot.name.clone(), facts)
        });
        info.insert(instance.name.clone(), Value::Object(each.collect()));
    }
    format!("{:#}\n", json!({"errors": [], "info": info}))
}

/// `delete INSTANCE.SNAPSHOT`.
pub(super) fn delete(call: &mut Call, vm: &str, name: &str, purge: bool) -> io::Result<u8> {
    if !purge {
        return Ok(call.uncaught(
            "Snapshots can only be purged (after deletion, they cannot be recovered). Unable to query client for confirmation. Please use the `--purge` flag if that is what you want.",
        ));
    }
    let removed = call.store.change(vm, |instance| {
        let at = instance
            .snapshots
            .iter()
            .position(|known| known.name == name)?;
        let gone = instance.snapshots.remove(at);
        for child in &mut instance.snapshots {
            if child.parent == name {
                child.parent.clone_from(&gone.parent);
            }
        }
        if instance.snapshot_parent.as_deref() == Some(name) {
            instance.snapshot_parent = Some(gone.parent).filter(|parent| !parent.is_empty());
        }
        Some(())
    })?;
    match removed {
        None => {
            let message = answers::absent(vm, None).unwrap_or_default();
            Ok(call.fail("delete", &message))
        }
        Some(None) => Ok(call.fail("delete", &format!("No such snapshot: {vm}.{name}"))),
        Some(Some(())) => {
            call.store.guest(vm).forget(name)?;
            call.end.changed_vm = true;
            Ok(0)
        }
    }
}
