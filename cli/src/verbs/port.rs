//! `polis port`: the ports that lead from the VM's address into the workspace. `guest::ports` decides which may be opened.

use crate::args::PortVerb;
use crate::context::Context;
use crate::error::{Error, Kind, Result};
use crate::guest;
use crate::guest::ports::Ports;
use crate::guest::probe::Guest;
use crate::instance::named;
use crate::multipass::{self, Multipass, refusal};
use crate::output::Done;
use crate::reports::port::{PortChange, PortList};

/// Runs `polis port ...`.
pub(crate) fn run(context: &Context, verb: &PortVerb) -> Result<Done> {
    let multipass = context.multipass()?;
    match verb {
        PortVerb::List => list(&multipass),
        PortVerb::Add { port, to } => {
            let _lock = context.store.lock()?;
            add(&multipass, *port, to.unwrap_or(*port))
        }
        PortVerb::Remove { port } => {
            let _lock = context.store.lock()?;
            super::agent::probe(&multipass)?;
            open_ports(&multipass)?.may_remove(*port)?;
            multipass.call(&guest::remove_port(*port), Kind::Unexpected)?;
            report(&multipass, format!("Port {port} is closed.\n"), *port)
        }
    }
}

/// The ports that are open or requested.
pub(super) fn open_ports(multipass: &Multipass) -> Result<Ports> {
    Ports::parse(&multipass.call(&guest::ports(), Kind::Unexpected)?)
}

fn list(multipass: &Multipass) -> Result<Done> {
    let guest = super::agent::probe(multipass)?;
    let ports = open_ports(multipass)?;
    let text = match ports.all.is_empty() {
        true => {
            let next = named("polis port add PORT");
            format!("No port is open. To open one: {next}\n")
        }
        false => ports.to_text(&guest),
    };
    let report = PortList {
        ports: ports.forwarded(&guest),
    };
    Ok(Done::new(text, report))
}

fn add(multipass: &Multipass, port: u16, target: u16) -> Result<Done> {
    let guest = super::agent::probe(multipass)?;
    if open_ports(multipass)?.may_add(port, target)? {
        let call = guest::add_port(port, target);
        let output = multipass.output(&call, None)?;
        match output.code {
            Some(0) => {}
            Some(guest::NOT_OPENED) => {
                return Err(
                    Error::new(Kind::Unhealthy, format!("could not open port {port}"))
                        .because(refusal::reasons(&output.stderr).pop().unwrap_or_default())
                        .next("polis exec --vm -- ss -ltn   (lists what listens in the VM)"),
                );
            }
            _ => return Err(multipass::failed(&call, &output, Kind::Unexpected)),
        }
    }
    let text = match open_ports(multipass)?.url(port) {
        Some(url) if guest.has_containers() => {
            format!("The workspace's port {target} is reachable at {url}\n")
        }
        _ => format!(
            "Port {port} opens with the workspace. Next: {}\n",
            named("polis start")
        ),
    };
    report(multipass, text, port)
}

/// Reports `text` and the ports that are open now.
fn report(multipass: &Multipass, text: String, port: u16) -> Result<Done> {
    let guest = Guest::parse(&multipass.call(&guest::probe(), Kind::Unexpected)?)?;
    let ports = open_ports(multipass)?.forwarded(&guest);
    Ok(Done::new(text, PortChange { port, ports }))
}
