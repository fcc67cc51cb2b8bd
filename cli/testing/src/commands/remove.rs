//! `multipass delete`, `recover` and `purge`.

use std::io;

use super::{answers, power, snapshots};
use crate::call::Call;
use crate::grammar::{Grammar, Parsed};
use crate::store::now;
use crate::store::state::Power;

pub(super) const DELETE: Grammar = Grammar {
    name: "delete",
    valued: &[],
    flags: &[&["purge", "p"]],
    arity: (1, usize::MAX),
    guest_command: false,
};

pub(super) const RECOVER: Grammar = Grammar {
    name: "recover",
    valued: &[],
    flags: &[],
    arity: (1, usize::MAX),
    guest_command: false,
};

pub(super) fn delete(call: &mut Call, parsed: &Parsed) -> io::Result<u8> {
    let state = match call.daemon("delete")? {
        Ok(state) => state,
        Err(code) => return Ok(code),
    };
    for name in &parsed.positional {
        if let Some((vm, snapshot)) = name.split_once('.') {
            let code = snapshots::delete(call, vm, snapshot, parsed.has("purge"))?;
            if code != 0 {
                return Ok(code);
            }
            continue;
        }
        let Some(instance) = state.find(name) else {
            let message = answers::absent(name, None).unwrap_or_default();
            return Ok(call.fail("delete", &message));
        };
        // `--purge` cuts the power; otherwise the daemon presses the power button if the machine runs.
        if parsed.has("purge") {
            purge_one(call, name)?;
            continue;
        }
        let done = match instance.state(now()) {
            Power::Deleted => Ok(()),
            Power::Stopped | Power::Suspended => {
                power::power_off(call, name, Power::Deleted).map(Ok)?
            }
            _ => power::shut_down(call, name, Power::Deleted)?,
        };
        call.idle()?;
        if let Err(message) = done {
            return Ok(call.fail("delete", &message));
        }
    }
    Ok(0)
}

pub(super) fn recover(call: &mut Call, parsed: &Parsed) -> io::Result<u8> {
    if let Err(code) = call.daemon("recover")? {
        return Ok(code);
    }
    for name in &parsed.positional {
        let recovered = call.store.change(name, |instance| {
            let deleted = instance.power == Power::Deleted;
            if deleted {
                instance.power = Power::Stopped;
            }
            deleted
        })?;
        match recovered {
            None => {
                let message = answers::absent(name, None).unwrap_or_default();
                return Ok(call.fail("recover", &message));
            }
            Some(deleted) => call.end.changed_vm |= deleted,
        }
    }
    Ok(0)
}

/// Removes every deleted instance of the user.
pub(super) fn purge(call: &mut Call, args: &[String]) -> io::Result<u8> {
    if !args.is_empty() {
        return Ok(call.refuse("This command takes no arguments\n"));
    }
    let state = match call.daemon("purge")? {
        Ok(state) => state,
        Err(code) => return Ok(code),
    };
    for instance in &state.instances {
        if instance.power == Power::Deleted {
            purge_one(call, &instance.name)?;
        }
    }
    Ok(0)
}

fn purge_one(call: &mut Call, name: &str) -> io::Result<()> {
    let guest = call.store.guest(name);
    let state = call.store.look()?;
    for snapshot in state.find(name).map_or(&[][..], |it| &it.snapshots) {
        guest.forget(&snapshot.name)?;
    }
    call.store
        .update(|state| state.instances.retain(|instance| instance.name != name))?;
    guest.remove()?;
    call.end.changed_vm = true;
    Ok(())
}
