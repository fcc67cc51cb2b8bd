//! A real agent in the real stack: added, installed, healthy, reachable through its port, restarted and updated with its data kept,
//! and removed without a trace.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use cloud_init_proof::run::Run;
use polis_stack_proof::Result;
use polis_stack_proof::bench::Bench;
use polis_stack_proof::health::all_are_well;

use crate::ensure;
use crate::holes;
use crate::probe::shell;

/// How long the unit and the agent may take to start.
const LIMIT: Duration = Duration::from_secs(120);
const TOKEN: &str = "sk-proof-of-the-stack";
/// It also counts the contents of its volume, which reveals lost data.
const COUNT: &str = "curl -sf http://127.0.0.1:8099/count";

/// The example `agents/echo`, from `agent add` to `agent remove --purge`.
pub(crate) fn an_agent_is_run(bench: &mut Bench) -> Result<()> {
    let agent = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../agents/echo");
    let agent = agent.display().to_string();
    let keys = bench.dir.join("echo.env");
    fs::write(&keys, format!("ECHO_TOKEN={TOKEN}\n"))
        .map_err(|error| format!("{}: {error}", keys.display()))?;
    let keys = keys.display().to_string();
    let add = ["agent", "add", &agent, "--env-file", &keys];
    bench.polis("polis agent add", &add)?;
    let words = ["start", "--recreate-workspace"];
    bench.polis("polis start with an agent", &words)?;
    is_healthy(bench)?;
    let differs = bench.guest.output("/opt/polis/scripts/stack.sh differs")?;
    ensure(differs.is_empty(), || {
        format!("a newly created workspace differs: {differs}")
    })?;
    let said = format!("curl -sf -H 'X-Token: {TOKEN}' -d hello http://127.0.0.1:8099/");
    let answer = shell(bench, &said)?;
    ensure(answer == "hello", || format!("it answered `{answer}`"))?;
    let user = shell(bench, "ps -o user= -C python3")?;
    ensure(user.contains("polis"), || format!("it runs as `{user}`"))?;
    let mode = bench
        .guest
        .output("stat -c '%a %U' /opt/polis/agent-keys/echo/env")?;
    ensure(mode == "600 root", || format!("its keys: {mode}"))?;

    is_reached(bench)?;
    bench.polis("polis agent restart", &["agent", "restart", "echo"])?;
    shell(
        bench,
        "for i in {1..100}; do systemctl is-active --quiet echo && curl -sf http://127.0.0.1:8099/health && break; sleep 0.2; done",
    )?;
    let count = shell(bench, COUNT)?;
    ensure(count == "1", || format!("after a restart: {count}"))?;
    is_reached_after_a_boot(bench)?;
    // An unrelated recreation of the workspace keeps the volume.
    bench.polis(
        "polis start without agents",
        &["start", "--no-agent", "--recreate-workspace"],
    )?;
    let gone = shell(bench, "systemctl is-active echo || true")?;
    ensure(gone == "inactive", || format!("with --no-agent: {gone}"))?;
    bench.polis("polis start with agents again", &words)?;
    is_healthy(bench)?;
    let count = shell(bench, COUNT)?;
    ensure(count == "1", || format!("after a recreation: {count}"))?;
    is_updated(bench, Path::new(&agent))?;

    let remove = ["agent", "remove", "echo", "--purge", "--yes"];
    bench.polis("polis agent remove", &remove)?;
    // Immediately, not only after the next start.
    ensure(asked(bench, 8099, "/health").is_err(), || {
        "its port is still open".to_owned()
    })?;
    bench.polis("polis start after it", &words)?;
    all_are_well(&bench.guest)?;
    let left = bench.guest.output(
        "{ docker volume ls --quiet | grep polis-agent; ls -A /opt/polis/agents /opt/polis/agent-keys | grep echo; \
         ls /opt/polis/.agents-removed /opt/polis/forward.json; docker ps --all --quiet --filter name=forward; \
         docker network ls --quiet --filter name=forward; grep -o forward /opt/polis/.env; \
         ss -Hltn 'sport = :8099'; } 2>/dev/null || true",
    )?;
    ensure(left.is_empty(), || format!("left behind: {left}"))
}

fn is_healthy(bench: &mut Bench) -> Result<()> {
    let list = bench.polis("polis agent list", &["agent", "list", "--json"])?;
    ensure(list.stdout.contains("\"state\": \"healthy\""), || {
        let journal = "systemctl status --no-pager polis-agents echo; journalctl --no-pager -n 50 -u polis-agents -u echo; \
             ls -la /run/polis-agents/*; cat /run/polis-agents/*/log";
        let story = shell(bench, &format!("{{ {journal}; }} 2>&1 || true"));
        format!("{}\n{}", list.seen(), story.unwrap_or_default())
    })
}

