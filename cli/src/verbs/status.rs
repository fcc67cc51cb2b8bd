//! `polis status`: shows the state of the workspace. It changes nothing, and runs nothing in a stopped VM, which would start it.

use polis_base::Digest;

use crate::blocked;
use crate::context::Context;
use crate::embedded;
use crate::error::{Kind, Result};
use crate::guest;
use crate::guest::agents::AgentsReport;
use crate::guest::disk::{Disk, MAKE_ROOM};
use crate::guest::facts::{Certificate, GuestFacts, RENEW};
use crate::guest::ports::Ports;
use crate::guest::probe::{FORWARDER, Guest, Provisioning, RECREATE_WORKSPACE};
use crate::guest::storage::{self, Volume};
use crate::instance::{self, named};
use crate::multipass::state::{NO_ANSWER, VmState};
use crate::multipass::version::Versions;
use crate::multipass::version_call;
use crate::multipass::{Multipass, size};
use crate::output::Done;
use crate::reports::agent;
use crate::reports::status::{self, ImageCount, ProgramVersions, RunningVm, Status};
use crate::security;
use crate::settings::{Settings, Shown};
use crate::verbs::workspace::{self, WorkspaceStatus};

/// Runs `polis status`.
pub(crate) fn run(context: &Context) -> Result<Done> {
    let multipass = context.multipass()?;
    let machine = multipass.state()?;
    let inside = match machine {
        Some(VmState::Running) => Some(Survey::take(&multipass)?),
        _ => None,
    };
    let guest = inside.as_ref().map(|inside| &inside.guest);
    let facts = inside.as_ref().map(|inside| &inside.facts);
    let multipass = version(&multipass)?;
    let word = machine.as_ref().map(VmState::word);
    let verdict = WorkspaceStatus::of(machine.as_ref(), guest);
    let blocked = machine
        .as_ref()
        .and_then(|machine| blocked::reason(machine, guest));
    let next = workspace::next(verdict, blocked.as_deref());
    let report = Status {
        workspace: verdict.word(),
        name: instance::name(),
        machine: word,
        versions: ProgramVersions {
            polis: embedded::LABEL,
            multipass: multipass.as_deref(),
            docker: facts.and_then(|facts| facts.docker.as_deref()),
            sysbox: facts.and_then(|facts| facts.sysbox.as_deref()),
        },
        guest: inside.as_ref().map(Survey::report),
        next: &next,
        settings: &context.settings,
    };
    let mut text = heading(verdict, word);
    text.push_str(&versions(inside.as_ref(), multipass.as_deref()));
    if let Some(inside) = &inside {
        text.push_str(&inside.to_text());
    }
    if let Some(error) = blocked {
        text.push_str(&format!("problem    {}\n", error.message));
    }
    text.push_str(&settings(&context.settings));
    text.push_str(&format!("next       {next}\n"));
    Ok(Done::new(text, report))
}

/// The version of Multipass, if it reports one.
fn version(multipass: &Multipass) -> Result<Option<String>> {
    match multipass.call(&version_call(), Kind::Unexpected) {
        Ok(answer) => Ok(Versions::parse(&answer).ok().map(|it| it.multipass)),
        Err(error) if error.kind == Kind::Interrupted => Err(error),
        Err(_) => Ok(None),
    }
}

/// The contents of a running VM.
struct Survey {
    guest: Guest,
    volumes: Vec<Volume>,
    agents: AgentsReport,
    ports: Ports,
    facts: GuestFacts,
}

impl Survey {
    /// Asks for agents and ports only if there are any.
    fn take(multipass: &Multipass) -> Result<Self> {
        let answer = multipass.call(&guest::survey(security::BLOCKED), Kind::Unexpected)?;
        let guest = Guest::parse(&answer)?;
        let agents = match guest.agents.is_empty() {
            true => AgentsReport::default(),
            false => super::agent::agents_report(multipass)?,
        };
        let mut services = guest.services.iter();
        let ports = match services.any(|service| service.name == FORWARDER) {
            true => super::port::open_ports(multipass)?,
            false => Ports::default(),
        };
        Ok(Self {
            volumes: storage::volumes(&answer),
            facts: GuestFacts::parse(&answer),
            guest,
            agents,
            ports,
        })
    }

