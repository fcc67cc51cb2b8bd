//! Probes everything that the workspace can reach, from inside as root, and compares the results with the documentation.
//!
//! The listening ports come from the sockets of each container and of the machine, so a port that a new version opens appears in
//! the table automatically.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use polis_stack_proof::Result;
use polis_stack_proof::bench::Bench;
use polis_stack_proof::internet::{NAME_SERVER, OTHER, PRIVATE, TCP, WEB};
use polis_stack_proof::tree;
use serde_json::Value;

use crate::ensure;
use crate::probe::{ask, request};

/// The page with the table.
const DOCUMENT: &str = "docs/reachability.md";

const HEAD: &str = "\
# What the workspace can reach

Written by `UPDATE_EXPECT=1 cargo test -p polis-stack-proof --test stack -- reach`. The test runs as root inside a workspace
and compares the results with this page. For each container and for the machine, it probes every port that anything listens
on there, and always ports 22, 53, 80, 443 and 8080.

`answers` shows the first line of the response. `closes`: gate or the service accepted the connection, and closed it
without a response. `takes`: the connection was accepted, without a response. `refused` and `rejected` are immediate; `silent`
means that no connection was made in time. `nothing`: a datagram or an ICMP echo was refused or not answered. On port 53,
resolver answers whatever the address: gate redirects queries to it, and the test checks that no other name server gets any.

| target | address | asked | result |
|---|---|---|---|
";

/// Ports that are always probed.
const ALWAYS: [u16; 5] = [22, 53, 80, 443, 8080];

/// A probe with its place in the table.
#[derive(Debug, Clone)]
struct Asked {
    target: String,
    address: String,
    protocol: &'static str,
    port: u16,
    question: String,
}

/// The sockets that listen in a network namespace, other than on loopback: protocol and port.
type Listening = BTreeSet<(&'static str, u16)>;

pub(crate) fn the_workspace_reaches_what_the_documents_say(bench: &mut Bench) -> Result<()> {
    let mut asked = services(bench)?;
    asked.extend(machine(bench)?);
    asked.extend(internet());
    let questions: BTreeSet<String> = asked.iter().map(|asked| asked.question.clone()).collect();
    let questions: Vec<String> = questions.into_iter().collect();
    let before = bench.internet.seen()?.len();
    let answers = ask(bench, &questions)?;
    only_what_may_arrive(bench, before)?;
    let table = HEAD.to_owned() + &rows(&asked, &answers).concat();
    let path = tree::repository().join(DOCUMENT);
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        return fs::write(&path, table).map_err(|error| format!("{}: {error}", path.display()));
    }
    let documented =
        fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let (documented, found): (BTreeSet<&str>, BTreeSet<&str>) =
        (documented.lines().collect(), table.lines().collect());
    let more: Vec<&&str> = found.difference(&documented).collect();
    let less: Vec<&&str> = documented.difference(&found).collect();
    ensure(more.is_empty() && less.is_empty(), || {
        format!(
            "{DOCUMENT} is out of date; UPDATE_EXPECT=1 rewrites it\nfound: {more:#?}\ndocumented: {less:#?}"
        )
    })
}

/// Outside, only HTTP requests at public hosts and queries at the machine's own name server may arrive, all from the
/// machine's address.
fn only_what_may_arrive(bench: &Bench, before: usize) -> Result<()> {
    for entry in bench.internet.seen()?.into_iter().skip(before) {
        let address = entry["address"].as_str().unwrap_or_default();
        let may = match entry["protocol"].as_str().unwrap_or_default() {
            "http" => [WEB, OTHER, NAME_SERVER].contains(&address),
            "dns" | "dns-tcp" => address == bench.internet.gateway,
            _ => false,
        };
        ensure(may && entry["from"] == bench.internet.machine, || {
            format!("this may not arrive outside: {entry}")
        })?;
    }
    Ok(())
}

/// Probes of one address.
fn about(target: &str, shown: &str, address: &str, listening: &Listening) -> Vec<Asked> {
    let mut wanted = listening.clone();
    wanted.extend(ALWAYS.map(|port| ("tcp", port)));
    wanted.extend([("udp", 53), ("icmp", 0)]);
    let question = |(protocol, port): &(&'static str, u16)| match (*protocol, *port) {
        ("udp", 53) => format!("dns {address}"),
        ("tcp", 53) => format!("dnstcp {address}"),
        ("udp", port) => format!("udp {address} {port} reach"),
        ("icmp", _) => format!("icmp {address}"),
        (_, 443) => format!("tls {address} 443 web.example"),
        (_, 80 | 8080) => format!("tcp {address} {port} {}", request("web.example")),
        (_, port) => format!("tcp {address} {port}"),
    };
    let asked = wanted.iter().map(|key| Asked {
        target: target.to_owned(),
        address: shown.to_owned(),
        protocol: key.0,
        port: key.1,
        question: question(key),
    });
    asked.collect()
}

