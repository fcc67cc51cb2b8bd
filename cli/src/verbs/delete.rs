//! `polis delete`: asks for confirmation, and never touches another VM.

use crate::args::DeleteArgs;
use crate::context::Context;
use crate::error::{Error, Kind, Result};
use crate::instance::{named, vm};
use crate::multipass::call::Call;
use crate::multipass::state::VmState;
use crate::output::Done;
use crate::reports::machine::Delete;
use crate::view::View;

/// Runs `polis delete`.
pub(crate) fn run(context: &Context, args: &DeleteArgs) -> Result<Done> {
    let multipass = context.multipass()?;
    let _lock = context.store.lock()?;
    let state = multipass.state()?;
    let nothing = match state {
        None => Some("There is no VM.\n".to_owned()),
        Some(VmState::Deleted) if !args.purge => {
            let next = named("polis delete --purge");
            Some(format!(
                "The VM is already deleted. To delete it permanently: {next}\n"
            ))
        }
        Some(_) => None,
    };
    if let Some(text) = nothing {
        return Ok(Done::new(text, Delete::NOTHING));
    }
    if !args.yes && !confirmed(context, args.purge)? {
        return Ok(Done::new("Nothing was deleted.\n", Delete::NOTHING));
    }
    // Never a bare `purge`, which purges every deleted VM of the user.
    let mut words = vec!["delete"];
    words.extend(args.purge.then_some("--purge"));
    words.push(vm());
    let mut view = View::new(context.output, context.verbose);
    view.step("Deleting the VM");
    multipass.call(&Call::new("delete the VM", &words), Kind::Machine)?;
    view.done();
    let text = if args.purge {
        "The VM is permanently deleted.\n".to_owned()
    } else {
        format!(
            "The VM is deleted. To recover it: multipass recover {}\n",
            vm()
        )
    };
    let report = Delete {
        changed: true,
        purged: args.purge,
    };
    Ok(Done::new(text, report))
}

fn confirmed(context: &Context, purge: bool) -> Result<bool> {
    if !super::can_ask(context) {
        return Err(Error::new(Kind::Usage, "`polis delete` needs confirmation")
            .because("polis asks only on a terminal, and not with `--json`")
            .next("polis delete --yes"));
    }
    let lost = if purge {
        "Everything in it will be lost, including its snapshots."
    } else {
        "It can be recovered."
    };
    super::asked(&format!("Delete the VM `{}`? {lost}", vm()))
}
