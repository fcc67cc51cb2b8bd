//! `chown`: gives a volume to the user of its service, and reports the result.

use std::process::ExitCode;

use crate::ownership::{Request, Tally};
use crate::walk;

/// Changes every path, reports every failure on standard error, and prints a summary.
pub(crate) fn run(request: &Request) -> ExitCode {
    let Tally {
        set,
        already,
        failures,
        hint,
    } = walk::walk(request);
    let owner = request.owner;
    if failures == 0 {
        println!("polis-init: chown {owner}: {set} set, {already} already right");
        return ExitCode::SUCCESS;
    }
    eprintln!("polis-init: chown {owner}: {failures} failed, {set} set, {already} already right");
    if let Some(capability) = hint {
        eprintln!(
            "polis-init: likely cause: this container lacks the capability {capability} (compose: cap_add)"
        );
    }
    ExitCode::FAILURE
}
