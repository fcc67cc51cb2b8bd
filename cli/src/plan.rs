//! Plans `start`: a pure function from the observed and the desired state to steps, and from steps to calls. `--dry-run`
//! prints the plan, and the reconciler executes exactly that.

mod step;

use std::collections::BTreeMap;
use std::time::Duration;

use polis_base::Digest;

use crate::agent::Agent;
use crate::blocked;
use crate::error::Result;
use crate::guest;
use crate::guest::probe::{Guest, Provisioning};
use crate::guest::service::Condition;
use crate::instance::vm;
use crate::multipass::call::{Call, Payload, Times};
use crate::multipass::size::Size;
use crate::multipass::state::{Outlook, VmState};
use crate::multipass::{list_call, version_call};
use crate::proxy::Proxies;
pub(crate) use step::{Step, StepName, to_text};

/// The image; 24.04 includes its point releases.
const IMAGE: &str = "24.04";

/// The workspace as last probed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Observed {
    /// The VM's state; none if there is no VM.
    pub(crate) machine: Option<VmState>,
    /// The result of the probe; none unless the VM is running.
    pub(crate) guest: Option<Guest>,
}

/// The state that `start` converges to.
#[derive(Debug, Clone)]
pub(crate) struct Desired {
    pub(crate) cpus: u16,
    pub(crate) memory: Size,
    pub(crate) disk: Size,
    /// How long a launch may take, including the download of the image.
    pub(crate) timeout: Duration,
    /// The user-data of a new VM.
    pub(crate) user_data: Payload,
    /// The digest over the files that this user-data writes; none for the user's own user-data.
    pub(crate) marker: Option<Digest>,
    /// The proxies and certificate authorities for the VM.
    pub(crate) proxies: Proxies,
    /// The stack.
    pub(crate) bundle: Payload,
    /// The agent to add.
    pub(crate) agent: Option<Agent>,
    /// Whether the installed agents are part of the stack.
    pub(crate) agents: bool,
    /// The architecture of this machine, which a new VM has too.
    pub(crate) architecture: String,
    /// The architectures that the images are published for, separated by blanks.
    pub(crate) offered: String,
    /// Whether the workspace's container may be recreated if only that brings it up to date.
    pub(crate) recreate_workspace: bool,
}

/// The steps from `observed` to `desired`; none if nothing differs.
///
/// # Errors
/// When a person has to act first, as [`blocked`] says, or when there are no images for its processor.
pub(crate) fn steps(observed: &Observed, desired: &Desired) -> Result<Vec<Step>> {
    // The VM's answer takes precedence: this program may itself run under an emulator.
    let of_guest = observed
        .guest
        .as_ref()
        .map(|guest| guest.architecture.as_str());
    let of_guest = of_guest.filter(|known| !known.is_empty());
    let architecture = of_guest.unwrap_or(&desired.architecture);
    if let Some(reason) = blocked::unpublished(architecture, &desired.offered) {
        return Err(blocked::no_images(reason));
    }
    let Some(machine) = &observed.machine else {
        let mut steps = vec![Step::Launch(launch(desired), ahead(desired))];
        // The user's own user-data does not set proxies.
        let proxies = desired.marker.and_then(|_| desired.proxies.revision());
        let guest = Guest {
            proxies,
            ..Guest::default()
        };
        steps.extend(inside(&guest, desired));
        return Ok(steps);
    };
    let wait = || Step::AwaitMachine(list_call().times(Times::Until("the VM is Running")));
    if let Some(error) = blocked::reason(machine, observed.guest.as_ref()) {
        return Err(error);
    }
    match (machine.outlook(), &observed.guest) {
        (Outlook::Up, Some(guest)) => Ok(inside(guest, desired)),
        (Outlook::Off, _) => {
            let start = Call::new("start the VM", &["start", vm()]);
            Ok(vec![Step::StartMachine(start), Step::Reobserve])
        }
        _ => Ok(vec![wait(), Step::Reobserve]),
    }
}

