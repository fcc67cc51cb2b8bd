//! Parses the command line into typed requests, so that the verbs never see an unchecked number or interface name.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use lexopt::Parser;
use lexopt::prelude::{Long, Short, Value};

use crate::bridge::BridgeName;
use crate::forward::{Forward, Network};
use crate::ownership::{Owner, Request};

/// Exit code of an invalid command line; nothing was changed.
const USAGE: u8 = 2;

/// Docker needs a few seconds after boot to write its chains.
const DEFAULT_WAIT: Duration = Duration::from_secs(30);

/// How long a forwarded connection may be idle by default.
const DEFAULT_IDLE: Duration = Duration::from_secs(3600);

/// A longer wait would hide a fault instead of covering a slow start.
const LONGEST_WAIT_SECONDS: u64 = 3600;

const HELP: &str = "\
polis-init: prepares the environment of the Polis services

Usage:
  polis-init chown [-R] UID:GID PATH...
  polis-init bridge-accept [--wait SECONDS] [--egress BRIDGE]...
                           [--ingress BRIDGE]... BRIDGE
  polis-init forward [--idle SECONDS] --to HOST --within NETWORK PORT[:PORT]...
  polis-init forward --check PORT[:PORT]...
  polis-init --help | --version

Commands:
  chown          Change the owner of PATH, and with -R of everything below it, to the
                 numeric UID:GID. A symbolic link is changed itself and never followed.
                 Every path that fails is reported; the others are still changed.
  bridge-accept  Allow traffic inside the network of BRIDGE and nowhere else.
                 Inside: one rule `-i BRIDGE -o BRIDGE -j ACCEPT` at the head of chain
                 DOCKER-USER, as iptables-nft would write it. Elsewhere: the nftables
                 tables `inet` and `arp` polis-init-BRIDGE block traffic from BRIDGE
                 to this machine and to all other networks. Each run replaces
                 them; nothing else is changed.
  forward        Listen on each PORT, and forward connections to the same port of HOST,
                 or to the one after the colon. At most 256 connections at a time.

Options:
  -R              Descend into directories
  --wait SECONDS  How long bridge-accept waits for Docker to create the chain
                  (0 to 3600, default 30)
  --egress BRIDGE Allow traffic from this bridge to public IPv4 addresses and
                  port 53 of the name servers in /etc/resolv.conf, but not to
                  private ranges or this machine; may be repeated
  --ingress BRIDGE Allow only replies from this bridge: it cannot open
                  connections; may be repeated
  --to HOST       The name or the IPv4 address of the host
  --within NETWORK Connect to HOST only at an address in this network, such as 10.0.0.0/8
  --idle SECONDS  Close a connection that was idle for this long (1 to 86400,
                  default 3600)
  --check         Only check that something listens on each PORT
  -h, --help      Print this help
  -V, --version   Print the version

Exit codes:
  0  done, or nothing to do
  1  failed; see standard error
  2  the command line is invalid; nothing was changed
";

/// A parsed command line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// Print the help text.
    Help,
    /// Print the version.
    Version,
    /// Change owners.
    Chown(Request),
    /// Allow traffic inside one bridge network.
    BridgeAccept(BridgeAccept),
    /// Forward connections to one host.
    Forward(Forward),
    /// Check that something listens on these ports.
    Listening(Vec<(u16, u16)>),
}

/// The bridges to open and to restrict.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BridgeAccept {
    /// The bridge inside which traffic is allowed, and which reaches nothing else.
    pub(crate) bridge: BridgeName,
    /// Bridges that reach only public addresses.
    pub(crate) egress: Vec<BridgeName>,
    /// Bridges that cannot open connections.
    pub(crate) ingress: Vec<BridgeName>,
    /// How long to wait for Docker's chain.
    pub(crate) wait: Duration,
}

/// Why a command line was refused, for its author.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct UsageError(String);

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<lexopt::Error> for UsageError {
    fn from(error: lexopt::Error) -> Self {
        Self(error.to_string())
    }
}

/// Parses the arguments that follow the program's name.
pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Command, UsageError> {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let mut parser = Parser::from_args(arguments);
    match parser.next()? {
        None => Err(UsageError("missing command".into())),
        Some(Short('h') | Long("help")) => Ok(Command::Help),
        Some(Short('V') | Long("version")) => Ok(Command::Version),
        Some(Value(verb)) => match verb.to_str() {
            Some("chown") => parse_chown(&mut parser),
            Some("bridge-accept") => parse_bridge_accept(&mut parser),
            Some("forward") => parse_forward(&mut parser),
            _ => Err(UsageError(format!("unknown command {verb:?}"))),
        },
        Some(other) => Err(other.unexpected().into()),
    }
}

