//! A manifest as it is shown to people and to programs. Installing an agent stores this in the VM, where `agent show` reads it.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::manifest::Manifest;
use super::text::Key;

/// The manifest of an agent.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Description {
    pub(crate) name: String,
    pub(crate) display_name: String,
    pub(crate) version: String,
    pub(crate) description: String,
    /// The words of the command line.
    pub(crate) command: Vec<String>,
    /// The user of the workspace that runs it.
    pub(crate) user: String,
    /// The command that checks its health; null if there is none.
    pub(crate) health: Option<String>,
    pub(crate) ports: Vec<RequestedPort>,
    pub(crate) volumes: Vec<MountedVolume>,
    pub(crate) keys: KeyNames,
    /// What the user has to do once the agent runs.
    pub(crate) onboarding: Vec<OnboardingStep>,
}

/// A port on which the agent listens.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct RequestedPort {
    /// The port in the workspace.
    pub(crate) workspace: u16,
    /// The port at the VM's address.
    pub(crate) vm: u16,
}

/// A volume of the agent.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct MountedVolume {
    /// Its name.
    pub(crate) name: String,
    /// Where it is mounted in the workspace.
    pub(crate) path: String,
}

/// The names of the keys that the agent reads from its environment.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct KeyNames {
    /// The keys of which it needs at least one.
    pub(crate) one_of: Vec<String>,
    /// The keys that it does not need.
    pub(crate) optional: Vec<String>,
}

/// Something that the user has to do once the agent runs.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct OnboardingStep {
    /// What it is for.
    pub(crate) title: String,
    /// The command to run.
    pub(crate) command: String,
}

impl From<&Manifest> for Description {
    fn from(manifest: &Manifest) -> Self {
        let (metadata, spec) = (&manifest.metadata, &manifest.spec);
        let ports = spec.ports.iter().map(|port| RequestedPort {
            workspace: port.container.0,
            vm: port.outside().0,
        });
        let volumes = spec.persistence.iter().map(|kept| MountedVolume {
            name: kept.name.0.clone(),
            path: kept.container_path.0.clone(),
        });
        let onboarding = spec.onboarding.iter().map(|step| OnboardingStep {
            title: step.title.0.clone(),
            command: step.command.0.clone(),
        });
        let names = |keys: &BTreeSet<Key>| keys.iter().map(|key| key.0.clone()).collect();
        Self {
            name: metadata.name.0.clone(),
            display_name: metadata.display_name.0.clone(),
            version: metadata.version.0.clone(),
            description: metadata.description.0.clone(),
            command: spec.runtime.command.0.clone(),
            user: spec.runtime.user.0.clone(),
            health: spec.health.as_ref().map(|health| health.command.0.clone()),
            ports: ports.collect(),
            volumes: volumes.collect(),
            keys: KeyNames {
                one_of: names(&spec.requirements.env_one_of),
                optional: names(&spec.requirements.env_optional),
            },
            onboarding: onboarding.collect(),
        }
    }
}

impl Description {
    /// As JSON with sorted keys, so that the digest of an agent's archive depends only on its content.
    pub(super) fn to_json(&self) -> String {
        let value = serde_json::to_value(self).expect("keys that are strings");
        format!("{value:#}\n")
    }

    /// As a table; `given` are the keys that are stored for the agent.
    pub(crate) fn to_text(&self, given: &[String]) -> String {
        let lines = |lines: Vec<String>| lines.join("\n             ");
        let ports = self.ports.iter();
        let ports = ports.map(|port| format!("{} -> {}", port.vm, port.workspace));
        let volumes = self.volumes.iter();
        let volumes = volumes.map(|volume| format!("{} on {}", volume.name, volume.path));
        let steps = self.onboarding.iter();
        let steps = steps.map(|step| format!("{}: {}", step.title, step.command));
        let rows = [
            (
                "name",
                format!("{} ({} {})", self.name, self.display_name, self.version),
            ),
            ("description", self.description.clone()),
            ("command", self.command.join(" ")),
            ("user", self.user.clone()),
            ("health", self.health.clone().unwrap_or_default()),
            ("ports", lines(ports.collect())),
            ("volumes", lines(volumes.collect())),
            ("needs one of", self.keys.one_of.join(", ")),
            ("optional", self.keys.optional.join(", ")),
            ("has keys", given.join(", ")),
            ("to do", lines(steps.collect())),
        ];
        let rows = rows.iter().filter(|(_, value)| !value.is_empty());
        rows.map(|(key, value)| format!("{key:<12} {value}\n"))
            .collect()
    }
}