/// Probes of each container at each of its addresses.
fn services(bench: &Bench) -> Result<Vec<Asked>> {
    let mut asked = Vec::new();
    let running = bench
        .guest
        .output("cd /opt/polis && docker compose ps --services")?;
    for service in running.lines().filter(|service| *service != "workspace") {
        let said = bench.guest.output(&format!(
            "docker inspect polis-{service} --format '{{{{json .NetworkSettings.Networks}}}}'"
        ))?;
        let networks: BTreeMap<String, Value> =
            serde_json::from_str(&said).map_err(|error| format!("{error}: {said}"))?;
        let listening = listening(&bench.in_network_of(service, &["ss", "-Hltun"])?.output()?);
        for (network, settings) in networks {
            let address = settings["IPAddress"].as_str().unwrap_or_default();
            let network = network.trim_start_matches("polis_");
            // Addresses that Docker assigns change at each start.
            let last = address
                .rsplit('.')
                .next()
                .and_then(|last| last.parse::<u8>().ok());
            let fixed = address.starts_with("10.") && last.is_some_and(|last| last < 128);
            let shown = if fixed { address } else { "any" };
            asked.extend(about(
                service,
                &format!("{shown}, {network}"),
                address,
                &listening,
            ));
        }
    }
    Ok(asked)
}

/// Probes of the machine at each of its IPv4 addresses.
fn machine(bench: &Bench) -> Result<Vec<Asked>> {
    let listening = listening(&bench.guest.output("ss -Hltun")?);
    let addresses = bench.guest.output("ip -json -4 address show")?;
    let mut devices: Vec<Value> =
        serde_json::from_str(&addresses).map_err(|error| format!("{error}: {addresses}"))?;
    // Docker creates them in no particular order.
    devices.sort_by_key(|device| device["ifname"].to_string());
    let mut asked = Vec::new();
    for device in &devices {
        let name = device["ifname"].as_str().unwrap_or_default();
        let address = device["addr_info"][0]["local"].as_str().unwrap_or_default();
        if name == "lo" || name.starts_with("veth") || address.is_empty() {
            continue;
        }
        let shown = if name == "eth0" {
            "its own network"
        } else {
            name
        };
        asked.extend(about("the machine", shown, address, &listening));
    }
    // The internal bridge has no address: nothing may answer at its first one.
    asked.extend(about(
        "the machine",
        "10.10.1.1, polis-internal",
        "10.10.1.1",
        &listening,
    ));
    Ok(asked)
}

/// Probes of the internet.
fn internet() -> Vec<Asked> {
    let more: Listening = TCP
        .iter()
        .map(|port| ("tcp", *port))
        .chain([("udp", 443), ("udp", 9000)])
        .collect();
    let mut asked = Vec::new();
    for (target, address) in [
        ("the internet", WEB),
        ("the internet, a host without a name", OTHER),
        ("the internet, a name server", NAME_SERVER),
        ("the user's network", PRIVATE[0]),
        ("a company's network", PRIVATE[1]),
        ("a company's network", PRIVATE[2]),
        ("a cloud's metadata", PRIVATE[3]),
    ] {
        asked.extend(about(target, address, address, &more));
    }
    asked
}

/// Parses the output of `ss -Hltun`.
fn listening(said: &str) -> Listening {
    let mut found = Listening::new();
    for line in said.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let protocol = match words.first() {
            Some(&"tcp") => "tcp",
            Some(&"udp") => "udp",
            _ => continue,
        };
        let Some((address, port)) = words.get(4).and_then(|local| local.rsplit_once(':')) else {
            continue;
        };
        let own = address.starts_with("127.") || address == "[::1]";
        if let (false, Ok(port)) = (own, port.parse()) {
            found.insert((protocol, port));
        }
    }
    found
}

/// A row for each result at each address, with the ports that gave it.
fn rows(asked: &[Asked], answers: &crate::probe::Answers) -> Vec<String> {
    let mut rows: Vec<(String, String, String, Vec<String>)> = Vec::new();
    for one in asked {
        let answer = answers.get(&one.question).map_or("", String::as_str);
        let result = result(one.protocol, one.port, answer);
        let what = match one.protocol {
            "icmp" => "ICMP".to_owned(),
            protocol => format!("{} {}", protocol.to_uppercase(), one.port),
        };
        let found = rows.iter_mut().find(|(target, address, known, _)| {
            (target, address, known) == (&one.target, &one.address, &result)
        });
        match found {
            Some((.., all)) => all.push(what),
            None => rows.push((one.target.clone(), one.address.clone(), result, vec![what])),
        }
    }
    let row = |(target, address, result, what): &(String, String, String, Vec<String>)| {
        format!(
            "| {target} | {address} | {} | {result} |\n",
            what.join(", ")
        )
    };
    rows.iter().map(row).collect()
}

/// An answer without what differs between runs. For UDP and ICMP, a refusal counts as silence, since the kernel limits the number of
/// refusals per second.
fn result(protocol: &str, port: u16, answer: &str) -> String {
    let line = answer.lines().next().unwrap_or_default().trim();
    let refused = ["refused", "rejected", "silent"];
    if protocol != "tcp" && refused.iter().any(|word| line.starts_with(word)) {
        return "nothing".to_owned();
    }
    if port == 53 && line.starts_with("answers") {
        return "resolver answers".to_owned();
    }
    let text = |c: char| c.is_ascii_graphic() || c == ' ';
    if !line.chars().all(text) {
        return "answers, not in words".to_owned();
    }
    line.replace('|', "/")
}