fn parse_chown(parser: &mut Parser) -> Result<Command, UsageError> {
    let mut recursive = false;
    let mut owner: Option<Owner> = None;
    let mut paths: Vec<PathBuf> = Vec::new();
    while let Some(argument) = parser.next()? {
        match argument {
            Short('R') => recursive = true,
            Short('h') | Long("help") => return Ok(Command::Help),
            Value(value) if owner.is_none() => {
                let parsed = value.to_str().and_then(Owner::parse);
                owner = Some(parsed.ok_or_else(|| {
                    UsageError(format!(
                        "chown: {value:?} is not UID:GID, two numbers from 0 to 4294967294"
                    ))
                })?);
            }
            Value(value) if value.is_empty() => {
                return Err(UsageError("chown: empty PATH".into()));
            }
            Value(value) => paths.push(value.into()),
            other => return Err(other.unexpected().into()),
        }
    }
    let Some(owner) = owner else {
        return Err(UsageError("chown: missing UID:GID".into()));
    };
    if paths.is_empty() {
        return Err(UsageError("chown: missing PATH".into()));
    }
    Ok(Command::Chown(Request {
        recursive,
        owner,
        paths,
    }))
}

fn parse_bridge_accept(parser: &mut Parser) -> Result<Command, UsageError> {
    let mut bridge: Option<BridgeName> = None;
    let mut egress: Vec<BridgeName> = Vec::new();
    let mut ingress: Vec<BridgeName> = Vec::new();
    let mut wait = DEFAULT_WAIT;
    while let Some(argument) = parser.next()? {
        match argument {
            Short('h') | Long("help") => return Ok(Command::Help),
            Long("wait") => wait = parse_wait(&parser.value()?)?,
            Long("egress") => egress.push(parse_bridge(&parser.value()?)?),
            Long("ingress") => ingress.push(parse_bridge(&parser.value()?)?),
            Value(value) if bridge.is_none() => bridge = Some(parse_bridge(&value)?),
            other => return Err(other.unexpected().into()),
        }
    }
    let Some(bridge) = bridge else {
        return Err(UsageError("bridge-accept: missing BRIDGE".into()));
    };
    for (of, others, name) in [
        ("BRIDGE", std::slice::from_ref(&bridge), "--egress"),
        ("BRIDGE", std::slice::from_ref(&bridge), "--ingress"),
        ("--egress", egress.as_slice(), "--ingress"),
    ] {
        let named = if name == "--egress" {
            &egress
        } else {
            &ingress
        };
        if let Some(twice) = named.iter().find(|bridge| others.contains(bridge)) {
            return Err(UsageError(format!(
                "bridge-accept: {twice} cannot be both {of} and {name}"
            )));
        }
    }
    Ok(Command::BridgeAccept(BridgeAccept {
        bridge,
        egress,
        ingress,
        wait,
    }))
}

fn parse_forward(parser: &mut Parser) -> Result<Command, UsageError> {
    let (mut to, mut within, mut check) = (None, None, false);
    let (mut ports, mut idle) = (Vec::new(), DEFAULT_IDLE);
    while let Some(argument) = parser.next()? {
        match argument {
            Short('h') | Long("help") => return Ok(Command::Help),
            Long("check") => check = true,
            Long("to") => to = Some(parse_host(&parser.value()?)?),
            Long("within") => within = Some(parse_network(&parser.value()?)?),
            Long("idle") => idle = parse_idle(&parser.value()?)?,
            Value(value) => {
                let (port, target) = parse_ports(&value)?;
                if ports.iter().any(|(known, _)| *known == port) {
                    return Err(UsageError(format!("forward: port {port} is given twice")));
                }
                ports.push((port, target));
            }
            other => return Err(other.unexpected().into()),
        }
    }
    let missing = |what: &str| UsageError(format!("forward: missing {what}"));
    if ports.is_empty() {
        return Err(missing("PORT"));
    }
    if check {
        return Ok(Command::Listening(ports));
    }
    Ok(Command::Forward(Forward {
        to: to.ok_or_else(|| missing("--to"))?,
        within: within.ok_or_else(|| missing("--within"))?,
        ports,
        idle,
    }))
}

fn parse_ports(value: &OsStr) -> Result<(u16, u16), UsageError> {
    let text = value.to_str().unwrap_or_default();
    let (port, target) = text.split_once(':').unwrap_or((text, text));
    let number = |text: &str| text.parse::<u16>().ok().filter(|port| *port != 0);
    number(port).zip(number(target)).ok_or_else(|| {
        UsageError(format!(
            "forward: {value:?} is not PORT or PORT:PORT, numbers from 1 to 65535"
        ))
    })
}

fn parse_host(value: &OsStr) -> Result<String, UsageError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let text = value
        .to_str()
        .filter(|text| !text.is_empty() && text.bytes().all(plain));
    text.map(str::to_owned).ok_or_else(|| {
        UsageError(format!(
            "forward: {value:?} is neither a host's name nor an IPv4 address"
        ))
    })
}

