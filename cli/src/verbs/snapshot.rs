//! `polis snapshot`: takes and restores snapshots of the whole VM. Multipass does this only while the VM is stopped.

use std::time::Duration;

use super::stop;
use crate::args::SnapshotVerb;
use crate::blocked;
use crate::context::Context;
use crate::error::{Error, Kind, Result};
use crate::instance::{named, vm};
use crate::multipass::call::Call;
use crate::multipass::refusal;
use crate::multipass::snapshots::{self, Snapshot};
use crate::multipass::state::{Outlook, VmState};
use crate::multipass::{Multipass, failed};
use crate::output::Done;
use crate::process::Failure;
use crate::reports::machine::{SnapshotChange, SnapshotList};
use crate::view::View;

/// How long an operation on a disk may take.
const LIMIT: Duration = Duration::from_secs(900);
/// How long a VM may take to boot.
const BOOT: Duration = Duration::from_secs(300);

/// Runs `polis snapshot`.
///
/// # Errors
/// When there is no VM or no such snapshot, the user cannot be asked, or Multipass fails.
pub(crate) fn run(context: &Context, verb: &SnapshotVerb) -> Result<Done> {
    let multipass = context.multipass()?;
    if matches!(verb, SnapshotVerb::List) {
        return Ok(list(&known(&multipass)?));
    }
    let _lock = context.store.lock()?;
    let machine = multipass.state()?;
    let known = known(&multipass)?;
    let at = SnapshottedVm {
        context,
        multipass: &multipass,
        runs: may_change(machine.as_ref())?,
    };
    match verb {
        SnapshotVerb::Create { name, yes } => at.create(&known, name.as_deref(), *yes),
        SnapshotVerb::Restore { name, yes } => at.restore(find(&known, name)?, *yes),
        SnapshotVerb::Delete { name, yes } => at.delete(find(&known, name)?, *yes),
        SnapshotVerb::List => Ok(list(&known)),
    }
}

/// The snapshots of this workspace's VM.
fn known(multipass: &Multipass) -> Result<Vec<Snapshot>> {
    snapshots::parse(&multipass.call(&snapshots::list_call(), Kind::Machine)?)
}

fn list(known: &[Snapshot]) -> Done {
    let text = match known {
        [] => format!(
            "There is no snapshot. To take one: {}\n",
            named("polis snapshot create")
        ),
        known => known.iter().map(Snapshot::line).collect(),
    };
    Done::new(text, SnapshotList { snapshots: known })
}

fn find<'a>(known: &'a [Snapshot], name: &str) -> Result<&'a str> {
    let found = known.iter().find(|snapshot| snapshot.name == name);
    found.map(|snapshot| snapshot.name.as_str()).ok_or_else(|| {
        Error::new(Kind::Usage, format!("there is no snapshot `{name}`"))
            .next("polis snapshot list")
    })
}

/// Whether the VM is running; an error in a state between running and stopped.
fn may_change(machine: Option<&VmState>) -> Result<bool> {
    let Some(state) = machine else {
        return Err(Error::new(Kind::NotRunning, "there is no workspace").next("polis start"));
    };
    match (state.outlook(), state) {
        (Outlook::Up, _) => Ok(true),
        (Outlook::Off, VmState::Stopped) => Ok(false),
        (Outlook::Deleted, _) => Err(refusal::deleted()),
        (Outlook::Stuck, _) => Err(blocked::stuck(state)),
        _ => Err(Error::new(
            Kind::Machine,
            format!("the VM is in the state `{}`", state.word()),
        )
        .because("Multipass handles snapshots only while the VM is stopped")
        .next("polis start, then run this again")),
    }
}

/// The VM whose snapshots are changed.
struct SnapshottedVm<'a> {
    context: &'a Context,
    multipass: &'a Multipass<'a>,
    /// Whether it is running, and so has to be stopped and started again.
    runs: bool,
}