    fn report(&self) -> RunningVm<'_> {
        let Self {
            guest,
            volumes,
            agents,
            ports,
            facts,
        } = self;
        let (found, needed) = guest.images;
        RunningVm {
            address: facts.address,
            pending_approvals: facts.pending,
            certificates: &facts.certificates,
            cloud_init: &guest.cloud_init,
            provisioned: guest.provisioning() == Provisioning::Done,
            provisioned_by_this_version: guest.marker == Some(embedded::marker()),
            bundle: guest.bundle.map(Into::into),
            agents: agent::installed(guest, agents),
            ports: ports.forwarded(guest),
            secrets: guest.secrets,
            complete: guest.ready.is_some(),
            images: ImageCount { found, needed },
            services: status::services(guest),
            workspace_differs: guest.workspace_differs,
            disk: guest.disk,
            volumes,
        }
    }

    fn to_text(&self) -> String {
        let Self {
            guest,
            volumes,
            agents,
            ports,
            facts,
        } = self;
        let address = facts.address.map(|address| address.to_string());
        let mut text = format!("address    {}\n", address.as_deref().unwrap_or("unknown"));
        if !guest.agents.is_empty() {
            text.push_str("agents\n");
            text.push_str(&super::agent::to_text(guest, agents));
        }
        let ports = ports.to_text(guest);
        if !ports.is_empty() {
            text.push_str(&format!("ports\n{ports}"));
        }
        let is_alone = guest.agents.is_empty() && ports.is_empty();
        if !guest.services.is_empty() && !is_alone {
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
        if guest.secrets {
            text.push_str(&certificates(facts));
        }
        if !guest.services.is_empty() {
            let next = match facts.pending {
                None => String::new(),
                Some(0) => " pending".to_owned(),
                Some(_) => format!(" pending; to see them: {}", named("polis security pending")),
            };
            let words = facts.pending_words();
            text.push_str(&format!("approvals  {words}{next}\n"));
        }
        text + &warnings(guest, facts)
    }
}

fn heading(verdict: WorkspaceStatus, machine: Option<&str>) -> String {
    let mut text = format!("workspace  {}\n", verdict.word());
    if instance::name() != instance::DEFAULT {
        text.push_str(&format!("name       {}\n", instance::name()));
    }
    text.push_str(&format!("vm         {}\n", machine.unwrap_or("none")));
    if verdict == WorkspaceStatus::Silent {
        text.push_str(&format!("note       {NO_ANSWER}\n"));
    }
    text
}

/// The versions of all programs; those in the VM only if it was surveyed.
fn versions(inside: Option<&Survey>, multipass: Option<&str>) -> String {
    let known = |version: Option<&str>| version.unwrap_or("unknown").to_owned();
    let mut each = vec![
        format!("polis {}", embedded::LABEL),
        format!("Multipass {}", known(multipass)),
    ];
    if let Some(Survey { guest, facts, .. }) = inside {
        let ours = Digest::of(&embedded::bundle().bytes);
        each.push(match guest.bundle {
            None => "no bundle".to_owned(),
            Some(found) if found == ours => "this version's bundle".to_owned(),
            Some(_) => "another version's bundle".to_owned(),
        });
        each.push(format!("Docker {}", known(facts.docker.as_deref())));
        each.push(format!("Sysbox {}", known(facts.sysbox.as_deref())));
    }
    format!("versions   {}\n", each.join(", "))
}

/// The age of the certificates, and when the first of them expires.
fn certificates(facts: &GuestFacts) -> String {
    let words = facts
        .first_to_expire()
        .map_or("unknown".to_owned(), |first| {
            let ends = match first.days_left {
                left if left < 0 => "has expired".to_owned(),
                left => format!("expires in {left} days"),
            };
            let count = facts.certificates.len();
            format!(
                "{count}; {}, {} days old, {ends}",
                first.name, first.days_old
            )
        });
    format!("certs      {words}\n")
}

/// The settings that are not at their default, each with its origin.
fn settings(settings: &Settings) -> String {
    let lines = settings.changed().map(
        |Shown {
             name,
             value,
             origin,
         }| { format!("  {name:<16} {value} ({})\n", origin.words(name)) },
    );
    let lines: String = lines.collect();
    match lines.is_empty() {
        true => lines,
        false => format!("settings\n{lines}"),
    }
}

fn warnings(guest: &Guest, facts: &GuestFacts) -> String {
    let mut text = String::new();
    let certificates = facts.first_to_expire().and_then(Certificate::warning);
    let certificates = certificates.map(|warning| (warning, "renew all", RENEW));
    let disk = guest.disk.as_ref().and_then(Disk::warning);
    let disk = disk.map(|warning| (warning, "make room", MAKE_ROOM));
    for ((warning, urgent), aim, next) in disk.into_iter().chain(certificates) {
        let word = if urgent { "error  " } else { "warning" };
        let next = named(next);
        text.push_str(&format!("{word}    {warning}; to {aim}: {next}\n"));
    }
    if let Some(difference) = guest.workspace_differs {
        let words = difference.words();
        text.push_str(&format!(
            "note       {words}; to recreate it: {}\n",
            named(RECREATE_WORKSPACE)
        ));
    }
    text
}
