//! `polis exec` and `polis shell`: the user's own commands, with their own exit codes.

use std::io::{IsTerminal, Write};

use crate::args::WhereArgs;
use crate::context::Context;
use crate::error::{Error, Kind, Result};
use crate::guest::run::{CODE_IN_FILE, Place, Run};
use crate::multipass::Multipass;
use crate::multipass::call::Call;
use crate::process;

/// What `exec` ends with when polis itself fails.
pub(crate) const POLIS_FAILED: u8 = 125;

/// Runs `words`, in the VM itself or in the workspace; returns the exit code.
///
/// # Errors
/// When it could not be run, or its end is not known.
pub(crate) fn run(context: &Context, words: &[String], place: WhereArgs) -> Result<u8> {
    let multipass = context.multipass()?;
    super::must_run(&multipass)?;
    let shown = std::io::stdout().is_terminal();
    let place = if place.vm {
        Place::Machine
    } else {
        let terminal = shown && std::io::stdin().is_terminal();
        Place::Workspace {
            terminal,
            root: place.root,
        }
    };
    let captured = !shown && !multipass.takes_long_output();
    let run = Run::new();
    let call = run.command(place, words, captured);
    match ended(&multipass, &call)? {
        Some(CODE_IN_FILE) => {
            if captured {
                print!("{}", multipass.read(&run.file("stdout"))?);
                eprint!("{}", multipass.read(&run.file("stderr"))?);
                // Whoever reads it may have gone.
                let _ = std::io::stdout().flush();
            }
            let code = multipass.read(&run.file("code"))?;
            multipass.call(&run.forget(), Kind::Unexpected)?;
            code.trim().parse().map_err(|_| unknown_end(code.trim()))
        }
        // Multipass's own, whose words have been printed.
        None | Some(1 | 2 | 5 | 255) => Err(Error::new(
            Kind::Machine,
            "Multipass could not run the command",
        )
        .next("polis status")),
        Some(code) => u8::try_from(code).map_err(|_| unknown_end(&code.to_string())),
    }
}

fn ended(multipass: &Multipass, call: &Call) -> Result<Option<i32>> {
    process::hand_over(multipass.program(), &call.args).map_err(|error| {
        Error::new(Kind::Unexpected, "Multipass could not be started").because(error.to_string())
    })
}

fn unknown_end(code: &str) -> Box<Error> {
    Error::new(Kind::Unexpected, "how the command ended is not known")
        .because(format!("`{code}` is no exit code"))
}
