//! `polis security`, in a guest whose Valkey is a directory of files (`valkey-cli.sh`): what it shows, what it changes, and what
//! it refuses before any call.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use expect_test::expect;
use fake_multipass::Sandbox;
use serde_json::{Value, json};

use crate::killed::wait_until;
use crate::support::{document, running, seen};

/// A sandbox with a running stack and a fake Valkey.
fn asked() -> Sandbox {
    let sandbox = running();
    give_valkey(&sandbox);
    sandbox
}

/// Installs the fake `valkey-cli` in the guest.
pub(crate) fn give_valkey(sandbox: &Sandbox) {
    let program = "/usr/local/bin/valkey-cli";
    sandbox.write_guest(program, include_str!("valkey-cli.sh"));
    let mode = Permissions::from_mode(0o755);
    fs::set_permissions(sandbox.guest().path(program), mode).expect("an executable");
}

fn file(key: &str) -> String {
    format!("/var/lib/docker/valkey/{key}")
}

/// Writes a key with a value, in the format of `valkey-cli --no-raw`.
fn put(sandbox: &Sandbox, key: &str, left: i64, value: &str) {
    let quoted = value.replace('\\', "\\\\").replace('"', "\\\"");
    let quoted = quoted.replace('\n', "\\n").replace('\u{1b}', "\\x1b");
    sandbox.write_guest(&file(key), &format!("{left}\n\"{quoted}\"\n"));
}

/// Writes a blocked request as the DLP service does: all of the blocks that it raises itself have the same reason.
pub(crate) fn block(sandbox: &Sandbox, id: &str, destination: &str, pattern: &str) {
    let request = json!({
        "request_id": id, "reason": "credential_detected", "destination": destination, "pattern": pattern,
        "blocked_at": "2026-01-02T03:04:05Z", "status": "pending",
    });
    put(
        sandbox,
        &format!("polis:blocked:{id}"),
        3541,
        &request.to_string(),
    );
}

/// Three requests: one that can be approved, one with a credential, and one that the agent forged.
fn blocked() -> Sandbox {
    let sandbox = asked();
    block(
        &sandbox,
        "req-00000001",
        "Api.example:8443",
        "new_domain_prompt",
    );
    block(&sandbox, "req-00000002", "b.example", "anthropic");
    put(
        &sandbox,
        "polis:blocked:dedup:Api.example:8443:new_domain_prompt",
        3541,
        "1",
    );
    put(
        &sandbox,
        "polis:blocked:req-00000003",
        60,
        &"\u{1b}]52;c;x\n".repeat(1000),
    );
    sandbox
}

fn result(sandbox: &Sandbox, args: &[&str]) -> Value {
    let ran = sandbox.polis(&[&["security"], args, &["--json"]].concat());
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    document(&ran)["result"].clone()
}

