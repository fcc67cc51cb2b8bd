//! Former ways out of the sandbox. Each is tried again, as root in the workspace.

use polis_stack_proof::Result;
use polis_stack_proof::bench::Bench;
use polis_stack_proof::internet::{PRIVATE, WEB};

use crate::ensure;
use crate::probe::{Answers, ask, ask_from, shell};

/// Fails if something answered.
fn nothing_answers(answers: &Answers) -> Result<()> {
    let open: Vec<String> = answers
        .iter()
        .filter(|(_, answer)| answer.starts_with("answers") || *answer == "takes")
        .map(|(question, answer)| format!("{question}: {answer}"))
        .collect();
    ensure(open.is_empty(), || {
        format!("not refused:\n{}", open.join("\n"))
    })
}

/// Fails if `mark` arrived outside.
fn nothing_arrived(bench: &Bench, mark: &str) -> Result<()> {
    let seen = bench.internet.seen_with(mark)?;
    ensure(seen.is_empty(), || format!("it arrived outside: {seen:?}"))
}

/// Only inspected traffic gets out: nothing on other ports, whatever its protocol.
pub(crate) fn raw_tcp_is_refused(bench: &mut Bench) -> Result<()> {
    let mark = "sk-raw-tcp-mark";
    let ports = [22, 23, 25, 853, 3128, 5432, 8080, 8443, 9000, 65535];
    let mut questions: Vec<String> = ports
        .iter()
        .map(|port| format!("tcp {WEB} {port} {mark}\\r\\n"))
        .collect();
    questions.extend([443, 9000, 123].map(|port| format!("udp {WEB} {port} {mark}")));
    let answers = ask(bench, &questions)?;
    nothing_answers(&answers)?;
    let slow: Vec<_> = answers
        .iter()
        .filter(|(question, answer)| question.starts_with("tcp") && *answer == "silent")
        .collect();
    ensure(slow.is_empty(), || {
        format!("dropped instead of refused, so programs wait for a timeout: {slow:?}")
    })?;
    nothing_arrived(bench, mark)
}

/// The machine does not answer over IPv6, neither at multicast addresses nor at those of its bridges.
pub(crate) fn the_machine_is_silent_over_ipv6(bench: &mut Bench) -> Result<()> {
    let device = shell(
        bench,
        "ip -o -4 address show to 10.10.1.0/24 | cut -d ' ' -f 2",
    )?;
    shell(
        bench,
        &format!(
            "sysctl -qw net.ipv6.conf.all.disable_ipv6=0 net.ipv6.conf.{device}.disable_ipv6=0; sleep 2; \
             [[ -n $(ip -o -6 address show dev {device} scope link) ]]"
        ),
    )?;
    let bridges = bench.guest.output("ip -json link show type bridge; true")?;
    let bridges: Vec<serde_json::Value> =
        serde_json::from_str(&bridges).map_err(|error| format!("{error}: {bridges}"))?;
    let mut questions = vec![
        format!("icmp6 ff02::1%{device}"),
        format!("icmp6 ff02::2%{device}"),
    ];
    for bridge in &bridges {
        let local = link_local(bridge["address"].as_str().unwrap_or_default());
        questions.push(format!("icmp6 {local}%{device}"));
        questions.extend([22, 53, 80, 111].map(|port| format!("tcp {local}%{device} {port}")));
    }
    ensure(questions.len() > 8, || {
        format!("too few bridges in the machine: {bridges:?}")
    })?;
    let answers = ask(bench, &questions);
    shell(bench, "sysctl -qw net.ipv6.conf.all.disable_ipv6=1")?;
    nothing_answers(&answers?)
}

/// The link-local address that IPv6 derives from a hardware address.
fn link_local(mac: &str) -> String {
    let bytes: Vec<u8> = mac
        .split(':')
        .filter_map(|byte| u8::from_str_radix(byte, 16).ok())
        .collect();
    let [a, b, c, d, e, f] = bytes[..] else {
        return String::new();
    };
    format!(
        "fe80::{:x}:{:x}:{:x}:{:x}",
        u16::from_be_bytes([a ^ 2, b]),
        u16::from_be_bytes([c, 0xff]),
        u16::from_be_bytes([0xfe, d]),
        u16::from_be_bytes([e, f])
    )
}

/// No neighbour forwards packets that are routed through it, whatever its reverse path filter.
pub(crate) fn no_neighbour_is_a_way_around_gate(bench: &mut Bench) -> Result<()> {
    for (neighbour, address) in [("resolver", "10.10.1.2"), ("toolbox", "10.10.1.20")] {
        is_no_way_around_gate(bench, neighbour, address)?;
    }
    Ok(())
}

/// A service at `address` of the workspace's network forwards nothing.
pub(crate) fn is_no_way_around_gate(bench: &Bench, neighbour: &str, address: &str) -> Result<()> {
    for filter in ["0", "2"] {
        let set: Vec<String> = ["all", "default", "eth0", "eth1", "eth2"]
            .map(|device| format!("sysctl -qw net.ipv4.conf.{device}.rp_filter={filter} || true"))
            .to_vec();
        bench
            .in_network_of(neighbour, &["sh", "-c", &set.join("; ")])?
            .output()?;
        let read = ["sysctl", "-n", "net.ipv4.conf.all.rp_filter"];
        let found = bench.in_network_of(neighbour, &read)?.output()?;
        ensure(found == filter, || {
            format!("rp_filter of {neighbour} is {found}, not {filter}")
        })?;
        let mark = format!("around-{neighbour}-{filter}");
        let targets = elsewhere(bench);
        let there: String = targets
            .iter()
            .map(|target| format!("ip route replace {target} via {address};"))
            .collect();
        let back: String = targets
            .iter()
            .map(|target| format!("ip route del {target};"))
            .collect();
        shell(bench, &there)?;
        let answers = ask(bench, &to_elsewhere(bench, &mark));
        shell(bench, &back)?;
        nothing_answers(&answers?)
            .map_err(|error| format!("through {neighbour}, rp_filter {filter}: {error}"))?;
        nothing_arrived(bench, &mark)?;
    }
    Ok(())
}

/// Addresses outside the workspace's network.
fn elsewhere(bench: &Bench) -> [String; 6] {
    let machine = bench.internet.machine.as_str();
    [
        WEB,
        PRIVATE[0],
        PRIVATE[3],
        machine,
        "10.30.1.5",
        "172.20.0.1",
    ]
    .map(str::to_owned)
}

/// Probes of these addresses, marked with `mark`.
fn to_elsewhere(bench: &Bench, mark: &str) -> Vec<String> {
    let mut questions = Vec::new();
    for target in elsewhere(bench) {
        questions
            .extend([22, 80, 443, 9000, 1344].map(|port| format!("tcp {target} {port} {mark}")));
        questions.extend([53, 443, 9000].map(|port| format!("udp {target} {port} {mark}")));
        questions.push(format!("icmp {target}"));
    }
    questions
}

/// A process in the network of `service` reaches nothing outside.
pub(crate) fn reaches_nothing_outside(bench: &Bench, service: &str) -> Result<()> {
    let mark = format!("from-{service}");
    let answers = ask_from(bench, service, &to_elsewhere(bench, &mark))?;
    nothing_answers(&answers).map_err(|error| format!("from {service}: {error}"))?;
    nothing_arrived(bench, &mark)
}