/// The steps inside a running VM that is not [`blocked`].
fn inside(guest: &Guest, desired: &Desired) -> Vec<Step> {
    let mut steps = Vec::new();
    let provisioned =
        || Step::AwaitProvisioning(guest::probe().times(Times::Until("the marker exists")));
    let mut other_proxies = (guest.proxies != desired.proxies.revision())
        .then(|| Step::SetProxies(guest::set_proxies(desired.proxies.archive())));
    match guest.provisioning() {
        Provisioning::Done | Provisioning::Never => {}
        Provisioning::Running => steps.push(provisioned()),
        Provisioning::Failed | Provisioning::CutShort => {
            // It may have failed because they were missing.
            steps.extend(other_proxies.take());
            steps.push(Step::Reprovision(guest::reprovision()));
            steps.push(provisioned());
        }
    }
    if let Some(set) = other_proxies {
        // This restarts Docker, and the stack with it.
        steps.extend([set, Step::Reobserve]);
        return steps;
    }
    let bundle = Digest::of(&desired.bundle.bytes);
    let new_bundle = guest.bundle != Some(bundle);
    if new_bundle {
        steps.push(Step::InstallBundle(guest::install(
            desired.bundle.clone(),
            None,
        )));
    }
    let agents = agents_after(guest, desired);
    let of_agents = agent_steps(guest, desired);
    // Installing a bundle or choosing agents recreates the forwarder too.
    if guest.ports_differ && !new_bundle && of_agents.is_empty() {
        steps.push(Step::OpenPorts(guest::apply_ports()));
    }
    steps.extend(of_agents);
    if new_bundle || !guest.secrets {
        steps.push(Step::MakeSecrets(guest::secrets()));
    }
    steps.extend(services(guest, desired, &bundle, &agents));
    steps
}

/// The steps that start the services of this stack and wait for them; none if they are healthy.
fn services(guest: &Guest, desired: &Desired, bundle: &Digest, agents: &AgentDigests) -> Vec<Step> {
    let mut steps = Vec::new();
    let stack = stack(bundle, agents);
    let changed = guest.bundle != Some(*bundle) || *agents != layered(guest);
    let whole = guest.ready.as_deref() == Some(stack.as_str());
    let digest = Digest::of(stack.as_bytes());
    let differs = desired.recreate_workspace && guest.workspace_differs.is_some();
    if !changed && whole && guest.is_healthy() && guest.has_images() && !differs {
        return steps;
    }
    if changed || !guest.has_images() {
        steps.push(Step::Pull(guest::pull_job(&digest)));
    }
    // Services that are starting only need time.
    let down = guest.services.is_empty() || guest.all(Condition::Down).next().is_some();
    let unhealthy: Vec<String> = guest
        .all(Condition::Unhealthy)
        .map(|service| service.name.clone())
        .collect();
    if changed || !whole || down || !unhealthy.is_empty() || differs {
        // Mounted files change their content, not their name, so Compose would keep the old containers. The workspace is
        // only restarted for that, never recreated.
        let recreate = (guest.ready.is_some() && !whole) || (changed && guest.has_containers());
        let up = guest::UpOptions {
            recreate,
            // The new definition is not installed yet, so only `stack.sh` will know whether it differs.
            recreate_workspace: desired.recreate_workspace && guest.has_containers(),
            restart: if recreate { Vec::new() } else { unhealthy },
        };
        steps.push(Step::Up(guest::up_job(&digest, &up)));
    }
    let healthy = Times::Until("every service is healthy");
    steps.push(Step::AwaitHealth(guest::probe().times(healthy)));
    if !whole {
        steps.push(Step::MarkReady(guest::ready(&stack)));
    }
    steps.extend(await_agents(guest, desired));
    steps
}

/// Waits for the agents with a manifest; the others report no state.
fn await_agents(guest: &Guest, desired: &Desired) -> Option<Step> {
    let known = guest.agents.iter().map(|agent| agent.trusted);
    let added = desired.agent.iter().map(|agent| agent.manifest.is_none());
    let waits = desired.agents && added.chain(known).any(|trusted| !trusted);
    let known = Times::Until("each is installed, and healthy or not");
    waits.then(|| Step::AwaitAgents(guest::agents().times(known)))
}