/// The response to a request from outside, to the machine's address.
fn asked(bench: &Bench, port: u16, path: &str) -> Result<String> {
    let process = bench.internet.process()?;
    let url = format!("http://{}:{port}{path}", bench.internet.machine);
    let enter = ["nsenter", "--net", "--target", &process];
    let curl = ["curl", "-sSf", "--noproxy", "*", "--max-time", "5", &url];
    Run::new(&[&enter[..], &curl].concat()).output()
}

/// The agent answers at the machine's address, through a forwarder that is not a way out.
fn is_reached(bench: &mut Bench) -> Result<()> {
    let count = asked(bench, 8099, "/count")?;
    ensure(count == "1", || format!("from outside: {count}"))?;
    ensure(asked(bench, 9000, "/count").is_err(), || {
        "an unrequested port is open".to_owned()
    })?;
    let workspace = "docker inspect --format '{{.Id}} {{.State.StartedAt}}' polis-workspace";
    let before = bench.guest.output(workspace)?;
    let words = ["port", "add", "9000", "--to", "8099"];
    bench.polis("polis port add", &words)?;
    let count = asked(bench, 9000, "/count")?;
    ensure(count == "1", || format!("at the user's port: {count}"))?;
    let listens =
        "ss -Hltn 'sport = :8099 or sport = :9000' | awk '{print $4}' | sort | tr '\\n' ' '";
    let found = bench.guest.output(listens)?;
    let machine = &bench.internet.machine;
    let wanted = format!("{machine}:8099 {machine}:9000");
    ensure(found == wanted, || {
        format!("the machine listens at {found}")
    })?;

    // From the workspace, the forwarder leads only back to it, and a process in the forwarder could not get out either.
    let own = shell(bench, "curl -sf --noproxy '*' http://10.10.1.30:8099/count")?;
    ensure(own == "1", || format!("from the workspace: {own}"))?;
    holes::is_no_way_around_gate(bench, "forward", "10.10.1.30")?;
    holes::reaches_nothing_outside(bench, "forward")?;
    all_are_well(&bench.guest)?;

    bench.polis("polis port remove", &["port", "remove", "9000"])?;
    ensure(asked(bench, 9000, "/count").is_err(), || {
        "the removed port is still open".to_owned()
    })?;
    let after = bench.guest.output(workspace)?;
    ensure(before == after, || {
        format!("the workspace was {before} and is {after}")
    })
}

/// At boot, the forwarder moves to the machine's current address: Docker starts no container at an address that is gone.
fn is_reached_after_a_boot(bench: &mut Bench) -> Result<()> {
    let start = Instant::now();
    let machine = bench.internet.machine.as_str();
    let (network, _) = machine.rsplit_once('.').unwrap_or_default();
    let before = format!("{network}.77");
    bench.guest.output(&format!(
        "cd /opt/polis; ip address add {before}/24 dev eth0; sed -i 's/{machine}/{before}/' forward.json; \
         docker compose up --detach --no-deps forward 2>&1; ip address del {before}/24 dev eth0; \
         docker port polis-forward | grep -F ' {before}:8099' && systemctl restart polis.service"
    ))?;
    loop {
        match asked(bench, 8099, "/count") {
            Err(_) if start.elapsed() < LIMIT => std::thread::sleep(Duration::from_millis(500)),
            answer => return answer.and_then(|count| ensure(count == "1", || count)),
        }
    }
}

/// An agent with the same name and other contents replaces it, and keeps its data.
fn is_updated(bench: &mut Bench, agent: &Path) -> Result<()> {
    let dir = bench.dir.join("updated");
    let failed = |error: std::io::Error| format!("{}: {error}", dir.display());
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir).map_err(failed)?;
    for file in ["agent.yaml", "echo.py", "install.sh"] {
        let text = fs::read_to_string(agent.join(file)).map_err(failed)?;
        let text = text.replace("well\\n", "well and new\\n");
        fs::write(dir.join(file), text).map_err(failed)?;
    }
    let old = asked(bench, 8099, "/health")?;
    ensure(old == "well", || format!("the old one says `{old}`"))?;
    let dir = dir.display().to_string();
    // Its key is already stored.
    bench.polis("polis agent add, another one", &["agent", "add", &dir])?;
    bench.polis("polis start after it", &["start"])?;
    is_healthy(bench)?;
    let new = asked(bench, 8099, "/health")?;
    ensure(new == "well and new", || {
        format!("the new one says `{new}`")
    })?;
    let count = asked(bench, 8099, "/count")?;
    ensure(count == "1", || format!("after an update: {count}"))
}