impl SnapshottedVm<'_> {
    fn create(&self, known: &[Snapshot], name: Option<&str>, yes: bool) -> Result<Done> {
        let name = match name {
            None => snapshots::free_name(known),
            Some(name) => snapshots::check(name).map_err(|reason| {
                Error::new(Kind::Usage, reason).next("polis snapshot create   (chooses a name)")
            })?,
        };
        if known.iter().any(|snapshot| snapshot.name == name) {
            return Err(
                Error::new(Kind::Usage, format!("there is already a snapshot `{name}`"))
                    .next(format!("polis snapshot delete {name}"))
                    .next("polis snapshot list"),
            );
        }
        let consent = format!("polis snapshot create {name} --yes");
        // Nothing is lost if the VM is stopped.
        if self.runs && !yes && !self.agreed("Take the snapshot?", &consent)? {
            return Ok(nothing(&name));
        }
        let call = Call::new("take the snapshot", &["snapshot", "--name", &name, vm()]);
        self.while_stopped("Taking the snapshot", &call)?;
        let text = format!("The snapshot `{name}` is taken.{}\n", self.afterwards());
        Ok(Done::new(text, self.changed(&name)))
    }

    fn restore(&self, name: &str, yes: bool) -> Result<Done> {
        let question = format!(
            "Restore the snapshot `{name}`? Changes in the VM since then are permanently lost."
        );
        let consent = format!("polis snapshot restore {name} --yes");
        if !yes && !self.agreed(&question, &consent)? {
            return Ok(nothing(name));
        }
        let target = format!("{}.{name}", vm());
        let args = ["restore", "--destructive", &target];
        self.while_stopped(
            "Restoring the snapshot",
            &Call::new("restore the snapshot", &args),
        )?;
        let text = format!("The snapshot `{name}` is restored.{}\n", self.afterwards());
        Ok(Done::new(text, self.changed(name)))
    }

    fn delete(&self, name: &str, yes: bool) -> Result<Done> {
        let question = format!("Delete the snapshot `{name}`? It is permanently lost.");
        let consent = format!("polis snapshot delete {name} --yes");
        if !yes && !self.confirmed(&question, &consent)? {
            return Ok(nothing(name));
        }
        let target = format!("{}.{name}", vm());
        let call = Call::new("delete the snapshot", &["delete", "--purge", &target]);
        self.handle("Deleting the snapshot", &call)
            .map_err(|error| match self.runs {
                true => error.next(format!("polis stop, then: {consent}")),
                false => error,
            })?;
        let report = SnapshotChange {
            changed: true,
            name,
            restarted: false,
        };
        Ok(Done::new(
            format!("The snapshot `{name}` is deleted.\n"),
            report,
        ))
    }

    /// As [`Self::confirmed`], and says that a running VM will be stopped.
    fn agreed(&self, question: &str, consent: &str) -> Result<bool> {
        match self.runs {
            true => {
                let stops =
                    "This stops the VM and everything that runs in it, and starts it again.";
                self.confirmed(&format!("{question} {stops}"), consent)
            }
            false => self.confirmed(question, consent),
        }
    }

    fn confirmed(&self, question: &str, consent: &str) -> Result<bool> {
        if super::can_ask(self.context) {
            return super::asked(question);
        }
        Err(Error::new(Kind::Usage, "this needs confirmation")
            .because(format!(
                "{question} polis asks only on a terminal, and not with `--json`"
            ))
            .next(consent))
    }

    /// Makes a call that needs a stopped VM. A VM that was running is started again, even if the call fails.
    fn while_stopped(&self, title: &str, call: &Call) -> Result<()> {
        if self.runs {
            stop::halt(self.context, self.multipass)?;
        }
        let handled = self.handle(title, call);
        if !self.runs || matches!(&handled, Err(error) if error.kind == Kind::Interrupted) {
            return handled;
        }
        let start = Call::new("start the VM again", &["start", vm()]);
        let started = self.long("Starting the VM again", &start, BOOT);
        handled.and(started.map_err(|error| error.next("polis start")))
    }

    fn handle(&self, title: &str, call: &Call) -> Result<()> {
        self.long(title, call, LIMIT).map_err(|mut error| {
            // The usual hint, `polis start`, does not help here.
            if error.kind == Kind::Machine {
                error.next.clear();
                error = error.next("polis snapshot list").next("polis doctor");
            }
            error
        })
    }

    fn long(&self, title: &str, call: &Call, limit: Duration) -> Result<()> {
        let limit = limit + self.context.settings.call_timeout.duration();
        let mut view = View::new(self.context.output, self.context.verbose);
        view.step(title);
        let ended = self.multipass.watched(call, limit, |running| {
            view.stages(&running.stdout_so_far());
        })?;
        match ended {
            None => Err(self.multipass.failure(call, Failure::TimedOut(limit))),
            Some(output) if output.code == Some(0) => {
                view.done();
                Ok(())
            }
            Some(output) => Err(failed(call, &output, Kind::Machine)),
        }
    }

    /// The state of the VM, and the next command.
    fn afterwards(&self) -> String {
        match self.runs {
            true => format!(
                " The VM is running again, and its services are starting. Next: {}",
                named("polis start")
            ),
            false => format!(" The VM is stopped. Next: {}", named("polis start")),
        }
    }

    /// The result of a call that needed a stopped VM.
    fn changed<'a>(&self, name: &'a str) -> SnapshotChange<'a> {
        SnapshotChange {
            changed: true,
            name,
            restarted: self.runs,
        }
    }
}

/// The result when the user declines.
fn nothing(name: &str) -> Done {
    let report = SnapshotChange {
        changed: false,
        name,
        restarted: false,
    };
    Done::new("Nothing was changed.\n", report)
}
