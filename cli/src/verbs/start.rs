//! `polis start`: compares the observed state with the desired one, executes the steps between them, and reports them.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

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
use crate::reports::start::{AwaitedAgent, ExecutedStep, Plan, PlannedCall, PlannedStep, Start};
use crate::reports::status;
use crate::{guest, process};

/// How many times the VM is observed and its steps executed before a start gives up. Two are usual: one boots the VM, one
/// does the rest.
const ROUNDS: usize = 8;
/// How long to wait before asking again when the daemon contradicts itself about the VM.
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
    let observed = observe(&multipass)?;
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
    if !started.did_something() || !super::can_ask(context) {
        context
            .output
            .note(&format!("{note}\nhint: {}", named(RECREATE_WORKSPACE)));
        return Ok(started.done_with(kept));
    }
    context.output.ask(&note);
    if !super::asked("Recreate the workspace's container now?")? {
        return Ok(started.done_with(kept));
    }
    desired.recreate_workspace = true;
    let observed = observe(&multipass)?;
    Ok(reconcile(context, &multipass, observed, &desired)?.done())
}

/// A workspace whose container differs from what Compose would create now.
struct KeptWorkspace {
    differs: Difference,
    outside: OutsideVolumes,
}

impl KeptWorkspace {
    /// Asks the guest what a recreation would lose. A failure to answer does not fail a start that has succeeded.
    fn of(multipass: &Multipass, differs: Option<Difference>) -> Option<Self> {
        let differs = differs?;
        let answer = multipass.call(&guest::outside(), Kind::Unexpected);
        let outside = OutsideVolumes::parse(&answer.unwrap_or_default());
        Some(Self { differs, outside })
    }

    /// The difference, the fate of the container (`fate`), and what its recreation would lose.
    fn note(&self, fate: &str) -> String {
        let lost = self.outside.lines();
        let lost: String = lost.iter().map(|line| format!("\n  {line}")).collect();
        format!(
            "{}; {fate}. Recreating it keeps the volumes (/home, /root, Docker's data) and loses the rest:{lost}",
            self.differs.words()
        )
    }
}

/// Observes the state with one or two read-only calls.
fn observe(multipass: &Multipass) -> Result<Observed> {
    let machine = multipass.state()?;
    let guest = match machine {
        Some(VmState::Running) => probe(multipass)?,
        _ => None,
    };
    Ok(Observed { machine, guest })
}

/// Probes the guest; none if SSH is not up yet, although `list` may have reported the VM as running a moment ago.
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

/// The steps; a refusal names the call that it is based on.
fn steps(observed: &Observed, desired: &Desired) -> Result<Vec<plan::Step>> {
    let asked = || list_call().to_text();
    plan::steps(observed, desired).map_err(|error| error.while_at(asked))
}

fn dry_run(multipass: &Multipass, observed: &Observed, desired: &Desired) -> Result<Done> {
    let steps = steps(observed, desired)?;
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
    let report = Plan {
        dry_run: true,
        looked: plan::observing().iter().map(PlannedCall::from).collect(),
        plan: steps.iter().map(PlannedStep::from).collect(),
        workspace_differs: kept.as_ref().map(|kept| kept.differs),
        outside_volumes: kept.as_ref().map(|kept| &kept.outside),
    };
    Ok(Done::new(text, report))
}

/// A start that has succeeded.
struct Started<'a> {
    text: String,
    report: Start<'a>,
    differs: Option<Difference>,
}

impl Started<'_> {
    fn did_something(&self) -> bool {
        !self.report.did.is_empty()
    }

    fn done(self) -> Done {
        Done::new(self.text, self.report)
    }

    /// As [`Self::done`], with how the kept workspace differs, and what its recreation would lose.
    fn done_with(mut self, kept: KeptWorkspace) -> Done {
        self.report.workspace_differs = Some(kept.differs);
        self.report.outside_volumes = Some(kept.outside);
        self.done()
    }
}

fn reconcile<'a>(
    context: &'a Context,
    multipass: &Multipass,
    mut observed: Observed,
    desired: &Desired,
) -> Result<Started<'a>> {
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
        observed = observe(multipass)?;
    }
    Err(
        Error::new(Kind::Machine, "the VM does not reach a stable state")
            .because(format!(
                "there were still steps to do after {ROUNDS} rounds"
            ))
            .next("polis status"),
    )
}

fn report<'a>(
    context: &'a Context,
    reconciler: &Reconciler,
    observed: &Observed,
    desired: &Desired,
    took: Duration,
) -> Started<'a> {
    let did = reconciler.did.iter();
    let did: Vec<_> = did
        .map(|(step, time)| ExecutedStep::new(*step, *time))
        .collect();
    let seen = reconciler.seen.as_ref().or(observed.guest.as_ref());
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
    super::agent::note_states(context, agents);
    if let Some(manifest) = desired
        .agent
        .as_ref()
        .and_then(|agent| agent.manifest.as_ref())
    {
        text.push_str(&super::agent::onboarding(manifest));
    }
    let report = Start {
        dry_run: false,
        did,
        agents: agents.states.iter().map(AwaitedAgent::from).collect(),
        seconds: took.as_secs(),
        services: seen.map_or_else(Vec::new, status::services),
        workspace_differs: None,
        outside_volumes: None,
        settings: &context.settings,
    };
    Started {
        text,
        report,
        differs: seen.and_then(|guest| guest.workspace_differs),
    }
}

/// The next commands for a running workspace: its files, its agents, its blocked requests, and how to stop it.
fn directions(seen: Option<&Guest>, desired: &Desired) -> String {
    let added = desired.agent.iter().map(|agent| agent.name.as_str());
    let installed = seen.into_iter().flat_map(|guest| &guest.agents);
    let installed = installed.map(|agent| agent.name.as_str());
    let agents: BTreeSet<&str> = installed.chain(added).filter(|_| desired.agents).collect();
    let agents = match agents.len() {
        0 => "none; to add one: polis agent add DIR".to_owned(),
        _ => {
            let names: Vec<&str> = agents.into_iter().collect();
            format!("{}; to see their state: polis agent list", names.join(", "))
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
