//! `polis status`: how the workspace is. It asks in ways that change nothing: a VM that is not
//! running is not entered, since that would start it.

use polis_base::Digest;
use serde_json::{Value, json};

use crate::context::Context;
use crate::embedded;
use crate::error::{Kind, Result};
use crate::guest;
use crate::guest::probe::{Disk, Guest, MAKE_ROOM, Provisioning, RECREATE_WORKSPACE};
use crate::guest::storage::{self, Volume};
use crate::multipass::state::State;
use crate::multipass::{Multipass, size};
use crate::output::Done;

/// Runs `polis status`.
pub(crate) fn run(context: &Context) -> Result<Done> {
    let multipass = context.multipass()?;
    let machine = multipass.state()?;
    let guest = match machine {
        Some(State::Running) => Some(Guest::parse(
            &multipass.call(&guest::probe(), Kind::Unexpected)?,
        )?),
        _ => None,
    };
    let volumes = match &guest {
        Some(guest) if guest.bundle.is_some() && !guest.docker_down => volumes(&multipass),
        _ => Vec::new(),
    };
    let word = machine.as_ref().map(State::word);
    let verdict = verdict(machine.as_ref(), guest.as_ref());
    let data = json!({
        "workspace": verdict.word(),
        "machine": word,
        "guest": guest.as_ref().map(|guest| guest_json(guest, &volumes)),
        "next": verdict.next(),
        "settings": context.settings,
    });
    let text = text(verdict, word, guest.as_ref(), &volumes);
    Ok(Done::new(text, data))
}

/// The volumes, which keep the agent's work and the stack's state. `status` does not fail if they cannot be measured.
fn volumes(multipass: &Multipass) -> Vec<Volume> {
    let answer = multipass.call(&guest::volumes(), Kind::Unexpected);
    storage::volumes(&answer.unwrap_or_default())
}

/// How the workspace is, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Absent,
    Deleted,
    Stopped,
    Stuck,
    Provisioning,
    ProvisioningFailed,
    Incomplete,
    Outdated,
    Starting,
    Running,
}

fn verdict(machine: Option<&State>, guest: Option<&Guest>) -> Verdict {
    let guest = match (machine, guest) {
        (None, _) => return Verdict::Absent,
        (Some(State::Deleted), _) => return Verdict::Deleted,
        (Some(State::Stopped | State::Suspended), _) => return Verdict::Stopped,
        (Some(State::Starting | State::Restarting | State::Suspending), _) => {
            return Verdict::Starting;
        }
        (Some(State::Running), Some(guest)) => guest,
        _ => return Verdict::Stuck,
    };
    let current = guest.bundle == Some(Digest::of(&embedded::bundle().bytes));
    match guest.provisioning() {
        Provisioning::Running => Verdict::Provisioning,
        Provisioning::Failed | Provisioning::Never => Verdict::ProvisioningFailed,
        Provisioning::Done if guest.ready.is_none() || !guest.is_well() => Verdict::Incomplete,
        Provisioning::Done if !current => Verdict::Outdated,
        Provisioning::Done => Verdict::Running,
    }
}

impl Verdict {
    fn word(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Deleted => "deleted",
            Self::Stopped => "stopped",
            Self::Stuck => "stuck",
            Self::Provisioning => "provisioning",
            Self::ProvisioningFailed => "provisioning failed",
            Self::Incomplete => "incomplete",
            Self::Outdated => "outdated",
            Self::Starting => "starting",
            Self::Running => "running",
        }
    }

    /// The command that goes on from here.
    fn next(self) -> &'static str {
        match self {
            Self::Running => "polis shell",
            Self::Deleted => "multipass recover polis, or: polis delete --purge",
            Self::Stuck => "polis doctor",
            _ => "polis start",
        }
    }
}

fn guest_json(guest: &Guest, volumes: &[Volume]) -> Value {
    json!({
        "cloud_init": guest.cloud_init,
        "provisioned": guest.provisioning() == Provisioning::Done,
        "provisioned_by_this_version": guest.marker == Some(embedded::marker()),
        "bundle": guest.bundle.map(|digest| digest.to_string()),
        "agent": guest.agent.as_ref().map(|(name, _)| name),
        "secrets": guest.secrets,
        "complete": guest.ready.is_some(),
        "images": {"found": guest.images.0, "needed": guest.images.1},
        "services": super::services_json(guest),
        "workspace_differs": guest.workspace_differs,
        "disk": guest.disk,
        "volumes": volumes,
    })
}

fn text(
    verdict: Verdict,
    machine: Option<&str>,
    guest: Option<&Guest>,
    volumes: &[Volume],
) -> String {
    let mut text = format!(
        "workspace  {}\nvm         {}\n",
        verdict.word(),
        machine.unwrap_or("none")
    );
    if let Some(guest) = guest {
        if let Some((agent, _)) = &guest.agent {
            text.push_str(&format!("agent      {agent}\n"));
        }
        for service in &guest.services {
            text.push_str(&format!("  {:<14} {}\n", service.name, service.words()));
        }
        if !volumes.is_empty() {
            text.push_str("volumes\n");
        }
        for Volume { name, bytes } in volumes {
            let size = bytes.map_or("not measured in time".to_owned(), size::words);
            text.push_str(&format!("  {name:<16} {size}\n"));
        }
        if let Some(disk) = &guest.disk {
            let free = size::words(disk.free);
            text.push_str(&format!("vm disk    {}% full, {free} free\n", disk.space));
        }
        if let Some((warning, urgent)) = guest.disk.as_ref().and_then(Disk::warning) {
            let word = if urgent { "error  " } else { "warning" };
            text.push_str(&format!("{word}    {warning}; to make room: {MAKE_ROOM}\n"));
        }
        if let Some(difference) = guest.workspace_differs {
            let words = difference.words();
            text.push_str(&format!(
                "note       {words}; to recreate it: {RECREATE_WORKSPACE}\n"
            ));
        }
    }
    text.push_str(&format!("next       {}\n", verdict.next()));
    text
}
