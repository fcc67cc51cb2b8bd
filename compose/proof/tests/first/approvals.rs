//! `polis security` on the running stack, with the real Valkey and our ACL. Writes and reads the keys of the DLP service as that
//! service's user.

use polis_stack_proof::Result;
use polis_stack_proof::bench::Bench;
use serde_json::{Value, json};

use crate::ensure;

/// The DLP service's user that records blocks, and toolbox's user, each with the name of its password.
const DLP: (&str, &str) = ("reqmod", "governance-reqmod");
const TOOLBOX: (&str, &str) = ("mcp_agent", "mcp-agent");

/// Valkey's answers to a user's commands, one per line.
fn valkey(bench: &Bench, (secret, user): (&str, &str), commands: &str) -> Result<String> {
    let script = format!(
        "REDISCLI_AUTH=$(cat /opt/polis/secrets/valkey_{secret}_password.txt) \
         docker exec --interactive --env REDISCLI_AUTH polis-state valkey-cli --user {user} --no-auth-warning --tls \
         --cacert /etc/valkey/tls/ca.crt --cert /etc/valkey/tls/client.crt --key /etc/valkey/tls/client.key <<'END'\n\
         {commands}\nEND"
    );
    bench.guest.output(&script)
}

fn is(what: &str, found: &str, expected: &str) -> Result<()> {
    ensure(found == expected, || {
        format!("{what}: expected `{expected}`, found `{found}`")
    })
}

/// Runs `polis security` with `--json`; returns the result.
fn security(bench: &Bench, args: &[&str]) -> Result<Value> {
    let ran = bench
        .sandbox
        .polis(&[&["security"], args, &["--json"]].concat());
    ensure(ran.code == Some(0), || format!("{args:?}: {}", ran.seen()))?;
    let document: Value =
        serde_json::from_str(&ran.stdout).map_err(|error| format!("{args:?}: {error}"))?;
    Ok(document["result"].clone())
}

/// Asserts that `polis security` refuses with this message.
fn refused(bench: &Bench, args: &[&str], why: &str) -> Result<()> {
    let ran = bench.sandbox.polis(&[&["security"], args].concat());
    let well = ran.code == Some(2) && ran.stderr.contains(why);
    ensure(well, || {
        format!("{args:?}: expected `{why}`: {}", ran.seen())
    })
}

/// The command with which the DLP service records a block: all blocks that it raises itself have the same reason.
fn block(id: &str, destination: &str, pattern: &str) -> String {
    let request = json!({
        "request_id": id, "reason": "credential_detected", "destination": destination, "pattern": pattern,
        "blocked_at": "2026-01-02T03:04:05Z", "status": "pending",
    });
    format!("setex polis:blocked:{id} 3600 '{request}'")
}

/// The existing keys, without the log of events and the level.
fn keys(bench: &Bench) -> Result<Vec<String>> {
    let said = valkey(bench, TOOLBOX, "scan 0 match polis:[ab]* count 1000")?;
    let mut keys: Vec<String> = said.lines().skip(1).map(str::to_owned).collect();
    keys.sort();
    Ok(keys)
}

/// Requests are listed, approved, denied and refused; a hostile one is shown safely.
pub(crate) fn approvals(bench: &mut Bench) -> Result<()> {
    bench.polis("start, with nothing to do", &["start"])?;
    let hostile = format!("\\x1b]52;c;{}\\n", "x".repeat(5000));
    let commands = [
        block("req-00000001", "New.example:8443", "new_domain_prompt"),
        "setex polis:blocked:dedup:New.example:8443:new_domain_prompt 3600 1".to_owned(),
        block("req-00000002", "b.example", "anthropic"),
        block("req-00000003", "c.example", "new_domain_blocked"),
        format!("setex polis:blocked:req-00000004 3600 \"{hostile}\""),
    ];
    is(
        "blocks",
        &valkey(bench, DLP, &commands.join("\n"))?,
        &["OK"; 5].join("\n"),
    )?;

    let pending = security(bench, &["pending"])?;
    let requests = pending["requests"].as_array().cloned().unwrap_or_default();
    let seen: Vec<(&Value, &Value)> = requests
        .iter()
        .map(|request| (&request["destination"], &request["approvable"]))
        .collect();
    let expected = json!([
        ["New.example:8443", true],
        ["b.example", false],
        ["c.example", true],
        [null, false],
    ]);
    ensure(json!(seen) == expected, || format!("{pending:#}"))?;
    let text = bench.sandbox.polis(&["security", "pending"]).stdout;
    let plain = text.len() < 600 && !text.chars().any(|c| c.is_control() && c != '\n');
    ensure(plain && text.contains("larger than 4,000 bytes"), || {
        format!("{text:?}")
    })?;

    approved(bench)?;
    refused(bench, &["approve", "req-00000002"], "cannot be approved")?;
    refused(
        bench,
        &["approve", "req-00000004"],
        "larger than 4,000 bytes",
    )?;
    refused(
        bench,
        &["approve", "req-00000005"],
        "there is no blocked request",
    )?;
    for id in ["req-00000003", "req-00000004"] {
        security(bench, &["deny", id])?;
    }
    let left = [
        "polis:approved:host:New.example:8443",
        "polis:blocked:req-00000002",
    ];
    let found = keys(bench)?;
    ensure(found == left, || format!("keys: {found:?}"))?;
    security(bench, &["deny", "req-00000002"])?;
    level_and_log(bench)?;
    the_request_itself_passes(bench)
}

