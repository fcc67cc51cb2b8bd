//! `polis start`: compares the observed state with the desired one, does what is missing, and says what it did.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::args::StartArgs;
use crate::context::Context;
use crate::error::{Error, Kind, Result};
use crate::guest::probe::{Difference, Guest, RECREATE_WORKSPACE};
use crate::guest::storage::OutsideVolumes;
use crate::instance::named;
use crate::multipass::refusal::{self, Refusal};
use crate::multipass::state::VmState;
use crate::multipass::{Multipass, failed, interrupted, list_call};
use crate::output::Done;
use crate::plan::{self, Desired, Observed};
use crate::reconcile::Reconciler;
use crate::{guest, process};

/// How often the state may change under our hands before we give up: once for a VM that has to
/// start, once more for what was in the way.
const ROUNDS: usize = 8;
/// How long to wait when the daemon's own words about the VM disagree.
const SETTLE: Duration = Duration::from_secs(1);

/// Runs `polis start`.
pub(crate) fn run(context: &Context, args: &StartArgs) -> Result<Done> {
    let mut desired = super::desired::desired(context, &args.given, !args.no_agent)?;
    desired.recreate_workspace = args.recreate_workspace;
    let multipass = context.multipass()?;
    let _lock = if args.dry_run {
        None
    } else {
        Some(context.store.lock()?)
    };
    let (_, warning) = multipass.version()?;
    if let Some(warning) = warning {
        context.output.note(&warning);
    }
    let observed = look(&multipass)?;
    super::agent::complete(
        context,
        &multipass,
        &mut desired,
        observed.guest.as_ref(),
        !args.dry_run,
    )?;
    if args.dry_run {
        return dry_run(&multipass, &observed, &desired);
    }
    let started = reconcile(context, &multipass, observed, &desired)?;
    let Some(kept) = KeptWorkspace::of(&multipass, started.differs) else {
        return Ok(started.done());
    };
    let note = kept.note("it is kept");
    if !started.did_something || !super::can_ask(context) {
        context
            .output
            .note(&format!("{note}\nhint: {}", named(RECREATE_WORKSPACE)));
        return Ok(started.done_with(&kept));
    }
    context.output.ask(&note);
    if !super::asked("Recreate the workspace's container now?")? {
        return Ok(started.done_with(&kept));
    }
    desired.recreate_workspace = true;
    let observed = look(&multipass)?;
    Ok(reconcile(context, &multipass, observed, &desired)?.done())
}

/// A workspace whose container differs from what Compose would create now.
struct KeptWorkspace {
    differs: Difference,
    outside: OutsideVolumes,
}

impl KeptWorkspace {
    /// Asks the guest what a recreation would lose. A start that succeeded does not fail if the guest cannot tell.
    fn of(multipass: &Multipass, differs: Option<Difference>) -> Option<Self> {
        let differs = differs?;
        let answer = multipass.call(&guest::outside(), Kind::Unexpected);
        let outside = OutsideVolumes::parse(&answer.unwrap_or_default());
        Some(Self { differs, outside })
    }

    /// The difference, the container's `fate` and what its recreation loses.
    fn note(&self, fate: &str) -> String {
        let lost = self.outside.lines();
        let lost: String = lost.iter().map(|line| format!("\n  {line}")).collect();
        format!(
            "{}; {fate}. Recreating it keeps the volumes (/home, /root, Docker's data) and loses the rest:{lost}",
            self.differs.words()
        )
    }
}

/// The observed state, in one or two calls, none of which changes anything.
fn look(multipass: &Multipass) -> Result<Observed> {
    let machine = multipass.state()?;
    let guest = match machine {
        Some(VmState::Running) => probe(multipass)?,
        _ => None,
    };
    Ok(Observed { machine, guest })
}

/// The guest; none where SSH has not come up, which `list` may have seen otherwise a moment ago.
fn probe(multipass: &Multipass) -> Result<Option<Guest>> {
    let call = guest::probe();
    let output = multipass.output(&call, None)?;
    if output.code == Some(0) {
        return Guest::parse(&output.stdout).map(Some);
    }
    match refusal::of(output.code, &output.stderr) {
        Refusal::NoAnswer => {
            process::pause(SETTLE).map_err(|_| interrupted())?;
            Ok(None)
        }
        _ => Err(failed(&call, &output, Kind::Unexpected)),
    }
}

/// The steps, or the refusal with what was asked.
fn steps(observed: &Observed, desired: &Desired) -> Result<Vec<plan::Step>> {
    let asked = || list_call().to_text();
    plan::steps(observed, desired).map_err(|error| error.while_at(asked))
}

