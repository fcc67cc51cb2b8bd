//! `polis agent`: the agents of the workspace. `crate::agent` decides what an agent may ask for.

use std::path::Path;

use polis_base::Digest;

use crate::agent::{self, Description, Manifest};
use crate::args::{AgentVerb, GivenArgs};
use crate::context::Context;
use crate::embedded;
use crate::error::{Error, Kind, Result};
use crate::guest;
use crate::guest::agents::AgentsReport;
use crate::guest::probe::{Guest, Installed, RECREATE_WORKSPACE};
use crate::guest::run::Target;
use crate::instance::named;
use crate::multipass::{Multipass, USER_OUTPUT};
use crate::output::Done;
use crate::plan::{self, Desired};
use crate::reconcile::Reconciler;
use crate::reports::agent::{
    AddedAgent, AgentDetails, AgentList, CheckedAgent, RemovedAgent, RestartedAgent, installed,
};

/// The maximum number of agents in a workspace: the probe's output must stay short.
const MOST_AGENTS: usize = 6;

/// Runs `polis agent ...`.
pub(crate) fn run(context: &Context, verb: &AgentVerb) -> Result<Done> {
    match verb {
        AgentVerb::Add { dir, given } => add(context, dir, given),
        AgentVerb::List => list(context),
        AgentVerb::Show { name } => show(context, name),
        AgentVerb::Remove { name, purge, yes } => remove(context, name, *purge, *yes),
        AgentVerb::Restart { name } => restart(context, name),
        AgentVerb::Check { dir } => check(dir),
        AgentVerb::Logs { .. } => Err(Error::new(Kind::Unexpected, "`agent logs` has no report")),
    }
}

/// `polis agent check`: prints the files generated from the agent in `dir`.
///
/// # Errors
/// When the agent is not valid.
pub(crate) fn check(dir: &Path) -> Result<Done> {
    let agent = agent::read(dir, false)?;
    let Some(manifest) = &agent.manifest else {
        return Err(Error::new(
            Kind::Unexpected,
            "an agent without a manifest was accepted",
        ));
    };
    let (overlay, unit) = agent::generated(manifest);
    let text = format!(
        "The agent `{}` is valid. These files are generated from it:\n\n# Compose\n{overlay}\n# systemd\n{unit}",
        agent.name
    );
    let report = CheckedAgent {
        agent: Description::from(manifest),
        compose: overlay,
        unit,
    };
    Ok(Done::new(text, report))
}

/// Asks for the required keys that are neither given nor stored, if `ask` allows it.
///
/// # Errors
/// Of kind `Usage`, when they are still missing, or there are too many agents.
pub(super) fn complete(
    context: &Context,
    multipass: &Multipass,
    desired: &mut Desired,
    guest: Option<&Guest>,
    ask: bool,
) -> Result<()> {
    let Some(agent) = &mut desired.agent else {
        return Ok(());
    };
    let known = guest.map_or(&[][..], |guest| &guest.agents);
    let is_new = known.iter().all(|known| known.name != agent.name);
    if is_new && known.len() >= MOST_AGENTS {
        return Err(Error::new(
            Kind::Usage,
            format!("there are already {MOST_AGENTS} agents"),
        )
        .next("polis agent remove NAME"));
    }
    let Some(manifest) = &agent.manifest else {
        return Ok(());
    };
    let mut missing = agent.keys.missing(manifest, &[]);
    if !missing.is_empty() && !is_new {
        let stored = agents_report(multipass)?.keys_of(&agent.name);
        missing = agent.keys.missing(manifest, &stored);
    }
    if missing.is_empty() {
        return Ok(());
    }
    let names = missing.join(", ");
    if ask && super::can_ask(context) {
        context.output.ask(&format!(
            "the agent `{}` needs one of these keys: {names}",
            agent.name
        ));
        for key in missing {
            let value = super::asked_for_secret(&format!("{key} (empty: skip to the next one): "))?;
            if !value.is_empty() {
                return agent.keys.add(key, value);
            }
        }
    }
    Err(Error::new(
        Kind::Usage,
        format!("the agent `{}` is missing a key", agent.name),
    )
    .because(format!("it needs one of: {names}"))
    .next("set one of them in the environment, and add: -e KEY"))
}

