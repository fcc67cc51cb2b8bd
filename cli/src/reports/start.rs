//! The reports of `start`: what it did, or with `--dry-run` what it would do.

use std::time::Duration;

#[cfg(test)]
use schemars::JsonSchema;
use serde::Serialize;

use super::Digest;
use super::status::ServiceState;
use crate::guest::agents::AgentState;
use crate::guest::probe::Difference;
use crate::guest::storage::OutsideVolumes;
use crate::multipass::call::{Call, Payload, Times};
use crate::plan::{Step, StepName};
use crate::settings::Settings;

/// The result of `start`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
pub(crate) struct Start<'a> {
    /// Whether nothing was executed.
    #[cfg_attr(test, schemars(extend("const" = false)))]
    pub(crate) dry_run: bool,
    /// The steps that were executed.
    pub(crate) did: Vec<ExecutedStep>,
    /// The state of the agents that the start waited for, as reported by the workspace.
    pub(crate) agents: Vec<AwaitedAgent>,
    /// The total time.
    pub(crate) seconds: u64,
    /// The services of the stack.
    pub(crate) services: Vec<ServiceState>,
    /// How the workspace's container differs from what Compose would create now; null if it does not.
    pub(crate) workspace_differs: Option<Difference>,
    /// What an outdated workspace has outside its volumes; null if it is up to date.
    pub(crate) outside_volumes: Option<OutsideVolumes>,
    /// The settings that have a value, by name.
    pub(crate) settings: &'a Settings,
}

/// A step that was executed.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
pub(crate) struct ExecutedStep {
    /// The step.
    step: StepName,
    /// How long it took.
    seconds: u64,
}

impl ExecutedStep {
    /// The step `step`, which took `time`.
    pub(crate) fn new(step: StepName, time: Duration) -> Self {
        let seconds = time.as_secs();
        Self { step, seconds }
    }
}

/// An agent that the start waited for.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
pub(crate) struct AwaitedAgent {
    name: String,
    /// As reported by the workspace, such as `healthy` or `install-failed`.
    state: String,
    /// A line of a log with details; often empty.
    detail: String,
}

impl From<&AgentState> for AwaitedAgent {
    fn from(agent: &AgentState) -> Self {
        Self {
            name: agent.name.clone(),
            state: agent.word.clone(),
            detail: agent.detail.clone(),
        }
    }
}

/// The result of `start --dry-run`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
pub(crate) struct Plan<'a> {
    /// Whether nothing was executed.
    #[cfg_attr(test, schemars(extend("const" = true)))]
    pub(crate) dry_run: bool,
    /// The calls at the beginning of a start.
    pub(crate) looked: Vec<PlannedCall>,
    /// The steps that the start would execute.
    pub(crate) plan: Vec<PlannedStep>,
    /// How the workspace's container differs from what Compose would create now; null if it does not.
    pub(crate) workspace_differs: Option<Difference>,
    /// What an outdated workspace has outside its volumes; null if it is up to date.
    pub(crate) outside_volumes: Option<&'a OutsideVolumes>,
}

/// A step of the plan.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
pub(crate) struct PlannedStep {
    step: StepName,
    /// What it does.
    title: &'static str,
    /// The calls that it makes.
    calls: Vec<PlannedCall>,
}

impl From<&Step> for PlannedStep {
    fn from(step: &Step) -> Self {
        Self {
            step: step.name(),
            title: step.title(),
            calls: step.calls().iter().map(PlannedCall::from).collect(),
        }
    }
}

/// A call of Multipass.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
pub(crate) struct PlannedCall {
    /// What it is for.
    purpose: &'static str,
    /// The arguments of `multipass`.
    args: Vec<String>,
    /// Its input; null if it has none.
    stdin: Option<Input>,
    /// How often it is made.
    times: Repetition,
    /// The condition that ends it, if `times` is `until`.
    until: Option<&'static str>,
}

impl From<&Call> for PlannedCall {
    fn from(call: &Call) -> Self {
        let (times, until) = match call.times {
            Times::Once => (Repetition::Once, None),
            Times::Until(condition) => (Repetition::Until, Some(condition)),
            Times::Meanwhile => (Repetition::Meanwhile, None),
            Times::Ahead => (Repetition::Ahead, None),
        };
        Self {
            purpose: call.purpose,
            args: call.args.clone(),
            stdin: call.payload.as_ref().map(Input::from),
            times,
            until,
        }
    }
}

/// How often a call is made.
#[derive(Debug, Serialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(test, derive(JsonSchema))]
enum Repetition {
    /// Once.
    Once,
    /// Repeatedly, until a condition holds.
    Until,
    /// Repeatedly while the call before it runs, to show progress.
    Meanwhile,
    /// During the launch, if time allows; the following steps do the rest.
    Ahead,
}

/// The input of a call.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
struct Input {
    /// A description, and its file name if it is a file.
    name: &'static str,
    /// Its size; null for a secret.
    bytes: Option<usize>,
    /// Its digest; null for a secret.
    digest: Option<Digest>,
}

impl From<&Payload> for Input {
    fn from(payload: &Payload) -> Self {
        let (bytes, digest) = payload.facts().unzip();
        Self {
            name: payload.name,
            bytes,
            digest: digest.map(Digest::from),
        }
    }
}
