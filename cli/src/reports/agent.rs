//! The reports of `agent`, and the agents as `status` reports them.

#[cfg(test)]
use schemars::JsonSchema;
use serde::Serialize;

use super::Digest;
use crate::agent::Description;
use crate::guest::agents::AgentsReport;
use crate::guest::probe::Guest;
use crate::plan::StepName;

/// An agent that is installed.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
pub(crate) struct InstalledAgent<'a> {
    /// Its name.
    name: &'a str,
    /// The digest of its archive.
    digest: Digest,
    /// Whether it has its own Compose file, which can disable the sandbox.
    trusted_compose: bool,
    /// Whether it is part of the stack.
    layered: bool,
    /// The state reported by the workspace, such as `healthy` or `install-failed`; null if it does not report this agent.
    state: Option<&'a str>,
    /// The relevant line of a log.
    detail: Option<&'a str>,
    /// The ports that it requests.
    ports: Vec<u16>,
    /// The names of the keys that are stored for it.
    keys: Vec<String>,
}

/// The installed agents.
pub(crate) fn installed<'a>(guest: &'a Guest, agents: &'a AgentsReport) -> Vec<InstalledAgent<'a>> {
    let each = guest.agents.iter().map(|agent| {
        let state = agents.state(&agent.name);
        InstalledAgent {
            name: &agent.name,
            digest: agent.digest.into(),
            trusted_compose: agent.trusted,
            layered: agent.layered,
            state: state.map(|state| state.word.as_str()),
            detail: state.map(|state| state.detail.as_str()),
            ports: agents.ports_of(&agent.name),
            keys: agents.keys_of(&agent.name),
        }
    });
    each.collect()
}

/// The result of `agent list`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
pub(crate) struct AgentList<'a> {
    /// The installed agents.
    pub(crate) agents: Vec<InstalledAgent<'a>>,
}

/// The result of `agent show`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
pub(crate) struct AgentDetails<'a> {
    /// Its name.
    pub(crate) name: &'a str,
    /// Its manifest; null if it has its own Compose file.
    pub(crate) manifest: Option<Description>,
    /// Its own Compose file, which the user has trusted.
    pub(crate) compose: Option<String>,
}

/// The result of `agent check`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
pub(crate) struct CheckedAgent {
    /// The agent's manifest.
    pub(crate) agent: Description,
    /// The Compose file that is generated from it.
    pub(crate) compose: String,
    /// The systemd unit that is generated from it.
    pub(crate) unit: String,
}

/// The result of `agent add`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
pub(crate) struct AddedAgent<'a> {
    /// Its name.
    pub(crate) name: &'a str,
    /// The steps that were executed; none if it was already installed.
    pub(crate) did: Vec<StepName>,
}

/// The result of `agent remove`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
pub(crate) struct RemovedAgent<'a> {
    /// Its name.
    pub(crate) name: &'a str,
    /// False if the user declined.
    pub(crate) removed: bool,
    /// Whether everything that it has stored was deleted too.
    pub(crate) purged: bool,
}

/// The result of `agent restart`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
pub(crate) struct RestartedAgent<'a> {
    /// Its name.
    pub(crate) name: &'a str,
}
