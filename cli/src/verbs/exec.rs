//! `polis exec` and `polis shell`: the user's own commands, with their own exit codes.

use std::io::IsTerminal;

use crate::context::Context;
use crate::error::{Error, Kind, Result};
use crate::guest::run::{CODE_IN_FILE, Place, code, command, note};
use crate::multipass::refusal;
use crate::process;

/// What `exec` ends with when polis itself fails.
pub(crate) const POLIS_FAILED: u8 = 125;

/// Runs `command`, in the VM itself or in the workspace; returns its exit code.
///
/// # Errors
/// When it could not be run, or its end is not known.
pub(crate) fn run(context: &Context, words: &[String], vm: bool) -> Result<u8> {
    let multipass = context.multipass()?;
    super::must_run(&multipass)?;
    let terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    let place = if vm {
        Place::Machine
    } else {
        Place::Workspace { terminal }
    };
    let note = note();
    let call = command(place, words, &note);
    let ended = process::hand_over(multipass.program(), &call.args).map_err(|error| {
        Error::new(Kind::Unexpected, "Multipass could not be started").because(error.to_string())
    })?;
    match ended {
        Some(CODE_IN_FILE) => {
            let text = multipass.call(&code(&note), Kind::Unexpected)?;
            text.trim().parse().map_err(|_| {
                Error::new(Kind::Unexpected, "how the command ended is not known")
                    .because(format!("`{}` is no exit code", text.trim()))
            })
        }
        // Multipass's own, whose words have been printed.
        None | Some(1 | 2 | 5 | 255) => Err(Error::new(
            Kind::Machine,
            "Multipass could not run the command",
        )
        .because(format!(
            "it ended with {}",
            ended.map_or("a signal".to_owned(), |code| code.to_string())
        ))
        .next("polis status")),
        Some(code) => u8::try_from(code).map_err(|_| {
            Error::new(
                Kind::Unexpected,
                format!("`{code}` is no exit code of the VM"),
            )
            .because(refusal::words("").join(" "))
        }),
    }
}
