//! Plans `start`: a pure function from the observed and the desired state to steps, and from steps to calls. `--dry-run`
//! prints what it returns, and the reconciler executes exactly that.

use std::collections::BTreeMap;

use polis_base::Digest;
use serde_json::{Value, json};

use crate::agent::Agent;
use crate::doctor;
use crate::error::{Error, Kind, Result};
use crate::guest::probe::{Condition, Guest, Provisioning};
use crate::guest::{self, Job};
use crate::instance::vm;
use crate::multipass::call::{Call, Payload, Times};
use crate::multipass::refusal;
use crate::multipass::state::{NO_ANSWER, Outlook, VmState};
use crate::multipass::{list_call, version_call};
use crate::platform;
use crate::proxy::Proxies;

/// The image: 24.04 follows its point releases.
const IMAGE: &str = "24.04";

/// The workspace as last probed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Observed {
    /// The VM's state; none if there is no VM.
    pub(crate) machine: Option<VmState>,
    /// What the probe found inside; none unless the VM runs.
    pub(crate) guest: Option<Guest>,
}

/// The state that `start` converges to.
#[derive(Debug, Clone)]
pub(crate) struct Desired {
    pub(crate) cpus: String,
    pub(crate) memory: String,
    pub(crate) disk: String,
    /// Seconds that a launch may take, the download of the image included.
    pub(crate) timeout: String,
    /// The user-data of a new VM.
    pub(crate) user_data: Payload,
    /// The digest over the files that this user-data writes; none for one that the user brought.
    pub(crate) marker: Option<Digest>,
    /// The proxies and certificate authorities that the VM has to know.
    pub(crate) proxies: Proxies,
    /// The stack.
    pub(crate) bundle: Payload,
    /// The agent to add.
    pub(crate) agent: Option<Agent>,
    /// Whether the agents that are there are part of the stack.
    pub(crate) agents: bool,
    /// The architecture of this machine, which a new VM has too.
    pub(crate) architecture: String,
    /// What the images of the stack are published for, separated by blanks.
    pub(crate) offered: String,
    /// Whether the workspace's container may be recreated if only that brings it up to date.
    pub(crate) recreate_workspace: bool,
}

/// One thing to do.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// Launch the VM and provision it; meanwhile bring ahead what comes next.
    Launch(Call, Vec<Call>),
    /// Start a VM that is not running.
    StartMachine(Call),
    /// Wait until the VM runs.
    AwaitMachine(Call),
    /// Bring the proxies and certificate authorities, or remove them.
    SetProxies([Call; 3]),
    /// Run the provisioning once more.
    Reprovision(Call),
    /// Wait for our marker.
    AwaitProvisioning(Call),
    /// Bring the bundle.
    InstallBundle([Call; 2]),
    /// Bring the agent.
    InstallAgent([Call; 2]),
    /// Bring the agent's keys.
    GiveKeys([Call; 3]),
    /// Make the agents a part of the stack, or take them out of it.
    LayerAgents(Call),
    /// Have the ports at the address that the VM has now.
    OpenPorts(Call),
    /// Make certificates and secrets.
    MakeSecrets(Call),
    /// Pull what is missing.
    Pull(Job),
    /// Bring the services up.
    Up(Job),
    /// Wait until every service is healthy.
    AwaitHealth(Call),
    /// Record that the stack is complete.
    MarkReady(Call),
    /// Wait until the agents are installed, and say how they are.
    AwaitAgents(Call),
    /// Probe and plan again: the next steps depend on what this plan has changed.
    Reobserve,
}