#[test]
fn pending_requests_are_listed_without_control_characters() {
    let sandbox = blocked();
    expect![[r#"
        exit 0
        --- stdout
        req-00000001  60 min  Api.example:8443  (new destination)
        req-00000002  60 min  b.example  (credential_detected: anthropic; cannot be approved)
        req-00000003   1 min  unreadable: it is larger than 4,000 bytes, or not UTF-8
        hint: polis security approve ID, or polis security deny ID
    "#]]
    .assert_eq(&seen(&sandbox.polis(&["security", "pending"])));
    // If Multipass blocks on long output, the answer is read from a file, which is then removed.
    for delivery in ["pipe", "file"] {
        let args = ["security", "pending", "--json"];
        let ran = sandbox.polis_with(&args, &[("POLIS_DELIVERY", delivery)]);
        let found = document(&ran)["result"].clone();
        assert_eq!(
            found["requests"].as_array().map(Vec::len),
            Some(3),
            "{found:#}"
        );
        assert_eq!(found["requests"][0]["approvable"], true);
        assert_eq!(found["requests"][1]["approvable"], false);
        assert_eq!(found["requests"][2]["destination"], Value::Null);
    }
    assert_eq!(
        fs::read_dir(sandbox.guest().path("/home/ubuntu/.polis-runs")).map_or(0, Iterator::count),
        0
    );
    assert_eq!(sandbox.refused(), [] as [String; 0]);
}

#[test]
fn an_approval_allows_the_exact_host_and_removes_the_request() {
    let sandbox = blocked();
    expect![[r#"
        exit 0
        --- stdout
        Approved req-00000001: requests to Api.example:8443 are allowed for [N] s. Send the request again.
    "#]]
    .assert_eq(&seen(&sandbox.polis(&[
        "security",
        "approve",
        "req-00000001",
    ])));
    assert_eq!(
        sandbox.read_guest(&file("polis:approved:host:Api.example:8443")),
        "300\n\"approved\"\n"
    );
    assert!(!sandbox.guest_has(&file("polis:blocked:req-00000001")));
    assert!(!sandbox.guest_has(&file(
        "polis:blocked:dedup:Api.example:8443:new_domain_prompt"
    )));
    let ran = sandbox.polis(&["security", "approve", "req-00000001"]);
    expect![[r#"
        exit 2
        --- stderr
        error: there is no blocked request req-00000001
          caused by: it was already approved or denied, or it is older than an hour
          hint: polis security pending
    "#]]
    .assert_eq(&seen(&ran));
    let status = result(&sandbox, &["status"]);
    assert_eq!(
        status["allowed"],
        json!([{"host": "Api.example:8443", "seconds": 300}])
    );
    assert_eq!(
        (&status["pending"], &status["events"]),
        (&json!(2), &json!(1))
    );
}

#[test]
fn a_request_with_a_credential_cannot_be_approved() {
    let sandbox = blocked();
    let keys = || {
        fs::read_dir(sandbox.guest().path(&file("")))
            .expect("keys")
            .count()
    };
    let before = keys();
    expect![[r#"
        exit 2
        --- stderr
        error: req-00000002 cannot be approved
          caused by: it was blocked for a credential (`anthropic`), and such blocks cannot be approved
          hint: polis security deny req-00000002   (discards it)
    "#]]
    .assert_eq(&seen(&sandbox.polis(&[
        "security",
        "approve",
        "req-00000002",
    ])));
    let ran = sandbox.polis(&["security", "approve", "req-00000003"]);
    assert_eq!(ran.code, Some(2), "{}", ran.seen());
    assert_eq!(keys(), before);
    assert!(
        !sandbox.guest_has("/var/lib/docker/events")
            || sandbox.read_guest("/var/lib/docker/events").is_empty()
    );
}

#[test]
fn a_denial_removes_the_request_and_allows_nothing() {
    let sandbox = blocked();
    assert_eq!(
        result(&sandbox, &["deny", "req-00000001"]),
        json!({"id": "req-00000001", "destination": "Api.example:8443"})
    );
    // A request that cannot be parsed can still be removed.
    assert_eq!(
        result(&sandbox, &["deny", "req-00000003"]),
        json!({"id": "req-00000003", "destination": null})
    );
    let ids = result(&sandbox, &["pending"]);
    let ids = ids["requests"].as_array().cloned().unwrap_or_default();
    assert_eq!(
        ids.iter().map(|it| it["id"].clone()).collect::<Vec<_>>(),
        ["req-00000002"]
    );
    assert_eq!(result(&sandbox, &["status"])["allowed"], json!([]));
}

#[test]
fn hosts_can_be_allowed_and_the_level_set() {
    let sandbox = asked();
    assert_eq!(
        result(&sandbox, &["allow", "API.example"]),
        json!({"host": "api.example", "seconds": 300})
    );
    assert!(sandbox.guest_has(&file("polis:approved:host:api.example")));
    assert_eq!(
        result(&sandbox, &["level"]),
        json!({"changed": false, "level": "balanced", "before": {"level": "balanced", "set": null}})
    );
    expect![[r#"
        exit 0
        --- stdout
        The level is strict; it was balanced (the default). Sentinel applies it after some requests.
    "#]]
    .assert_eq(&seen(&sandbox.polis(&["security", "level", "strict"])));
    assert_eq!(
        sandbox.read_guest(&file("polis:config:security_level")),
        "-1\n\"strict\"\n"
    );
    expect![[r#"
        exit 0
        --- stdout
        level    strict
        pending  0
        allowed  api.example (300 s left)
        events   2
        next     polis security log
    "#]]
    .assert_eq(&seen(&sandbox.polis(&["security", "status"])));
    let log = result(&sandbox, &["log"]);
    let kinds = log["events"].as_array().cloned().unwrap_or_default();
    let kinds: Vec<&Value> = kinds.iter().map(|event| &event["type"]).collect();
    assert_eq!(kinds, ["allowed_via_cli", "level_set_via_cli"]);
}

#[test]
fn the_block_page_names_a_command_that_works() {
    let sandbox = blocked();
    let ran = sandbox.polis(&["blocked", "approve", "req-00000001"]);
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    let ran = sandbox.polis(&["blocked", "deny", "req-00000002"]);
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    let ran = sandbox.polis(&["blocked", "pending"]);
    assert!(ran.stdout.starts_with("req-00000003 "), "{}", ran.seen());
    assert!(!sandbox.polis(&["--help"]).stdout.contains("\n  blocked "));
}

#[test]
fn on_a_terminal_an_approval_names_the_host_and_asks() {
    let sandbox = blocked();
    let approve = ["security", "approve", "req-00000001"];
    let ran = sandbox.polis_on_terminal(&approve, "n\n");
    assert!(
        ran.stdout
            .contains("Allow requests to `Api.example:8443` for"),
        "{}",
        ran.seen()
    );
    assert!(
        ran.stdout.contains("Nothing was approved."),
        "{}",
        ran.seen()
    );
    assert!(sandbox.guest_has(&file("polis:blocked:req-00000001")));
    let ran = sandbox.polis_on_terminal(&[&approve[..], &["--yes"]].concat(), "");
    assert!(
        ran.stdout.contains("Approved req-00000001"),
        "{}",
        ran.seen()
    );
}

#[test]
fn usage_errors_are_reported_before_any_call() {
    let sandbox = blocked();
    sandbox.forget_calls();
    for args in [
        &["approve", "req-1"][..],
        &["approve", "req-00000001;x"],
        &["deny", "../x"],
        &["allow", "https://a.example/"],
        &["allow", "a b"],
        &["level", "open"],
        &["pending", "--watch", "--json"],
        &["log", "--follow", "--json"],
    ] {
        let ran = sandbox.polis(&[&["security"], args].concat());
        assert_eq!(ran.code, Some(2), "{args:?}: {}", ran.seen());
    }
    assert_eq!(sandbox.calls().len(), 0);
}

#[test]
fn an_unresponsive_valkey_is_reported() {
    let sandbox = blocked();
    let program = sandbox.guest().path("/usr/local/bin/valkey-cli");
    fs::write(
        &program,
        "#!/bin/sh\necho 'Could not connect to Valkey at 127.0.0.1:6379: Connection refused'\n",
    )
    .expect("a program");
    expect![[r#"
        exit 12
        --- stderr
        error: Valkey did not answer as expected
          caused by: Could not connect to Valkey at 127.0.0.1:6379: Connection refused
          hint: polis status
          hint: polis logs state
    "#]]
    .assert_eq(&seen(&sandbox.polis(&[
        "security",
        "approve",
        "req-00000001",
    ])));
    for args in [
        &["status"][..],
        &["pending"],
        &["level", "strict"],
        &["log"],
        &["allow", "a.example"],
    ] {
        let ran = sandbox.polis(&[&["security"], args].concat());
        assert_eq!(ran.code, Some(12), "{args:?}: {}", ran.seen());
    }
}

#[test]
fn watch_prints_new_entries_until_interrupted() {
    let sandbox = blocked();
    let watching = sandbox.start_polis(&["security", "pending", "--watch"]);
    let following = sandbox.start_polis(&["security", "log", "--follow"]);
    wait_until(|| watching.stdout().contains("req-00000003"));
    block(&sandbox, "req-00000004", "d.example", "new_domain_blocked");
    wait_until(|| watching.stdout().contains("req-00000004"));
    assert_eq!(
        watching.stdout().matches("req-00000001").count(),
        1,
        "{}",
        watching.stdout()
    );
    result(&sandbox, &["allow", "e.example"]);
    wait_until(|| {
        following
            .stdout()
            .contains("allowed_via_cli  e.example for 300 s")
    });
    for run in [watching, following] {
        run.interrupt();
        let ran = run.wait();
        assert_eq!(
            (ran.code, ran.stderr.as_str()),
            (Some(0), ""),
            "{}",
            ran.seen()
        );
    }
    let ran = sandbox.shell("polis security pending --watch | head -n 1");
    assert!(ran.stdout.starts_with("req-00000001 "), "{}", ran.seen());
}

#[test]
fn the_password_is_never_exposed() {
    let sandbox = blocked();
    let mut shown = String::new();
    for args in [&["status"][..], &["approve", "req-00000001"], &["log"]] {
        shown.push_str(
            &sandbox
                .polis(&[&["security", "--verbose"], args].concat())
                .seen(),
        );
    }
    sandbox
        .all_calls()
        .iter()
        .for_each(|call| shown.push_str(&call.line()));
    let secret = sandbox.read_guest("/opt/polis/secrets/valkey_mcp_admin_password.txt");
    assert!(secret.trim().len() > 20 && !shown.contains(secret.trim()));
}
