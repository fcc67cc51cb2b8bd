//! The ports that lead from the VM's address into the workspace, and the rules for opening them.

use std::net::Ipv4Addr;

use serde::Serialize;

use crate::error::{Error, Kind, Result};
use crate::guest::probe::{FORWARDER, Guest};
use crate::guest::service::Condition;
use crate::guest::{self, PORTS};
use crate::instance::named;

/// The maximum number of ports that a user may open.
const MOST: usize = 16;
/// The lowest port that needs no privilege.
const LEAST: u16 = 1024;

/// The answer of `ports.sh list`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Ports {
    /// The VM's current address; none if it has no default route.
    address: Option<Ipv4Addr>,
    /// The address at which the ports are published.
    bound: Option<Ipv4Addr>,
    pub(crate) all: Vec<Port>,
}

/// A port at the VM's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Port {
    pub(crate) port: u16,
    /// The port in the workspace.
    target: u16,
    /// The agent that requests it; none if the user opened it.
    agent: Option<String>,
    /// Whether the forwarder serves it; false if its agent is not started.
    open: bool,
}

/// A port at the VM's address, as reports show it.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct ForwardedPort {
    port: u16,
    /// The port in the workspace.
    to: u16,
    /// The agent that requested it; null if the user opened it.
    agent: Option<String>,
    state: PortState,
    /// The address to reach it; null if it is not set up yet.
    url: Option<String>,
}

/// Whether a port can be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
enum PortState {
    /// It can be reached.
    Up,
    /// The forwarder is starting.
    Starting,
    /// The forwarder is not running, or is unhealthy.
    Down,
    /// The address of the VM has changed.
    Misplaced,
    /// Its agent is not running.
    Closed,
}

impl PortState {
    fn word(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Starting => "starting",
            Self::Down => "down",
            Self::Misplaced => "misplaced",
            Self::Closed => "closed",
        }
    }
}

