//! Faults of a service are reported.

use std::time::{Duration, Instant};

use polis_stack_proof::Result;
use polis_stack_proof::bench::Bench;
use polis_stack_proof::health::all_are_well;

use crate::ensure;

const CONFIG: &str = "/opt/polis/config/sentinel/c-icap.conf";

/// c-icap exits with 0 if its configuration is invalid. Sentinel is unhealthy nevertheless, nothing passes, and `polis` reports it:
/// the start fails, the status shows sentinel, and its log has the reason.
pub(crate) fn a_wrong_c_icap_conf_is_told(bench: &mut Bench) -> Result<()> {
    bench.guest.output(&format!(
        "cp {CONFIG} /root/c-icap.conf; echo 'Service gone srv_gone.so' >>{CONFIG}; docker restart --time 5 polis-sentinel"
    ))?;
    let told = told(bench);
    bench.guest.output(&format!(
        "cat /root/c-icap.conf >{CONFIG}; docker restart --time 5 polis-sentinel"
    ))?;
    told?;
    bench.polis("polis start, after c-icap.conf was fixed", &["start"])?;
    all_are_well(&bench.guest)
}

fn told(bench: &Bench) -> Result<()> {
    let start = Instant::now();
    let health = || {
        bench.guest.output(
            "docker inspect --format '{{.State.Status}} {{.State.Health.Status}}' polis-sentinel",
        )
    };
    while health()? == "running starting" && start.elapsed() < Duration::from_secs(8) {
        std::thread::sleep(Duration::from_millis(500));
    }
    let found = health()?;
    ensure(!found.ends_with(" healthy"), || {
        format!("sentinel is {found} with a wrong configuration")
    })?;
    let passed = bench.inside(
        "workspace",
        &[
            "curl",
            "-sS",
            "-m",
            "10",
            "-o",
            "/dev/null",
            "-w",
            "%{http_code}",
            "http://web.example/uninspected",
        ],
    );
    let passed = passed.ran()?;
    let seen = bench.internet.seen_with("/uninspected")?;
    ensure(seen.is_empty(), || {
        format!("without sentinel it passed: {} {seen:?}", passed.stdout)
    })?;
    let ran = bench
        .sandbox
        .polis_with(&["start"], &[("POLIS_HEALTH_TIMEOUT", "45")]);
    ensure(ran.code == Some(12), || {
        format!(
            "polis start does not report an unhealthy service: {}",
            ran.seen()
        )
    })?;
    let status = bench.sandbox.polis(&["status"]).seen();
    let shown = status
        .lines()
        .any(|line| line.contains("sentinel") && !line.contains(" healthy"));
    ensure(shown, || {
        format!("polis status does not show that sentinel is unhealthy: {status}")
    })?;
    let log = bench.sandbox.polis(&["logs", "sentinel"]).seen();
    ensure(log.contains("srv_gone.so"), || {
        format!("polis logs sentinel does not show the reason: {log}")
    })
}