fn parse_network(value: &OsStr) -> Result<Network, UsageError> {
    value.to_str().and_then(Network::parse).ok_or_else(|| {
        UsageError(format!(
            "forward: {value:?} is not an IPv4 network such as 10.0.0.0/8"
        ))
    })
}

fn parse_idle(value: &OsStr) -> Result<Duration, UsageError> {
    let seconds = value.to_str().and_then(|text| text.parse::<u64>().ok());
    let seconds = seconds.filter(|seconds| (1..=86_400).contains(seconds));
    seconds
        .map(Duration::from_secs)
        .ok_or_else(|| UsageError("forward: --idle takes whole seconds from 1 to 86400".to_owned()))
}

fn parse_wait(value: &OsStr) -> Result<Duration, UsageError> {
    let seconds = value.to_str().and_then(|text| text.parse::<u64>().ok());
    let seconds = seconds.filter(|seconds| *seconds <= LONGEST_WAIT_SECONDS);
    seconds.map(Duration::from_secs).ok_or_else(|| {
        UsageError(format!(
            "bridge-accept: --wait takes whole seconds from 0 to {LONGEST_WAIT_SECONDS}"
        ))
    })
}

fn parse_bridge(value: &OsStr) -> Result<BridgeName, UsageError> {
    let parsed = value.to_str().and_then(BridgeName::parse);
    parsed.ok_or_else(|| {
        UsageError(format!(
            "bridge-accept: {value:?} is not an interface name: 1 to 15 letters, digits, '.', '_' or '-'"
        ))
    })
}

/// Prints the help text to standard output.
pub(crate) fn print_help() -> ExitCode {
    print!("{HELP}");
    ExitCode::SUCCESS
}

/// Prints the version to standard output.
pub(crate) fn print_version() -> ExitCode {
    println!("polis-init {}", env!("CARGO_PKG_VERSION"));
    ExitCode::SUCCESS
}

/// Prints to standard error why the command line was refused, and its usage.
pub(crate) fn print_usage(error: &UsageError) -> ExitCode {
    eprint!("polis-init: {error}\n\n{HELP}");
    ExitCode::from(USAGE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Command, UsageError> {
        parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn the_chown_line_of_the_compose_file_is_parsed() {
        let Ok(Command::Chown(request)) = parsed("chown -R 65532:65532 /data") else {
            panic!("not a chown request");
        };
        assert!(request.recursive);
        assert_eq!(
            request.owner,
            Owner {
                uid: 65532,
                gid: 65532
            }
        );
        assert_eq!(request.paths, [PathBuf::from("/data")]);
    }

    #[test]
    fn two_dashes_end_the_options_of_chown() {
        let Ok(Command::Chown(request)) = parsed("chown 1:2 -- -R") else {
            panic!("not a chown request");
        };
        assert!(!request.recursive);
        assert_eq!(request.paths, [PathBuf::from("-R")]);
    }

    #[test]
    fn bridge_accept_waits_half_a_minute_by_default() {
        let Ok(Command::BridgeAccept(request)) = parsed("bridge-accept br-polis") else {
            panic!("not a bridge request");
        };
        assert_eq!(request.wait, Duration::from_secs(30));
        let Ok(Command::BridgeAccept(request)) = parsed("bridge-accept --wait=0 br-polis") else {
            panic!("not a bridge request");
        };
        assert_eq!(request.wait, Duration::ZERO);
    }

    #[test]
    fn the_bridge_line_of_the_compose_file_is_parsed() {
        let line = "bridge-accept polis-internal --egress polis-external --egress polis-internet \
                    --ingress polis-forward";
        let name = |text| BridgeName::parse(text).expect("a valid name");
        assert_eq!(
            parsed(line),
            Ok(Command::BridgeAccept(BridgeAccept {
                bridge: name("polis-internal"),
                egress: vec![name("polis-external"), name("polis-internet")],
                ingress: vec![name("polis-forward")],
                wait: Duration::from_secs(30),
            }))
        );
    }

    #[test]
    fn the_lines_of_the_overlay_are_parsed() {
        let Ok(Command::Forward(request)) =
            parsed("forward --to workspace --within 10.10.1.128/25 8099:3000 8100")
        else {
            panic!("not a forward request");
        };
        assert_eq!(request.to, "workspace");
        assert_eq!(request.ports, [(8099, 3000), (8100, 8100)]);
        assert_eq!(request.idle, Duration::from_secs(3600));
        assert_eq!(
            parsed("forward --check 8099:3000"),
            Ok(Command::Listening(vec![(8099, 3000)]))
        );
    }

    #[test]
    fn help_works_after_a_command_too() {
        for line in [
            "--help",
            "-h",
            "chown --help",
            "bridge-accept -h",
            "forward --help",
        ] {
            assert_eq!(parsed(line), Ok(Command::Help), "{line}");
        }
    }
}