/// The steps that install an agent and its keys, and choose which agents are part of the stack.
pub(crate) fn agent_steps(guest: &Guest, desired: &Desired) -> Vec<Step> {
    let mut steps = Vec::new();
    if let Some(agent) = &desired.agent {
        let digest = Digest::of(&agent.archive.bytes);
        let known = guest.agents.iter().find(|known| known.name == agent.name);
        if !known.is_some_and(|known| known.digest == digest && known.layered) {
            let calls = guest::install(agent.archive.clone(), Some(&agent.name));
            steps.push(Step::InstallAgent(calls));
        }
        if !agent.keys.is_empty() {
            steps.push(Step::GiveKeys(guest::give_keys(
                &agent.name,
                agent.keys.payload(),
            )));
        }
    }
    // Installing an agent adds the others to the stack too.
    let installs = steps
        .iter()
        .any(|step| matches!(step, Step::InstallAgent(_)));
    let mut others = guest.agents.iter();
    if !installs && others.any(|agent| agent.layered != desired.agents) {
        steps.push(Step::LayerAgents(guest::layer(desired.agents)));
    }
    steps
}

/// The calls that a VM accepts before it is provisioned: transfer the bundle and the agent, and start pulling the images as
/// soon as Docker runs.
fn ahead(desired: &Desired) -> Vec<Call> {
    let mut calls = vec![guest::place()];
    calls.extend(guest::install(desired.bundle.clone(), None));
    if let Some(agent) = &desired.agent {
        calls.extend(guest::install(agent.archive.clone(), Some(&agent.name)));
    }
    let agents = agents_after(&Guest::default(), desired);
    let stack = stack(&Digest::of(&desired.bundle.bytes), &agents);
    calls.push(guest::pull_ahead(&Digest::of(stack.as_bytes())));
    calls
}

/// Agents by their names, with the digests of their archives.
type AgentDigests = BTreeMap<String, Digest>;

/// The agents that are part of the stack.
fn layered(guest: &Guest) -> AgentDigests {
    let layered = guest.agents.iter().filter(|agent| agent.layered);
    layered
        .map(|agent| (agent.name.clone(), agent.digest))
        .collect()
}

/// The agents that will be part of the stack.
fn agents_after(guest: &Guest, desired: &Desired) -> AgentDigests {
    if !desired.agents {
        return AgentDigests::new();
    }
    let mut agents: AgentDigests = guest
        .agents
        .iter()
        .map(|agent| (agent.name.clone(), agent.digest))
        .collect();
    if let Some(agent) = &desired.agent {
        agents.insert(agent.name.clone(), Digest::of(&agent.archive.bytes));
    }
    agents
}

/// Identifies a stack: its bundle and its agents.
fn stack(bundle: &Digest, agents: &AgentDigests) -> String {
    if agents.is_empty() {
        return bundle.hex();
    }
    let lines = agents
        .iter()
        .map(|(name, digest)| format!("{name} {}\n", digest.hex()));
    let agents = Digest::of(lines.collect::<String>().as_bytes());
    format!("{} {}", bundle.hex(), agents.hex())
}

/// `multipass launch`.
fn launch(desired: &Desired) -> Call {
    let args = [
        "launch",
        IMAGE,
        "--name",
        vm(),
        "--cpus",
        &desired.cpus.to_string(),
        "--memory",
        &desired.memory.to_string(),
        "--disk",
        &desired.disk.to_string(),
        "--timeout",
        &desired.timeout.as_secs().to_string(),
        "--cloud-init",
        "-",
    ];
    Call::new("launch the VM and provision it", &args).with(desired.user_data.clone())
}

/// The calls at the start of every run.
pub(crate) fn observing() -> [Call; 2] {
    [version_call(), list_call()]
}

#[cfg(test)]
mod tests;
