//! `bridge-accept`: allows traffic inside one bridge network, and blocks the rest.
//!
//! Docker isolates an internal network with rules that also block packets which a transparent proxy sends back out of the bridge
//! on which they arrived. `DOCKER-USER` runs before those rules. This file does the I/O: it writes the tables of [`guard`], waits
//! for Docker to create the chain, reads it, writes the plan, and explains a failure. The tables come first, so that a later
//! failure opens nothing.

use std::fmt;
use std::io;
use std::process::ExitCode;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::io::Errno;

use crate::args::BridgeAccept;
use crate::bridge::{BridgeName, CHAIN, Plan, TABLE, plan};
use crate::netlink::Socket;
use crate::{guard, guard_wire, wire};

/// The interval between checks for the chain.
const POLL: Duration = Duration::from_millis(250);

/// How often to retry a transaction because another process changed the rule set meanwhile.
const RACES: u32 = 100;

/// The tables of legacy iptables that are in use in this network namespace, one per line (kernel:
/// `ip_tables.c`).
const LEGACY_TABLES: &str = "/proc/net/ip_tables_names";

/// The table that Docker fills with `--firewall-backend=nftables` (Docker's manual, "Docker with
/// nftables").
const NFTABLES_BACKEND: &str = "docker-bridges";

/// In a container with `network_mode: host`, Docker puts a copy of the host's file here, with the servers from its own settings if
/// there are any. Docker's resolver queries these same servers (moby: `resolver.go` connects from the container's namespace unless
/// the server is on the host's loopback).
const RESOLV_CONF: &str = "/etc/resolv.conf";

/// What a run did with the rule.
enum Outcome {
    /// It was already in effect.
    Kept,
    /// It was added.
    Added,
    /// It was in a position where it was never reached.
    Moved,
}

/// Why the rules could not be put into effect, grouped by who has to act.
enum Failure {
    /// The user of this container: a capability is missing.
    Permission,
    /// The administrator of Docker. With the observed state of its firewall.
    NoChain {
        waited: Duration,
        legacy: bool,
        nftables: bool,
    },
    /// The owner of the process that keeps changing the rules.
    Contended,
    /// The user of this container: there is no list of name servers to allow.
    ResolvConf(io::Error),
    /// Unknown: an unexpected answer of the kernel.
    Netlink {
        operation: &'static str,
        source: io::Error,
    },
}