fn add(context: &Context, dir: &Path, given: &GivenArgs) -> Result<Done> {
    let mut desired = super::desired::desired(context, &GivenArgs::default(), false)?;
    desired.agent = Some(super::desired::agent(context, dir, given)?);
    desired.agents = true;
    let multipass = context.multipass()?;
    let _lock = context.store.lock()?;
    let guest = probe(&multipass)?;
    complete(context, &multipass, &mut desired, Some(&guest), true)?;
    let mut reconciler = Reconciler::new(context, &multipass, &desired);
    reconciler.run(&plan::agent_steps(&guest, &desired))?;
    let Some(agent) = desired.agent.as_ref() else {
        return Err(Error::new(Kind::Unexpected, "the agent was lost"));
    };
    let report = AddedAgent {
        name: &agent.name,
        did: reconciler.did.iter().map(|(step, _)| *step).collect(),
    };
    let next = named("polis start");
    let text = match report.did.is_empty() {
        true => format!(
            "The agent `{}` is already installed. Next: {next}\n",
            agent.name
        ),
        false => format!("The agent `{}` is added. Next: {next}\n", agent.name),
    };
    Ok(Done::new(text, report))
}

/// The ports, keys and states of the agents.
pub(super) fn agents_report(multipass: &Multipass) -> Result<AgentsReport> {
    let answer = multipass.call(&guest::agents(), Kind::Unexpected)?;
    Ok(AgentsReport::parse(&answer))
}

/// Probes the guest.
///
/// # Errors
/// When the VM is not running, or holds another version's stack.
pub(super) fn probe(multipass: &Multipass) -> Result<Guest> {
    super::must_run(multipass)?;
    let guest = Guest::parse(&multipass.call(&guest::probe(), Kind::Unexpected)?)?;
    match guest.bundle == Some(Digest::of(&embedded::bundle().bytes)) {
        true => Ok(guest),
        false => Err(
            super::not_running("the stack in the VM is from another version of polis")
                .next("polis start"),
        ),
    }
}

fn find<'a>(guest: &'a Guest, name: &str) -> Result<&'a Installed> {
    let found = guest.agents.iter().find(|agent| agent.name == name);
    found.ok_or_else(|| {
        Error::new(Kind::Usage, format!("there is no agent `{name}`")).next("polis agent list")
    })
}

fn list(context: &Context) -> Result<Done> {
    let multipass = context.multipass()?;
    super::must_run(&multipass)?;
    let guest = Guest::parse(&multipass.call(&guest::probe(), Kind::Unexpected)?)?;
    let agents = agents_report(&multipass)?;
    let text = match guest.agents.is_empty() {
        true => format!(
            "No agent is installed. To add one: {}\n",
            named("polis agent add DIR")
        ),
        false => to_text(&guest, &agents),
    };
    let report = AgentList {
        agents: installed(&guest, &agents),
    };
    Ok(Done::new(text, report))
}

fn show(context: &Context, name: &str) -> Result<Done> {
    let multipass = context.multipass()?;
    let guest = probe(&multipass)?;
    let agent = find(&guest, name)?;
    let file =
        |path: &str| multipass.read(&format!("/opt/polis/agents/{name}/{path}"), USER_OUTPUT);
    if agent.trusted {
        let compose = String::from_utf8_lossy(&file("compose.yaml")?).into_owned();
        let text = format!("{name}: a custom Compose file, trusted by the user:\n{compose}");
        let report = AgentDetails {
            name,
            manifest: None,
            compose: Some(compose),
        };
        return Ok(Done::new(text, report));
    }
    let bytes = file(".polis/agent.json")?;
    let manifest: Description = serde_json::from_slice(&bytes).map_err(|error| {
        Error::new(
            Kind::Unexpected,
            "could not read the description of the agent in the VM",
        )
        .caused_by(&error)
        .next(format!("polis agent add DIR   (installs `{name}` again)"))
    })?;
    let text = manifest.to_text(&agents_report(&multipass)?.keys_of(name));
    let report = AgentDetails {
        name,
        manifest: Some(manifest),
        compose: None,
    };
    Ok(Done::new(text, report))
}

