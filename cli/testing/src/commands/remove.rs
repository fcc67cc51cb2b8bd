//! `multipass delete`, `recover` and `purge`.

use std::io;

use super::call::Call;
use super::errors;
use crate::grammar::{Grammar, Parsed};
use crate::world::state::Power;

pub(super) const DELETE: Grammar = Grammar {
    name: "delete",
    valued: &[],
    flags: &[&["purge", "p"], &["all"]],
    arity: (1, usize::MAX),
    guest_command: false,
};

pub(super) const RECOVER: Grammar = Grammar {
    name: "recover",
    valued: &[],
    flags: &[&["all"]],
    arity: (1, usize::MAX),
    guest_command: false,
};

pub(super) fn delete(call: &mut Call, parsed: &Parsed) -> io::Result<u8> {
    let state = match call.daemon("delete")? {
        Ok(state) => state,
        Err(code) => return Ok(code),
    };
    for name in &parsed.positional {
        let Some(instance) = state.find(name) else {
            let message = errors(&format!("instance \"{name}\" does not exist"));
            return Ok(call.fail("delete", &message));
        };
        let deleted = instance.power == Power::Deleted;
        if !deleted {
            call.store.guest(name).shut_down()?;
            call.store
                .change(name, |instance| instance.power_off(Power::Deleted))?;
            call.end.changed_vm = true;
        }
        if parsed.has("purge") {
            purge_one(call, name)?;
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
                let message = errors(&format!("instance \"{name}\" does not exist"));
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
    call.store
        .update(|state| state.instances.retain(|instance| instance.name != name))?;
    call.store.guest(name).remove()?;
    call.end.changed_vm = true;
    Ok(())
}