impl Ports {
    /// Parses the answer.
    ///
    /// # Errors
    /// When it is incomplete.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let broken = || guest::unreadable("could not read the ports of the VM", text);
        let mut ports = Self::default();
        for line in guest::answer(text, PORTS).ok_or_else(broken)?.lines() {
            match line.split_whitespace().collect::<Vec<_>>().as_slice() {
                ["end"] => return Ok(ports),
                ["address", address] => ports.address = address.parse().ok(),
                ["bound", address] => ports.bound = address.parse().ok(),
                ["port", port, target, word, agent @ ..] => {
                    let agent = agent.first().filter(|name| guest::is_name(name));
                    ports.all.push(Port {
                        port: port.parse().map_err(|_| broken())?,
                        target: target.parse().map_err(|_| broken())?,
                        agent: agent.map(|name| (*name).to_owned()),
                        open: *word == "open",
                    });
                }
                _ => {}
            }
        }
        Err(broken())
    }

    fn find(&self, port: u16) -> Option<&Port> {
        self.all.iter().find(|known| known.port == port)
    }

    /// Whether to open `port` to `target`; false if that is already the case.
    ///
    /// # Errors
    /// When it must not be.
    pub(crate) fn may_add(&self, port: u16, target: u16) -> Result<bool> {
        let refused = |why: String| {
            Error::new(Kind::Usage, format!("port {port} was not opened")).because(why)
        };
        if port < LEAST {
            return Err(refused(format!(
                "expected a port from {LEAST} to 65535 at the VM's address"
            ))
            .next(format!(
                "polis port add 8080 --to {port}   (leads to {port} in the workspace)"
            )));
        }
        match self.find(port) {
            Some(Port {
                agent: None,
                target: known,
                ..
            }) if *known == target => return Ok(false),
            Some(Port {
                agent: None,
                target: known,
                ..
            }) => {
                return Err(
                    refused(format!("it already leads to {known} in the workspace"))
                        .next(format!("polis port remove {port}")),
                );
            }
            Some(Port {
                agent: Some(agent), ..
            }) => {
                return Err(
                    refused(format!("the agent `{agent}` already uses it")).next("polis port list")
                );
            }
            None => {}
        }
        let own = self.all.iter().filter(|known| known.agent.is_none());
        if own.count() >= MOST {
            return Err(
                refused(format!("you have already opened {MOST} ports, the maximum"))
                    .next("polis port remove PORT"),
            );
        }
        Ok(true)
    }

    /// Checks that `port` may be closed.
    ///
    /// # Errors
    /// When it must not be.
    pub(crate) fn may_remove(&self, port: u16) -> Result<()> {
        let refused = |why: String| {
            Error::new(Kind::Usage, format!("port {port} was not closed")).because(why)
        };
        match self.find(port) {
            Some(Port { agent: None, .. }) => Ok(()),
            Some(Port {
                agent: Some(agent), ..
            }) => Err(refused(format!("the agent `{agent}` requests it"))
                .next(format!("polis agent remove {agent}"))),
            None => Err(refused("you have not opened it".to_owned()).next("polis port list")),
        }
    }

    /// The state of the port, and its URL.
    fn state(&self, port: &Port, guest: &Guest) -> (PortState, Option<String>) {
        let forwarder = guest
            .services
            .iter()
            .find(|service| service.name == FORWARDER);
        let url = self
            .bound
            .map(|address| format!("http://{address}:{}", port.port));
        let condition = forwarder.map(super::service::Service::condition);
        match (port.open, condition) {
            (false, _) => (PortState::Closed, None),
            (true, _) if self.bound.is_none() || self.bound != self.address => {
                (PortState::Misplaced, url)
            }
            (true, Some(Condition::Healthy)) => (PortState::Up, url),
            (true, Some(Condition::Starting)) => (PortState::Starting, url),
            (true, _) => (PortState::Down, url),
        }
    }

    /// The ports, one per line.
    pub(crate) fn to_text(&self, guest: &Guest) -> String {
        let line = |port: &Port| {
            let (state, url) = self.state(port, guest);
            let who = port
                .agent
                .as_deref()
                .map_or("opened by you".to_owned(), |agent| {
                    format!("requested by {agent}")
                });
            let to = match port.target == port.port {
                true => String::new(),
                false => format!(", leads to {}", port.target),
            };
            let what = url.unwrap_or_else(|| format!("port {}", port.port));
            let hint = match state {
                PortState::Up | PortState::Starting => String::new(),
                PortState::Closed => " (its agent is not started)".to_owned(),
                PortState::Misplaced => {
                    let next = named("polis start");
                    format!(" (the VM's address has changed); hint: {next}")
                }
                PortState::Down => format!("; hint: {}", named("polis start")),
            };
            let state = state.word();
            format!("  {what:<28} {who}{to}: {state}{hint}\n")
        };
        self.all.iter().map(line).collect()
    }

    /// The ports for reports.
    pub(crate) fn forwarded(&self, guest: &Guest) -> Vec<ForwardedPort> {
        let forwarded = |port: &Port| {
            let (state, url) = self.state(port, guest);
            ForwardedPort {
                port: port.port,
                to: port.target,
                agent: port.agent.clone(),
                state,
                url,
            }
        };
        self.all.iter().map(forwarded).collect()
    }

    /// The URL of `port`.
    pub(crate) fn url(&self, port: u16) -> Option<String> {
        let address = self.bound.filter(|_| self.find(port).is_some())?;
        Some(format!("http://{address}:{port}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guest::service::Service;

    fn ports(lines: &str) -> Ports {
        Ports::parse(&format!("\\|polis-ports 1\n{lines}end\n")).unwrap()
    }

    const SOME: &str = "address 10.0.0.5\nbound 10.0.0.5\nport 8099 3000 open echo\nport 8100 8100 closed other\nport 9000 80 open\n";

    #[test]
    fn rules_for_opening_and_closing_ports() {
        let some = ports(SOME);
        let cause = |result: Result<bool>| result.unwrap_err().causes.join(" ");
        assert!(some.may_add(9001, 9001).unwrap());
        assert!(!some.may_add(9000, 80).unwrap());
        assert_eq!(
            cause(some.may_add(9000, 81)),
            "it already leads to 80 in the workspace"
        );
        assert_eq!(
            cause(some.may_add(8099, 8099)),
            "the agent `echo` already uses it"
        );
        assert_eq!(
            cause(some.may_add(8100, 8100)),
            "the agent `other` already uses it"
        );
        assert_eq!(
            cause(some.may_add(1023, 80)),
            "expected a port from 1024 to 65535 at the VM's address"
        );
        let full: String = (0..MOST)
            .map(|at| format!("port {} 80 open\n", 9000 + at))
            .collect();
        assert!(ports(&full).may_add(8000, 80).is_err());
        some.may_remove(9000).unwrap();
        assert!(some.may_remove(8099).is_err() && some.may_remove(9001).is_err());
    }

    #[test]
    fn a_port_is_up_if_the_forwarder_is_up_at_the_current_address() {
        let forwarder = |state: &str, health: &str| Guest {
            services: vec![Service {
                name: FORWARDER.to_owned(),
                state: state.to_owned(),
                health: health.to_owned(),
                exit_code: 0,
            }],
            ..Guest::default()
        };
        let states = |some: &Ports, guest: &Guest| {
            let all = some.all.iter().map(|port| some.state(port, guest).0.word());
            all.collect::<Vec<_>>()
        };
        let some = ports(SOME);
        assert_eq!(
            states(&some, &forwarder("running", "healthy")),
            ["up", "closed", "up"]
        );
        assert_eq!(
            states(&some, &forwarder("running", "starting"))[0],
            "starting"
        );
        assert_eq!(states(&some, &forwarder("exited", ""))[0], "down");
        assert_eq!(states(&some, &Guest::default())[0], "down");
        let moved = ports(&SOME.replace("bound 10.0.0.5", "bound 10.0.0.4"));
        assert_eq!(
            states(&moved, &forwarder("running", "healthy")),
            ["misplaced", "closed", "misplaced"]
        );
        assert_eq!(moved.url(8099).unwrap(), "http://10.0.0.4:8099");
    }

    #[test]
    fn a_truncated_answer_is_an_error() {
        assert!(Ports::parse("polis-ports 1\nport 8099 3000 open echo\n").is_err());
        assert!(Ports::parse("").is_err());
        assert!(Ports::parse("polis-ports 1\nport 99999 1 open\nend\n").is_err());
        assert_eq!(ports("address \nbound \n"), Ports::default());
    }
}