impl Step {
    /// Its name, for reports.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Launch(..) => "launch",
            Self::StartMachine(_) => "start-machine",
            Self::AwaitMachine(_) => "await-machine",
            Self::SetProxies(_) => "set-proxies",
            Self::Reprovision(_) => "provision-again",
            Self::AwaitProvisioning(_) => "await-provisioning",
            Self::InstallBundle(_) => "install-bundle",
            Self::InstallAgent(_) => "install-agent",
            Self::GiveKeys(_) => "give-keys",
            Self::LayerAgents(_) => "layer-agents",
            Self::OpenPorts(_) => "open-ports",
            Self::MakeSecrets(_) => "make-secrets",
            Self::Pull(_) => "pull",
            Self::Up(_) => "start-services",
            Self::AwaitHealth(_) => "await-health",
            Self::MarkReady(_) => "mark-ready",
            Self::AwaitAgents(_) => "await-agents",
            Self::Reobserve => "look-again",
        }
    }

    /// What it does, for people.
    pub(crate) fn title(&self) -> &'static str {
        match self {
            Self::Launch(..) => "Launching the VM",
            Self::StartMachine(_) => "Starting the VM",
            Self::AwaitMachine(_) => "Waiting for the VM",
            Self::SetProxies(_) => "Setting the proxies and certificates of the VM",
            Self::Reprovision(_) => "Provisioning the VM again",
            Self::AwaitProvisioning(_) => "Provisioning the VM",
            Self::InstallBundle(_) => "Transferring the bundle",
            Self::InstallAgent(_) => "Transferring the agent",
            Self::GiveKeys(_) => "Handing over the agent's keys",
            Self::LayerAgents(_) => "Choosing the agents to start",
            Self::OpenPorts(_) => "Opening the ports at the VM's address",
            Self::MakeSecrets(_) => "Making certificates and secrets",
            Self::Pull(_) => "Pulling the images",
            Self::Up(_) => "Starting the services",
            Self::AwaitHealth(_) => "Waiting until every service is healthy",
            Self::MarkReady(_) => "Recording that the workspace is complete",
            Self::AwaitAgents(_) => "Waiting for the agents",
            Self::Reobserve => "Looking again",
        }
    }

    /// The calls that it makes.
    pub(crate) fn calls(&self) -> Vec<Call> {
        match self {
            Self::Launch(call, ahead) => {
                let mut calls = vec![
                    call.clone(),
                    list_call().times(Times::Meanwhile),
                    guest::progress(),
                ];
                calls.extend(ahead.iter().cloned().map(|call| call.times(Times::Ahead)));
                calls
            }
            Self::StartMachine(call)
            | Self::AwaitMachine(call)
            | Self::Reprovision(call)
            | Self::AwaitProvisioning(call)
            | Self::LayerAgents(call)
            | Self::OpenPorts(call)
            | Self::MakeSecrets(call)
            | Self::AwaitHealth(call)
            | Self::AwaitAgents(call)
            | Self::MarkReady(call) => vec![call.clone()],
            Self::InstallBundle(calls) | Self::InstallAgent(calls) => calls.to_vec(),
            Self::GiveKeys(calls) | Self::SetProxies(calls) => calls.to_vec(),
            Self::Pull(job) | Self::Up(job) => {
                vec![job.start.clone(), job.poll.clone()]
            }
            Self::Reobserve => Vec::new(),
        }
    }
}

/// Why a person has to act before anything can be done about this VM: it is deleted, stuck, was never provisioned, or its
/// Docker is down. `status` and `doctor` say the same.
pub(crate) fn blocked(machine: &VmState, guest: Option<&Guest>) -> Option<Box<Error>> {
    match (machine.outlook(), guest) {
        (Outlook::Deleted, _) => Some(refusal::deleted()),
        (Outlook::Stuck, _) => Some(stuck(machine)),
        (Outlook::Up, Some(guest)) => match guest.provisioning() {
            Provisioning::Done if guest.docker_down => Some(docker_down()),
            Provisioning::Never => Some(never_provisioned()),
            _ => None,
        },
        _ => None,
    }
}

