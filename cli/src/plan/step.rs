//! The steps of a plan, each with the calls that it makes.

use serde::Serialize;

use crate::guest::{self, Job};
use crate::multipass::call::{Call, Times};
use crate::multipass::list_call;

#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// Launch the VM and provision it; meanwhile transfer what the next steps need.
    Launch(Call, Vec<Call>),
    /// Start a VM that is not running.
    StartMachine(Call),
    /// Wait until the VM runs.
    AwaitMachine(Call),
    /// Install the proxies and certificate authorities, or remove them.
    SetProxies([Call; 3]),
    /// Run the provisioning again.
    Reprovision(Call),
    /// Wait for the provisioning's marker.
    AwaitProvisioning(Call),
    InstallBundle([Call; 2]),
    InstallAgent([Call; 2]),
    GiveKeys([Call; 3]),
    /// Add the agents to the stack, or remove them from it.
    LayerAgents(Call),
    /// Open the ports at the VM's current address.
    OpenPorts(Call),
    /// Create certificates and secrets.
    MakeSecrets(Call),
    /// Pull missing images.
    Pull(Job),
    /// Start the services.
    Up(Job),
    /// Wait until every service is healthy.
    AwaitHealth(Call),
    /// Record that the stack is complete.
    MarkReady(Call),
    /// Wait until the agents are healthy or have failed.
    AwaitAgents(Call),
    /// Probe and plan again: the next steps depend on what this plan has changed.
    Reobserve,
}

impl Step {
    /// Its name, for reports.
    pub(crate) fn name(&self) -> StepName {
        match self {
            Self::Launch(..) => StepName::Launch,
            Self::StartMachine(_) => StepName::StartMachine,
            Self::AwaitMachine(_) => StepName::AwaitMachine,
            Self::SetProxies(_) => StepName::SetProxies,
            Self::Reprovision(_) => StepName::ProvisionAgain,
            Self::AwaitProvisioning(_) => StepName::AwaitProvisioning,
            Self::InstallBundle(_) => StepName::InstallBundle,
            Self::InstallAgent(_) => StepName::InstallAgent,
            Self::GiveKeys(_) => StepName::GiveKeys,
            Self::LayerAgents(_) => StepName::LayerAgents,
            Self::OpenPorts(_) => StepName::OpenPorts,
            Self::MakeSecrets(_) => StepName::MakeSecrets,
            Self::Pull(_) => StepName::Pull,
            Self::Up(_) => StepName::StartServices,
            Self::AwaitHealth(_) => StepName::AwaitHealth,
            Self::MarkReady(_) => StepName::MarkReady,
            Self::AwaitAgents(_) => StepName::AwaitAgents,
            Self::Reobserve => StepName::LookAgain,
        }
    }

    /// What it does, as a heading.
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
            Self::GiveKeys(_) => "Transferring the agent's keys",
            Self::LayerAgents(_) => "Choosing the agents to start",
            Self::OpenPorts(_) => "Opening the ports at the VM's address",
            Self::MakeSecrets(_) => "Creating certificates and secrets",
            Self::Pull(_) => "Pulling the images",
            Self::Up(_) => "Starting the services",
            Self::AwaitHealth(_) => "Waiting until every service is healthy",
            Self::MarkReady(_) => "Recording that the workspace is complete",
            Self::AwaitAgents(_) => "Waiting for the agents",
            Self::Reobserve => "Observing the VM again",
        }
    }

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

/// A step of a start, as reports name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) enum StepName {
    Launch,
    StartMachine,
    AwaitMachine,
    SetProxies,
    ProvisionAgain,
    AwaitProvisioning,
    InstallBundle,
    InstallAgent,
    GiveKeys,
    LayerAgents,
    OpenPorts,
    MakeSecrets,
    Pull,
    StartServices,
    AwaitHealth,
    MarkReady,
    AwaitAgents,
    LookAgain,
}

/// The plan as text, with a line for each call.
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
                Times::Until(_) => "  # repeatedly, until ",
                Times::Meanwhile => "  # repeatedly, meanwhile\n",
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