fn dry_run(multipass: &Multipass, observed: &Observed, desired: &Desired) -> Result<Done> {
    let steps = steps(observed, desired)?;
    let looking: Vec<_> = plan::looking().iter().map(|call| call.to_json()).collect();
    let differs = observed
        .guest
        .as_ref()
        .and_then(|guest| guest.workspace_differs);
    let kept = KeptWorkspace::of(multipass, differs);
    let mut text = plan::to_text(&steps);
    if let Some(kept) = &kept {
        let note = if desired.recreate_workspace {
            kept.note("it is recreated")
        } else {
            let next = named(RECREATE_WORKSPACE);
            format!("{}\nhint: {next}", kept.note("it is kept"))
        };
        text.extend(note.lines().map(|line| format!("# {line}\n")));
    }
    let mut data = json!({"dry_run": true, "looked": looking, "plan": plan::to_json(&steps)});
    tell_kept(&mut data, kept.as_ref());
    Ok(Done::new(text, data))
}

/// Adds to a report how the workspace differs, and what its recreation would lose.
fn tell_kept(data: &mut Value, kept: Option<&KeptWorkspace>) {
    data["workspace_differs"] = json!(kept.map(|kept| kept.differs));
    data["outside_volumes"] = json!(kept.map(|kept| &kept.outside));
}

/// A workspace that runs.
struct Started {
    text: String,
    data: Value,
    differs: Option<Difference>,
    did_something: bool,
}

impl Started {
    fn done(mut self) -> Done {
        tell_kept(&mut self.data, None);
        Done::new(self.text, self.data)
    }

    fn done_with(mut self, kept: &KeptWorkspace) -> Done {
        tell_kept(&mut self.data, Some(kept));
        Done::new(self.text, self.data)
    }
}

fn reconcile(
    context: &Context,
    multipass: &Multipass,
    mut observed: Observed,
    desired: &Desired,
) -> Result<Started> {
    let begun = Instant::now();
    let mut reconciler = Reconciler::new(context, multipass, desired);
    for _ in 0..ROUNDS {
        let steps = steps(&observed, desired)?;
        if !reconciler.run(&steps)? {
            return Ok(report(
                context,
                &reconciler,
                &observed,
                desired,
                begun.elapsed(),
            ));
        }
        observed = look(multipass)?;
    }
    Err(Error::new(Kind::Machine, "the VM does not settle")
        .because(format!(
            "after {ROUNDS} rounds there is still something to do"
        ))
        .next("polis status"))
}

fn report(
    context: &Context,
    reconciler: &Reconciler,
    observed: &Observed,
    desired: &Desired,
    took: Duration,
) -> Started {
    let did: Vec<_> = reconciler
        .did
        .iter()
        .map(|(step, time)| json!({"step": step, "seconds": time.as_secs()}))
        .collect();
    let seen = reconciler.seen.as_ref().or(observed.guest.as_ref());
    let services = seen.map_or_else(Vec::new, super::services_json);
    let mut text = match did.len() {
        0 => "The workspace is running; there was nothing to do.\n".to_owned(),
        count => format!(
            "The workspace is running: {count} step{}, {} s. Next: {}
",
            if count == 1 { "" } else { "s" },
            took.as_secs(),
            named("polis shell")
        ),
    };
    text.push_str(&directions(seen, desired));
    let agents = &reconciler.agents;
    super::agent::tell(context, agents);
    if let Some(manifest) = desired
        .agent
        .as_ref()
        .and_then(|agent| agent.manifest.as_ref())
    {
        text.push_str(&super::agent::onboarding(manifest));
    }
    let states = agents
        .states
        .iter()
        .map(|state| json!({"name": state.name, "state": state.word, "detail": state.detail}));
    let data = json!({
        "dry_run": false,
        "did": did,
        "agents": states.collect::<Vec<_>>(),
        "seconds": took.as_secs(),
        "services": services,
        "settings": context.settings,
    });
    Started {
        text,
        data,
        differs: seen.and_then(|guest| guest.workspace_differs),
        did_something: !reconciler.did.is_empty(),
    }
}

/// What a person wants to know of a workspace that runs: where files go, which agents are in it, what was blocked, and how
/// to stop it.
fn directions(seen: Option<&Guest>, desired: &Desired) -> String {
    let added = desired.agent.iter().map(|agent| agent.name.as_str());
    let installed = seen.into_iter().flat_map(|guest| &guest.agents);
    let installed = installed.map(|agent| agent.name.as_str());
    let agents: BTreeSet<&str> = installed.chain(added).filter(|_| desired.agents).collect();
    let agents = match agents.len() {
        0 => "none; to add one: polis agent add DIR".to_owned(),
        _ => {
            let names: Vec<&str> = agents.into_iter().collect();
            format!("{}; how they are: polis agent list", names.join(", "))
        }
    };
    named(&format!(
        "  files    /home/polis in the workspace; to copy some: polis cp FILE workspace:
  agents   {agents}
  blocked  to see blocked requests: polis security pending
  stop     polis stop, which keeps everything
"
    ))
}