/// An approval creates the key that the DLP service reads, with the right expiry.
fn approved(bench: &Bench) -> Result<()> {
    // Without a terminal, there is no confirmation. The page of the blocked request names this alias.
    let ran = bench.sandbox.polis(&["blocked", "approve", "req-00000001"]);
    ensure(ran.code == Some(0), || ran.seen())?;
    let asked = "exists polis:approved:host:New.example:8443\nget polis:approved:host:New.example:8443\n\
        exists polis:approved:host:new.example:8443\nexists polis:blocked:req-00000001\n\
        exists polis:blocked:dedup:New.example:8443:new_domain_prompt";
    is(
        "as the DLP service",
        &valkey(bench, DLP, asked)?,
        "1\napproved\n0\n0\n0",
    )?;
    let left = valkey(bench, TOOLBOX, "ttl polis:approved:host:New.example:8443")?;
    let seconds = left.parse::<u32>().unwrap_or_default();
    ensure((200..=300).contains(&seconds), || format!("TTL: {left}"))
}

/// A host is allowed, the level is set, and the log shows all of it, whatever else it contains.
fn level_and_log(bench: &Bench) -> Result<()> {
    let before = security(bench, &["level"])?;
    ensure(before["level"] == "balanced", || format!("{before:#}"))?;
    for level in ["strict", "relaxed", "balanced"] {
        security(bench, &["level", level])?;
        let set = valkey(
            bench,
            ("dlp", "dlp-reader"),
            "get polis:config:security_level",
        )?;
        is("the level as the DLP service reads it", &set, level)?;
    }
    security(bench, &["allow", "D.example"])?;
    let asked = "get polis:approved:host:d.example";
    is("an allowed host", &valkey(bench, DLP, asked)?, "approved")?;
    let status = security(bench, &["status"])?;
    let hosts = status["allowed"].as_array().map(Vec::len);
    ensure(hosts == Some(2) && status["pending"] == 0, || {
        format!("{status:#}")
    })?;

    let large = format!("zadd polis:log:events 9999999999 {}", "x".repeat(5000));
    valkey(bench, TOOLBOX, &large)?;
    let log = security(bench, &["log"])?;
    let events = log["events"].as_array().cloned().unwrap_or_default();
    let kinds: Vec<&Value> = events.iter().map(|event| &event["type"]).collect();
    let mut expected = vec![json!("approved_via_cli")];
    expected.extend(vec![json!("denied_via_cli"); 3]);
    expected.extend(vec![json!("level_set_via_cli"); 3]);
    expected.extend([json!("allowed_via_cli"), Value::Null]);
    // Events of the same second have no order.
    let count = |kind: &Value| kinds.iter().filter(|found| **found == kind).count();
    let whole = expected
        .iter()
        .all(|kind| count(kind) == expected.iter().filter(|other| *other == kind).count());
    ensure(whole && kinds.len() == expected.len(), || {
        format!("{log:#}")
    })
}

/// The response to a request from the workspace: the status, and the page.
fn request(bench: &Bench, options: &str) -> Result<(String, String)> {
    let command = format!("curl -sS -m 20 -w '\n%{{http_code}}' {options}");
    let said = bench
        .inside("workspace", &["bash", "-c", &command])
        .output()?;
    let (page, status) = said.rsplit_once('\n').unwrap_or(("", &said));
    Ok((status.to_owned(), page.to_owned()))
}

/// A request to a new destination is blocked. After the command that its page names, the same request passes, and no other.
fn the_request_itself_passes(bench: &Bench) -> Result<()> {
    const URL: &str = "http://unknown.example/itself";
    const OTHERS: [&str; 3] = [
        "-H 'Host: UNKNOWN.example' http://unknown.example/other",
        "-H 'Host: unknown.example:8080' http://unknown.example/other",
        "-d 'key=sk-ant-api03-abcdefghijklmnopqrstuvwxyz' http://unknown.example/other",
    ];
    let (status, page) = request(bench, URL)?;
    let command = page
        .split_once("To approve, run: polis ")
        .map(|(_, command)| command.trim());
    let words: Vec<&str> = command.unwrap_or_default().split(' ').collect();
    ensure(status == "403" && words.len() == 3, || {
        format!("{status}: {page}")
    })?;
    let pending = security(bench, &["pending"])?;
    let listed = &pending["requests"][0];
    ensure(
        listed["id"] == words[2] && listed["destination"] == "unknown.example",
        || format!("{words:?}: {pending:#}"),
    )?;
    let seen = bench.internet.seen_with("/itself")?;
    ensure(seen.is_empty(), || format!("it arrived outside: {seen:?}"))?;

    let ran = bench.sandbox.polis(&words);
    ensure(ran.code == Some(0), || ran.seen())?;
    for url in [URL, "https://unknown.example/itself"] {
        let (status, page) = request(bench, url)?;
        ensure(status == "200", || {
            format!("{url} after the approval: {status}: {page}")
        })?;
    }
    let seen = bench.internet.seen_with("/itself")?;
    ensure(seen.len() == 2, || format!("seen outside: {seen:?}"))?;
    for other in OTHERS {
        let (status, page) = request(bench, other)?;
        ensure(status == "403", || format!("{other}: {status}: {page}"))?;
    }
    let seen = bench.internet.seen_with("/other")?;
    ensure(seen.is_empty(), || format!("it arrived outside: {seen:?}"))
}