/// The steps from `observed` to `desired`; none if nothing differs.
///
/// # Errors
/// When a person has to act first, as [`blocked`] says, or when there are no images for its processor.
pub(crate) fn steps(observed: &Observed, desired: &Desired) -> Result<Vec<Step>> {
    // The VM knows better than this program, which may itself run under an emulator.
    let of_guest = observed
        .guest
        .as_ref()
        .map(|guest| guest.architecture.as_str());
    let of_guest = of_guest.filter(|known| !known.is_empty());
    let architecture = of_guest.unwrap_or(&desired.architecture);
    if let Some(reason) = doctor::unpublished(architecture, &desired.offered) {
        return Err(no_images(reason));
    }
    let Some(machine) = &observed.machine else {
        let mut steps = vec![Step::Launch(launch(desired), ahead(desired))];
        // User-data of the user knows nothing of proxies.
        let proxies = desired.marker.and_then(|_| desired.proxies.revision());
        let guest = Guest {
            proxies,
            ..Guest::default()
        };
        steps.extend(inside(&guest, desired));
        return Ok(steps);
    };
    let wait = || Step::AwaitMachine(list_call().times(Times::Until("the VM is Running")));
    if let Some(error) = blocked(machine, observed.guest.as_ref()) {
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

/// What is to be done inside a running VM that is not [`blocked`].
fn inside(guest: &Guest, desired: &Desired) -> Vec<Step> {
    let mut steps = Vec::new();
    let provisioned =
        || Step::AwaitProvisioning(guest::probe().times(Times::Until("the marker is there")));
    let mut other_proxies = (guest.proxies != desired.proxies.revision())
        .then(|| Step::SetProxies(guest::set_proxies(desired.proxies.archive())));
    match guest.provisioning() {
        Provisioning::Done | Provisioning::Never => {}
        Provisioning::Running => steps.push(provisioned()),
        Provisioning::Failed | Provisioning::CutShort => {
            // It may have failed for want of them.
            steps.extend(other_proxies.take());
            steps.push(Step::Reprovision(guest::reprovision()));
            steps.push(provisioned());
        }
    }
    if let Some(set) = other_proxies {
        // Docker is restarted for them, and the stack with it.
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
    // A bundle, or a choice of agents, has the forwarder made anew as well.
    if guest.ports_differ && !new_bundle && of_agents.is_empty() {
        steps.push(Step::OpenPorts(guest::apply_ports()));
    }
    steps.extend(of_agents);
    if new_bundle || !guest.secrets {
        steps.push(Step::MakeSecrets(guest::secrets()));
    }
    let stack = stack(&bundle, &agents);
    let changed = new_bundle || agents != layered(guest);
    let whole = guest.ready.as_deref() == Some(stack.as_str());
    let digest = Digest::of(stack.as_bytes());
    let differs = desired.recreate_workspace && guest.workspace_differs.is_some();
    if !changed && whole && guest.is_healthy() && guest.has_images() && !differs {
        return steps;
    }
    if changed || !guest.has_images() {
        steps.push(Step::Pull(guest::pull_job(&digest)));
    }
    // What is only on its way needs nothing but time.
    let down = guest.services.is_empty() || guest.all(Condition::Down).next().is_some();
    let unhealthy: Vec<String> = guest
        .all(Condition::Unhealthy)
        .map(|service| service.name.clone())
        .collect();
    if changed || !whole || down || !unhealthy.is_empty() || differs {
        // Files that are mounted change their content, not their name: Compose would keep the old
        // containers. The workspace is only restarted for that, never recreated.
        let recreate = (guest.ready.is_some() && !whole) || (changed && guest.has_containers());
        let up = guest::UpOptions {
            recreate,
            // The new definition is not in place yet: only `stack.sh` can tell then whether it differs.
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

/// The wait for the agents that have a manifest; of the others nothing is known.
fn await_agents(guest: &Guest, desired: &Desired) -> Option<Step> {
    let known = guest.agents.iter().map(|agent| agent.trusted);
    let added = desired.agent.iter().map(|agent| agent.manifest.is_none());
    let waits = desired.agents && added.chain(known).any(|trusted| !trusted);
    let known = Times::Until("each is installed, and healthy or not");
    waits.then(|| Step::AwaitAgents(guest::agents().times(known)))
}

/// The steps that bring an agent and its keys, and choose what is layered.
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
    // To bring an agent layers the others too.
    let brings = steps
        .iter()
        .any(|step| matches!(step, Step::InstallAgent(_)));
    let mut others = guest.agents.iter();
    if !brings && others.any(|agent| agent.layered != desired.agents) {
        steps.push(Step::LayerAgents(guest::layer(desired.agents)));
    }
    steps
}

/// What can be done in a VM before it is provisioned: bring bundle and agent, and have the images pulled from the moment
/// that Docker runs.
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

/// What tells one stack from another: the bundle, and the agents on it.
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
        &desired.cpus,
        "--memory",
        &desired.memory,
        "--disk",
        &desired.disk,
        "--timeout",
        &desired.timeout,
        "--cloud-init",
        "-",
    ];
    Call::new("launch the VM and provision it", &args).with(desired.user_data.clone())
}

/// A state that no call of ours mends.
pub(crate) fn stuck(machine: &VmState) -> Box<Error> {
    let error = Error::new(
        Kind::Machine,
        format!("the VM is in the state `{}`", machine.word()),
    );
    match machine {
        VmState::DelayedShutdown => error
            .because("a delayed shutdown is under way")
            .next(format!(
                "multipass stop --cancel {}, then: polis start",
                vm()
            )),
        _ => error
            .next(format!(
                "multipass stop --force {}, then: polis start",
                vm()
            ))
            .next("polis doctor"),
    }
}

/// A VM that has not answered for `seconds`, longer than it takes to boot.
pub(crate) fn hangs(seconds: u64) -> Box<Error> {
    Error::new(Kind::Machine, NO_ANSWER)
        .because(format!(
            "it has not answered within {seconds} s; a full disk of this host is a frequent reason"
        ))
        .next(format!(
            "multipass stop --force {}, then: polis start",
            vm()
        ))
        .next(platform::UNREACHABLE_VM)
        .next("polis doctor")
}

/// cloud-init has ended, and our script is not there.
pub(crate) fn never_provisioned() -> Box<Error> {
    Error::new(Kind::Provisioning, "the VM was not provisioned")
        .because("cloud-init has ended without our user-data: Multipass did not pass it on")
        .next("polis delete --purge, then: polis start")
}

/// The refusal before anything is launched or pulled: the pull would fail minutes later, without giving the reason.
fn no_images(reason: String) -> Box<Error> {
    Error::new(Kind::Machine, "the stack cannot run on this machine")
        .because(reason)
        .next(doctor::ANOTHER_MACHINE)
        .next("polis doctor")
}

/// Nothing of ours starts Docker: the VM's own service manager does, and has given up.
fn docker_down() -> Box<Error> {
    Error::new(Kind::Unhealthy, "Docker does not answer in the VM")
        .because("its service is down, or did not come up in time after a boot")
        .next("polis exec --vm -- sudo systemctl restart docker, then: polis start")
        .next("polis exec --vm -- sudo journalctl -u docker -n 30")
}

/// The calls with which every run begins.
pub(crate) fn looking() -> [Call; 2] {
    [version_call(), list_call()]
}

/// The plan for a program.
pub(crate) fn to_json(steps: &[Step]) -> Value {
    let steps = steps.iter().map(|step| {
        let calls: Vec<Value> = step.calls().iter().map(Call::to_json).collect();
        json!({"step": step.name(), "title": step.title(), "calls": calls})
    });
    Value::Array(steps.collect())
}

/// The plan for people.
pub(crate) fn to_text(steps: &[Step]) -> String {
    let mut text = String::new();
    for step in steps {
        text.push_str(&format!("# {}\n", step.title()));
        for call in step.calls() {
            text.push_str(&call.to_text());
            if let Some(payload) = &call.payload {
                text.push_str(&format!("  < {}", payload.name));
                if let Some((bytes, digest)) = payload.facts() {
                    text.push_str(&format!(" ({bytes} bytes, {digest})"));
                }
            }
            text.push_str(match call.times {
                Times::Once => "\n",
                Times::Until(_) => "  # again and again, until ",
                Times::Meanwhile => "  # now and then, meanwhile\n",
                Times::Ahead => "  # meanwhile, once the VM runs\n",
            });
            if let Times::Until(what) = call.times {
                text.push_str(&format!("{what}\n"));
            }
        }
    }
    if text.is_empty() {
        text.push_str("# There is nothing to do.\n");
    }
    text
}

#[cfg(test)]
mod tests;
