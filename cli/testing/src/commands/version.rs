//! `multipass version`: prints the client's version, and the daemon's if that answers.

use std::io;

use serde_json::json;

use crate::call::Call;
use crate::grammar::{Grammar, Parsed};
use crate::store::state::Access;

pub(super) const GRAMMAR: Grammar = Grammar {
    name: "version",
    valued: &[&["format"]],
    flags: &[],
    arity: (0, 0),
    guest_command: false,
};

/// Exits with 0 even without a daemon, like the real one.
pub(super) fn run(call: &mut Call, parsed: &Parsed) -> io::Result<u8> {
    let answers = call.access()? == Access::Up;
    let state = match answers {
        true => call.idle()?,
        false => call.store.look()?,
    };
    match parsed.value("format").unwrap_or("table") {
        "json" => {
            let mut versions = json!({ "multipass": state.client });
            if answers {
                versions["multipassd"] = json!(state.daemon);
            }
            call.out(&format!("{versions:#}\n"));
        }
        "table" => {
            call.out(&format!("multipass   {}\n", state.client));
            if answers {
                call.out(&format!("multipassd  {}\n", state.daemon));
            }
        }
        _ => return Ok(call.refuse("Invalid format type given.\n")),
    }
    Ok(0)
}
