//! `multipass shell`: runs an interactive shell in the guest.

use std::io;

use super::{answers, exec};
use crate::call::Call;
use crate::grammar::{Grammar, Parsed};

pub(super) const GRAMMAR: Grammar = Grammar {
    name: "shell",
    valued: &[&["timeout"]],
    flags: &[],
    arity: (0, 1),
    guest_command: false,
};

/// Like `exec` of the user's shell, but independent of the host's working directory.
pub(super) fn run(call: &mut Call, parsed: &Parsed) -> io::Result<u8> {
    let name = parsed
        .positional
        .first()
        .map_or(answers::PRIMARY, String::as_str);
    exec::once(call, "shell", name, &["bash".to_owned()], None, false)
}
