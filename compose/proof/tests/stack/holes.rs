//! Ways out of the sandbox that were open once: each is tried again, by somebody who is root in the workspace.

use polis_stack_proof::Result;
use polis_stack_proof::bench::Bench;
use polis_stack_proof::internet::{PRIVATE, WEB};

use crate::ensure;
use crate::probe::{Answers, ask, shell};

/// What no answer may be.
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

/// The far end must not have seen `mark` either.
fn nothing_arrived(bench: &Bench, mark: &str) -> Result<()> {
    let seen = bench.internet.seen_with(mark)?;
    ensure(seen.is_empty(), || format!("it arrived outside: {seen:?}"))
}

/// Only what is inspected leaves: nothing on other ports, whatever it speaks.
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
        format!("refused without a word, so that programs wait: {slow:?}")
    })?;
    nothing_arrived(bench, mark)
}

/// Neither by the group of all hosts nor by the bridge's own address does the machine answer over IPv6.
pub(crate) fn the_machine_is_silent_over_ipv6(bench: &mut Bench) -> Result<()> {
    let device = shell(
        bench,
        "ip -o -4 address show to 10.10.1.0/24 | cut -d ' ' -f 2",
    )?;
    shell(
        bench,
        &format!(
            "sysctl -qw net.ipv6.conf.all.disable_ipv6=0 net.ipv6.conf.{device}.disable_ipv6=0; sleep 2"
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

/// The address that IPv6 makes of a hardware address.
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

/// No neighbour forwards what is sent through it, whatever its kernel thinks of the way back.
pub(crate) fn no_neighbour_is_a_way_around_gate(bench: &mut Bench) -> Result<()> {
    let machine = bench.internet.machine.clone();
    for (neighbour, address) in [("resolver", "10.10.1.2"), ("toolbox", "10.10.1.20")] {
        for filter in ["0", "2"] {
            let set: Vec<String> = ["all", "default", "eth0", "eth1", "eth2"]
                .map(|device| {
                    format!("sysctl -qw net.ipv4.conf.{device}.rp_filter={filter} || true")
                })
                .to_vec();
            bench.beside(neighbour, &["sh", "-c", &set.join("; ")])?;
            let found =
                bench.beside(neighbour, &["sysctl", "-n", "net.ipv4.conf.all.rp_filter"])?;
            ensure(found == filter, || {
                format!("rp_filter of {neighbour} is {found}, not {filter}")
            })?;
            let mark = format!("around-{neighbour}-{filter}");
            let targets = [
                WEB,
                PRIVATE[0],
                PRIVATE[3],
                machine.as_str(),
                "10.30.1.5",
                "172.20.0.1",
            ];
            let there: String = targets
                .iter()
                .map(|target| format!("ip route replace {target} via {address};"))
                .collect();
            let back: String = targets
                .iter()
                .map(|target| format!("ip route del {target};"))
                .collect();
            let mut questions = Vec::new();
            for target in targets {
                questions.extend(
                    [22, 80, 443, 9000, 1344].map(|port| format!("tcp {target} {port} {mark}")),
                );
                questions.extend([53, 443, 9000].map(|port| format!("udp {target} {port} {mark}")));
                questions.push(format!("icmp {target}"));
            }
            shell(bench, &there)?;
            let answers = ask(bench, &questions);
            shell(bench, &back)?;
            nothing_answers(&answers?)
                .map_err(|error| format!("through {neighbour}, rp_filter {filter}: {error}"))?;
            nothing_arrived(bench, &mark)?;
        }
    }
    Ok(())
}