fn remove(context: &Context, name: &str, purge: bool, yes: bool) -> Result<Done> {
    let multipass = context.multipass()?;
    let _lock = context.store.lock()?;
    let guest = probe(&multipass)?;
    find(&guest, name)?;
    if purge && !yes {
        if !super::can_ask(context) {
            return Err(Error::new(
                Kind::Usage,
                "`polis agent remove --purge` needs confirmation",
            )
            .because("polis asks only on a terminal, and not with `--json`")
            .next(format!("polis agent remove {name} --purge --yes")));
        }
        if !super::asked(&format!(
            "Remove the agent `{name}` and everything it has stored?"
        ))? {
            let report = RemovedAgent {
                name,
                removed: false,
                purged: false,
            };
            return Ok(Done::new("Nothing was removed.\n", report));
        }
    }
    multipass.call(&guest::remove_agent(name, purge), Kind::Unexpected)?;
    let mut text = format!("The agent `{name}` and its keys are removed.\n");
    // A container cannot start without the files that it mounts.
    if probe(&multipass)?.workspace_differs.is_some() {
        let volumes = if purge { " and its volumes" } else { "" };
        text.push_str(&format!(
            "Its files{volumes} are deleted when the workspace's container is recreated: {}\n",
            named(RECREATE_WORKSPACE)
        ));
    }
    let report = RemovedAgent {
        name,
        removed: true,
        purged: purge,
    };
    Ok(Done::new(text, report))
}

/// A command of `polis-agents.sh` in the workspace.
fn in_workspace(words: &[&str]) -> Vec<String> {
    [&["polis-agents.sh"], words]
        .concat()
        .iter()
        .map(|word| (*word).to_owned())
        .collect()
}

fn restart(context: &Context, name: &str) -> Result<Done> {
    let multipass = context.multipass()?;
    let _lock = context.store.lock()?;
    let guest = probe(&multipass)?;
    find(&guest, name)?;
    multipass.call(&guest::restart_agent(name), Kind::Unhealthy)?;
    let text = format!(
        "The agent `{name}` is being restarted. Next: {}\n",
        named("polis agent list")
    );
    Ok(Done::new(text, RestartedAgent { name }))
}

/// `polis agent logs`; returns the exit code.
///
/// # Errors
/// When there is no such agent, or the workspace is not running.
pub(crate) fn logs(context: &Context, name: &str, follow: bool, tail: u32) -> Result<u8> {
    let multipass = context.multipass()?;
    find(&probe(&multipass)?, name)?;
    super::logs::may_follow(context, follow)?;
    let tail = tail.to_string();
    let mut words = in_workspace(&["log", name, &tail]);
    words.extend(follow.then(|| "follow".to_owned()));
    let place = Target::Workspace {
        terminal: false,
        root: true,
    };
    let terminal = super::logs::terminal_use(false);
    super::exec::enter(context, &words, place, terminal)
}

/// The agents, one per line.
pub(super) fn to_text(guest: &Guest, agents: &AgentsReport) -> String {
    let line = |agent: &Installed| {
        let state = agents.state(&agent.name);
        let how = match (agent, state) {
            (Installed { trusted: true, .. }, _) => {
                "a custom Compose file, which is trusted and can undo the sandbox".to_owned()
            }
            (Installed { layered: false, .. }, _) => {
                format!("not started; to start it: {}", named("polis start"))
            }
            (_, Some(state)) => {
                let words = state.words();
                words
                    .split_once(": ")
                    .map_or(words.clone(), |(_, how)| how.to_owned())
            }
            (_, None) if guest.workspace_differs.is_some() => {
                format!(
                    "not in the workspace yet; to recreate the workspace: {}",
                    named(RECREATE_WORKSPACE)
                )
            }
            (_, None) => "unknown: the workspace does not report it".to_owned(),
        };
        let ports = agents.ports_of(&agent.name);
        let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
        let ports = match ports.is_empty() {
            true => String::new(),
            false => format!("  (port {})", ports.join(", ")),
        };
        format!("  {:<14} {how}{ports}\n", agent.name)
    };
    guest.agents.iter().map(line).collect()
}

/// Notes the agents that are unhealthy or still starting, which do not make a start fail.
pub(super) fn note_states(context: &Context, agents: &AgentsReport) {
    for state in &agents.states {
        if state.is_unhealthy() || state.is_starting() {
            let name = &state.name;
            context.output.note(&format!(
                "{}\nhint: {} {name}",
                state.words(),
                named("polis agent logs")
            ));
        }
    }
}

/// What the person has to do once the agent runs.
pub(super) fn onboarding(manifest: &Manifest) -> String {
    let steps = manifest.spec.onboarding.iter();
    steps
        .map(|step| format!("{}: {}\n", step.title.0, step.command.0))
        .collect()
}
