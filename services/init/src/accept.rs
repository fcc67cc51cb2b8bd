//! `bridge-accept`: lets traffic pass inside one bridge network, and holds back the rest.
//!
//! Docker isolates an internal network with rules that also stop packets which a transparent proxy
//! sends back out of the bridge they came in by. `DOCKER-USER` runs before those rules. This file
//! owns the conversation: write the tables of [`guard`], wait for Docker to create the chain, read
//! it, write the plan, and say what to do if that fails. The tables come first, so that a later
//! failure leaves nothing open that should be closed.

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

/// How often the chain is looked for.
const POLL: Duration = Duration::from_millis(250);

/// How often a transaction is tried again because someone else changed the rule set meanwhile.
const RACES: u32 = 100;

/// Tables of legacy iptables that are in use in this network namespace, one a line (kernel:
/// `ip_tables.c`).
const LEGACY_TABLES: &str = "/proc/net/ip_tables_names";

/// The table that Docker fills with `--firewall-backend=nftables` (Docker's manual, "Docker with
/// nftables").
const NFTABLES_BACKEND: &str = "docker-bridges";

/// In a container with `network_mode: host`, Docker puts a copy of the host's file here, with the
/// servers from its own settings if there are any. Docker's resolver asks these same servers (moby:
/// `resolver.go` connects from the container's namespace unless the server is on the host's
/// loopback).
const RESOLV_CONF: &str = "/etc/resolv.conf";

/// What was done.
enum Outcome {
    /// The rule stood in effect.
    Kept,
    /// The rule is new.
    Added,
    /// The rule stood where it was never asked.
    Moved,
}

/// Why the rules could not be put into effect, by who has to act.
enum Failure {
    /// Whoever runs this container.
    Permission,
    /// Whoever configures Docker; with what was seen of its firewall.
    NoChain {
        waited: Duration,
        legacy: bool,
        nftables: bool,
    },
    /// Whoever keeps changing the rules.
    Contended,
    /// Whoever runs this container: nothing says which name servers to let through.
    ResolvConf(io::Error),
    /// Nobody we know: an unexpected answer.
    Netlink {
        operation: &'static str,
        source: io::Error,
    },
}

/// Writes the tables and makes sure that the rule is in effect, waiting for Docker's chain for at
/// most `request.wait`.
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

/// Replaces the tables that hold the bridges back.
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
        "polis-init: tables inet and arp {name}: {bridge} reaches nothing outside its network"
    );
    let listed: Vec<String> = name_servers.iter().map(ToString::to_string).collect();
    let dns = match listed.is_empty() {
        true => String::new(),
        false => format!(" and port 53 of {}", listed.join(", ")),
    };
    for bridge in egress {
        println!("polis-init: table inet {name}: {bridge} reaches public addresses{dns}");
    }
    for bridge in ingress {
        println!("polis-init: table inet {name}: {bridge} only answers");
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
                        "polis-init: waiting up to {} s for Docker to make chain {CHAIN}",
                        wait.as_secs()
                    );
                }
                sleep(POLL.min(wait.saturating_sub(start.elapsed())));
            }
            Err(failure) => return Err(failure),
        }
    }
}

/// Reads the chain and writes the plan once. The rule set's generation, read first, ties both
/// together.
fn attempt(socket: &mut Socket, bridge: &BridgeName) -> Result<Outcome, Failure> {
    let read = "read the nftables chain `ip filter DOCKER-USER`";
    let answers = socket.call(wire::get_generation).map_err(failed(read))?;
    let generation =
        wire::generation(answers.first().map_or(&[], Vec::as_slice)).map_err(malformed(read))?;
    // A dump of a missing chain is empty, so the chain is asked for by itself.
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

/// Looks for the reason why the chain is missing.
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
                "the kernel refuses to show or change firewall rules\n  \
                 likely cause: the capability NET_ADMIN is missing\n  \
                 next: give this container `cap_add: [NET_ADMIN]` and `network_mode: host`, and run it as root",
            ),
            Self::NoChain { waited, legacy, nftables } => {
                let waited = waited.as_secs();
                writeln!(f, "table `ip {TABLE}` of nftables has no chain `{CHAIN}` after {waited} s")?;
                match (legacy, nftables) {
                    (_, true) => writeln!(
                        f,
                        "  cause: table `ip {NFTABLES_BACKEND}` is there, so Docker runs with `--firewall-backend=nftables`"
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
