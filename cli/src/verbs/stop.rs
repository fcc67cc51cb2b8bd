//! `polis stop`: shuts the VM down cleanly and keeps everything in it.

use std::time::Duration;

use crate::context::Context;
use crate::error::{Error, Kind, Result};
use crate::instance::{named, vm};
use crate::multipass::call::Call;
use crate::multipass::state::VmState;
use crate::multipass::{Multipass, failed, refusal};
use crate::output::Done;
use crate::process::Failure;
use crate::reports::machine::Stop;
use crate::view::View;

/// How long the daemon waits for a VM that ignores its power button, as it does early in its boot.
const LIMIT: Duration = Duration::from_secs(300);

/// Runs `polis stop`.
pub(crate) fn run(context: &Context) -> Result<Done> {
    let multipass = context.multipass()?;
    let _lock = context.store.lock()?;
    match multipass.state()? {
        None => Err(Error::new(Kind::NotRunning, "there is no workspace").next("polis start")),
        Some(VmState::Deleted) => Err(refusal::deleted()),
        Some(state @ (VmState::Stopped | VmState::Suspended)) => {
            let word = state.word().to_lowercase();
            let report = Stop {
                changed: false,
                state: state.word(),
            };
            Ok(Done::new(format!("The VM is already {word}.\n"), report))
        }
        Some(_) => {
            halt(context, &multipass)?;
            let report = Stop {
                changed: true,
                state: "Stopped",
            };
            let next = named("polis start");
            let text = format!("The VM is stopped. Next: {next}\n");
            Ok(Done::new(text, report))
        }
    }
}

/// Presses the VM's power button and waits until it is off.
///
/// # Errors
/// When it does not shut down.
pub(super) fn halt(context: &Context, multipass: &Multipass) -> Result<()> {
    let call = Call::new("stop the VM", &["stop", vm()]);
    let mut view = View::new(context.output, context.verbose);
    view.step("Stopping the VM");
    let limit = LIMIT + context.settings.call_timeout.duration();
    let ended = multipass.watched(&call, limit, |running| {
        view.stages(&running.stdout_so_far());
    })?;
    let Some(output) = ended else {
        return Err(multipass
            .failure(&call, Failure::TimedOut(limit))
            .next(force()));
    };
    if output.code != Some(0) {
        let mut error = failed(&call, &output, Kind::Machine);
        if error.kind == Kind::Machine {
            error.next = vec![force()];
        }
        return Err(error);
    }
    view.done();
    Ok(())
}

/// The command that ends a VM that does not shut down.
fn force() -> String {
    format!("multipass stop --force {}", vm())
}
