//! `polis status`: how the workspace is. It asks in ways that change nothing: a VM that is not
//! running is not entered, since that would start it.

use polis_base::Digest;
use serde_json::{Value, json};

use crate::context::Context;
use crate::embedded;
use crate::error::{Error, Kind, Result};
use crate::guest;
use crate::guest::agents::Agents;
use crate::guest::probe::{Disk, Guest, MAKE_ROOM, Provisioning, RECREATE_WORKSPACE};
use crate::guest::storage::{self, Volume};
use crate::instance::named;
use crate::multipass::state::{NO_ANSWER, Outlook, State, WAITING};
use crate::multipass::{Multipass, size};
use crate::output::Done;
use crate::plan;

/// Runs `polis status`.
pub(crate) fn run(context: &Context) -> Result<Done> {
    let multipass = context.multipass()?;
    let machine = multipass.state()?;
    let (guest, volumes, agents) = match machine {
        Some(State::Running) => {
            let answer = multipass.call(&guest::survey(), Kind::Unexpected)?;
            let guest = Guest::parse(&answer)?;
            let agents = match guest.agents.is_empty() {
                true => Agents::default(),
                false => super::agent::asked(&multipass)?,
            };
            (Some(guest), storage::volumes(&answer), agents)
        }
        _ => (None, Vec::new(), Agents::default()),
    };
    let word = machine.as_ref().map(State::word);
    let verdict = verdict(machine.as_ref(), guest.as_ref());
    let blocked = machine
        .as_ref()
        .and_then(|machine| plan::blocked(machine, guest.as_ref()));
    let next = next(verdict, blocked.as_deref());
    let data = json!({
        "workspace": verdict.word(),
        "machine": word,
        "guest": guest.as_ref().map(|guest| guest_json(guest, &volumes, &agents)),
        "next": next,
        "settings": context.settings,
    });
    let mut text = text(verdict, word, guest.as_ref(), &volumes, &agents);
    if let Some(error) = blocked {
        text.push_str(&format!("problem    {}\n", error.message));
    }
    text.push_str(&format!("next       {next}\n"));
    Ok(Done::new(text, data))
}

/// The error of a command for which there is no stack yet: how the workspace is, and what goes on from there.
pub(super) fn no_stack(multipass: &Multipass) -> Box<Error> {
    let answer = multipass.call(&guest::probe(), Kind::Unexpected);
    let guest = match answer.and_then(|answer| Guest::parse(&answer)) {
        Ok(guest) => guest,
        Err(error) => return error,
    };
    let verdict = verdict(Some(&State::Running), Some(&guest));
    let blocked = plan::blocked(&State::Running, Some(&guest));
    let reason = blocked
        .as_ref()
        .map_or(verdict.reason(), |error| &error.message);
    super::not_running(reason).next(next(verdict, blocked.as_deref()))
}

/// What goes on from here: what a start would say that refuses, else our own word.
fn next(verdict: Verdict, blocked: Option<&Error>) -> String {
    let first = blocked.and_then(|error| error.next.first());
    first.cloned().unwrap_or_else(|| named(verdict.next()))
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
    Silent,
    Running,
}

fn verdict(machine: Option<&State>, guest: Option<&Guest>) -> Verdict {
    let guest = match (machine.map(State::outlook), guest) {
        (None, _) => return Verdict::Absent,
        (Some(Outlook::Deleted), _) => return Verdict::Deleted,
        (Some(Outlook::Off), _) => return Verdict::Stopped,
        (Some(Outlook::Coming), _) => return Verdict::Starting,
        (Some(Outlook::NoAnswer), _) => return Verdict::Silent,
        (Some(Outlook::Up), Some(guest)) => guest,
        _ => return Verdict::Stuck,
    };
    let current = guest.bundle == Some(Digest::of(&embedded::bundle().bytes));
    match guest.provisioning() {
        Provisioning::Running => Verdict::Provisioning,
        Provisioning::Failed | Provisioning::CutShort | Provisioning::Never => {
            Verdict::ProvisioningFailed
        }
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
            Self::Starting | Self::Silent => "starting",
            Self::Running => "running",
        }
    }

    /// The command that goes on from here, where no person has to act first.
    fn next(self) -> &'static str {
        match self {
            Self::Running => "polis shell",
            Self::Silent => WAITING,
            _ => "polis start",
        }
    }

    /// Why nothing can be run in a workspace whose VM runs, where no person has to act first.
    fn reason(self) -> &'static str {
        match self {
            Self::Provisioning => "the VM is being provisioned",
            Self::ProvisioningFailed => "the provisioning of the VM has not come to its end",
            _ => "the stack is not in the VM yet",
        }
    }
}

fn guest_json(guest: &Guest, volumes: &[Volume], agents: &Agents) -> Value {
    json!({
        "cloud_init": guest.cloud_init,
        "provisioned": guest.provisioning() == Provisioning::Done,
        "provisioned_by_this_version": guest.marker == Some(embedded::marker()),
        "bundle": guest.bundle.map(|digest| digest.to_string()),
        "agents": super::agent::to_json(guest, agents),
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
    agents: &Agents,
) -> String {
    let mut text = format!(
        "workspace  {}\nvm         {}\n",
        verdict.word(),
        machine.unwrap_or("none")
    );
    if verdict == Verdict::Silent {
        text.push_str(&format!("note       {NO_ANSWER}\n"));
    }
    if let Some(guest) = guest {
        if !guest.agents.is_empty() {
            text.push_str("agents\n");
            text.push_str(&super::agent::to_text(guest, agents));
        }
        if !guest.services.is_empty() && !guest.agents.is_empty() {
            text.push_str("services\n");
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
            text.push_str(&format!(
                "{word}    {warning}; to make room: {}\n",
                named(MAKE_ROOM)
            ));
        }
        if let Some(difference) = guest.workspace_differs {
            let words = difference.words();
            text.push_str(&format!(
                "note       {words}; to recreate it: {}\n",
                named(RECREATE_WORKSPACE)
            ));
        }
    }
    text
}
