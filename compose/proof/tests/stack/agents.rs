//! A real agent in the real stack: added, installed, healthy, restarted with its data, and removed without a trace.

use std::fs;
use std::path::Path;

use polis_stack_proof::Result;
use polis_stack_proof::bench::Bench;
use polis_stack_proof::health::all_are_well;

use crate::ensure;
use crate::probe::shell;

const TOKEN: &str = "sk-proof-of-the-stack";
/// What its volume holds it also counts, so that lost data shows.
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
    let said = format!("curl -sf -H 'X-Token: {TOKEN}' -d hello http://127.0.0.1:8099/");
    let answer = shell(bench, &said)?;
    ensure(answer == "hello", || format!("it answered `{answer}`"))?;
    let user = shell(bench, "ps -o user= -C python3")?;
    ensure(user.contains("polis"), || format!("it runs as `{user}`"))?;
    let mode = bench
        .guest
        .output("stat -c '%a %U' /opt/polis/agent-keys/echo/env")?;
    ensure(mode == "600 root", || format!("its keys: {mode}"))?;

    bench.polis("polis agent restart", &["agent", "restart", "echo"])?;
    shell(
        bench,
        "for i in {1..100}; do systemctl is-active --quiet echo && curl -sf http://127.0.0.1:8099/health && break; sleep 0.2; done",
    )?;
    let count = shell(bench, COUNT)?;
    ensure(count == "1", || format!("after a restart: {count}"))?;
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

    let remove = ["agent", "remove", "echo", "--purge", "--yes"];
    bench.polis("polis agent remove", &remove)?;
    bench.polis("polis start after it", &words)?;
    all_are_well(&bench.guest)?;
    let left = bench.guest.output(
        "{ docker volume ls --quiet | grep polis-agent; ls -A /opt/polis/agents /opt/polis/agent-keys | grep echo; \
         ls /opt/polis/.agents-removed; } 2>/dev/null || true",
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
