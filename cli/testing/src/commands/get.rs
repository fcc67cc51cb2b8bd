//! `multipass get`: prints settings of client and daemon.

use std::io;

use crate::call::Call;
use crate::grammar::{Grammar, Parsed};

pub(super) const GRAMMAR: Grammar = Grammar {
    name: "get",
    valued: &[],
    flags: &[&["raw"], &["keys"]],
    arity: (1, 1),
    guest_command: false,
};

pub(super) fn run(call: &mut Call, parsed: &Parsed) -> io::Result<u8> {
    let state = match call.daemon("get")? {
        Ok(state) => state,
        Err(code) => return Ok(code),
    };
    let key = parsed.positional.first().map_or("", String::as_str);
    match state.settings.get(key) {
        Some(value) => {
            call.out(&format!("{value}\n"));
            Ok(0)
        }
        None => Ok(call.refuse(&format!("Unrecognized settings key: '{key}'\n"))),
    }
}