/// Writes the tables and makes sure that the rule is in effect. Waits at most `request.wait` for Docker's chain.
pub(crate) fn run(request: &BridgeAccept) -> ExitCode {
    let bridge = &request.bridge;
    match guard_and_accept(request) {
        Ok(outcome) => {
            let done = match outcome {
                Outcome::Kept => "already in effect",
                Outcome::Added => "added at the head",
                Outcome::Moved => "moved to the head",
            };
            println!("polis-init: {CHAIN}: -i {bridge} -o {bridge} -j ACCEPT: {done}");
            ExitCode::SUCCESS
        }
        Err(failure) => {
            eprintln!("polis-init: bridge-accept {bridge}: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn guard_and_accept(request: &BridgeAccept) -> Result<Outcome, Failure> {
    let mut socket = Socket::open().map_err(failed("open a netfilter socket"))?;
    guard(&mut socket, request)?;
    accept(&mut socket, &request.bridge, request.wait)
}

/// Replaces the tables that restrict the bridges.
fn guard(socket: &mut Socket, request: &BridgeAccept) -> Result<(), Failure> {
    let BridgeAccept {
        bridge,
        egress,
        ingress,
        ..
    } = request;
    let mut name_servers = Vec::new();
    if !egress.is_empty() {
        let text = std::fs::read_to_string(RESOLV_CONF).map_err(Failure::ResolvConf)?;
        name_servers = guard::name_servers(&text);
    }
    let name = guard::table_name(bridge);
    let tables = guard::tables(bridge, egress, ingress, &name_servers);
    let write = |sequence| guard_wire::replace(&name, &tables, sequence);
    let written = socket.call(write);
    written.map_err(failed("replace the nftables tables `polis-init-BRIDGE`"))?;
    println!(
        "polis-init: tables inet and arp {name}: {bridge} can reach nothing outside its network"
    );
    let listed: Vec<String> = name_servers.iter().map(ToString::to_string).collect();
    let dns = match listed.is_empty() {
        true => String::new(),
        false => format!(" and port 53 of {}", listed.join(", ")),
    };
    for bridge in egress {
        println!("polis-init: table inet {name}: {bridge} can reach public addresses{dns}");
    }
    for bridge in ingress {
        println!("polis-init: table inet {name}: {bridge} can only reply");
    }
    Ok(())
}

fn accept(socket: &mut Socket, bridge: &BridgeName, wait: Duration) -> Result<Outcome, Failure> {
    let start = Instant::now();
    let mut waiting = false;
    let mut races = 0;
    loop {
        match attempt(socket, bridge) {
            Ok(outcome) => return Ok(outcome),
            Err(Failure::Netlink { source, .. }) if is(&source, Errno::RESTART) => {
                races += 1;
                if races == RACES {
                    return Err(Failure::Contended);
                }
            }
            Err(Failure::Netlink { source, .. }) if is(&source, Errno::NOENT) => {
                if start.elapsed() >= wait {
                    return Err(no_chain(socket, wait));
                }
                if !waiting {
                    waiting = true;
                    eprintln!(
                        "polis-init: waiting up to {} s for Docker to create chain {CHAIN}",
                        wait.as_secs()
                    );
                }
                sleep(POLL.min(wait.saturating_sub(start.elapsed())));
            }
            Err(failure) => return Err(failure),
        }
    }
}

/// Reads the chain and writes the plan once. The generation of the rule set, read first, ties both together.
fn attempt(socket: &mut Socket, bridge: &BridgeName) -> Result<Outcome, Failure> {
    let read = "read the nftables chain `ip filter DOCKER-USER`";
    let answers = socket.call(wire::get_generation).map_err(failed(read))?;
    let generation =
        wire::generation(answers.first().map_or(&[], Vec::as_slice)).map_err(malformed(read))?;
    // A dump of a missing chain is empty, so query the chain separately.
    socket.call(wire::get_chain).map_err(failed(read))?;
    let answers = socket.call(wire::get_rules).map_err(failed(read))?;
    let rules: Result<Vec<_>, _> = answers.iter().map(|answer| wire::rule(answer)).collect();
    let Plan::Insert { delete } = plan(&rules.map_err(malformed(read))?, bridge) else {
        return Ok(Outcome::Kept);
    };
    let write = |sequence| wire::insert(bridge, &delete, generation, sequence);
    socket
        .call(write)
        .map_err(failed("insert the rule into `ip filter DOCKER-USER`"))?;
    Ok(if delete.is_empty() {
        Outcome::Added
    } else {
        Outcome::Moved
    })
}

/// Determines why the chain is missing.
fn no_chain(socket: &mut Socket, waited: Duration) -> Failure {
    let legacy = std::fs::read_to_string(LEGACY_TABLES)
        .is_ok_and(|tables| tables.lines().any(|line| line == TABLE));
    let nftables = socket
        .call(|sequence| wire::get_table(NFTABLES_BACKEND, sequence))
        .is_ok();
    Failure::NoChain {
        waited,
        legacy,
        nftables,
    }
}

fn is(error: &io::Error, errno: Errno) -> bool {
    error.raw_os_error() == Some(errno.raw_os_error())
}

fn failed(operation: &'static str) -> impl Fn(io::Error) -> Failure {
    move |source| match is(&source, Errno::PERM) {
        true => Failure::Permission,
        false => Failure::Netlink { operation, source },
    }
}

fn malformed(operation: &'static str) -> impl Fn(wire::Malformed) -> Failure {
    move |error| Failure::Netlink {
        operation,
        source: io::Error::other(error),
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Permission => f.write_str(
                "the kernel refuses access to the firewall rules\n  \
                 likely cause: the capability NET_ADMIN is missing\n  \
                 next: give this container `cap_add: [NET_ADMIN]` and `network_mode: host`, and run it as root",
            ),
            Self::NoChain { waited, legacy, nftables } => {
                let waited = waited.as_secs();
                writeln!(f, "table `ip {TABLE}` of nftables has no chain `{CHAIN}` after {waited} s")?;
                match (legacy, nftables) {
                    (_, true) => writeln!(
                        f,
                        "  cause: table `ip {NFTABLES_BACKEND}` exists, so Docker runs with `--firewall-backend=nftables`"
                    )?,
                    (true, _) => f.write_str(
                        "  likely cause: tables of legacy iptables are in use, so Docker may write its chains there\n",
                    )?,
                    _ => f.write_str(
                        "  likely causes: Docker is not running, or its firewall backend is not iptables-nft (legacy \
                         iptables, `--firewall-backend=nftables`), or `\"iptables\": false` in /etc/docker/daemon.json\n",
                    )?,
                }
                if *nftables {
                    return f.write_str(
                        "  Docker owns that table and offers no chain for rules that accept\n  \
                         next: remove `firewall-backend` from /etc/docker/daemon.json and from dockerd's command line, \
                         then restart Docker",
                    );
                }
                write!(f, "  next: on the host, run `docker info` and `iptables --version`, then `iptables-nft -S {CHAIN}`")
            }
            Self::ResolvConf(source) => write!(
                f,
                "cannot read {RESOLV_CONF}: {source}\n  \
                 next: run this container with `network_mode: host`, where Docker provides the file"
            ),
            Self::Contended => write!(f, "the rule set changed during each of {RACES} attempts\n  next: run this again"),
            Self::Netlink { operation, source } => write!(
                f,
                "cannot {operation}: {source}\n  \
                 next: on the host, run `sudo nft list ruleset` to see whether nf_tables works there"
            ),
        }
    }
}
