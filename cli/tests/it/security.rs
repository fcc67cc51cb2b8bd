//! `polis security`, in a guest whose Valkey is made of files (`valkey-cli.sh`): what is shown, what is changed, and what is
//! refused before anything is called.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use expect_test::expect;
use fake_multipass::World;
use serde_json::{Value, json};

use crate::killed::wait_until;
use crate::support::{document, running, seen};

/// A world whose stack runs and whose Valkey can be asked.
fn asked() -> World {
    let world = running();
    give_valkey(&world);
    world
}

/// Puts a Valkey into the guest that can be asked.
pub(crate) fn give_valkey(world: &World) {
    let program = "/usr/local/bin/valkey-cli";
    world.write_guest(program, include_str!("valkey-cli.sh"));
    let mode = Permissions::from_mode(0o755);
    fs::set_permissions(world.guest().path(program), mode).expect("an executable");
}

fn file(key: &str) -> String {
    format!("/var/lib/docker/valkey/{key}")
}

/// Writes a key with a value as `valkey-cli --no-raw` prints it.
fn put(world: &World, key: &str, left: i64, value: &str) {
    let quoted = value.replace('\\', "\\\\").replace('"', "\\\"");
    let quoted = quoted.replace('\n', "\\n").replace('\u{1b}', "\\x1b");
    world.write_guest(&file(key), &format!("{left}\n\"{quoted}\"\n"));
}

/// Writes a blocked request as the DLP service does, which records every block of its own under one reason.
pub(crate) fn block(world: &World, id: &str, destination: &str, pattern: &str) {
    let request = json!({
        "request_id": id, "reason": "credential_detected", "destination": destination, "pattern": pattern,
        "blocked_at": "2026-01-02T03:04:05Z", "status": "pending",
    });
    put(
        world,
        &format!("polis:blocked:{id}"),
        3541,
        &request.to_string(),
    );
}

/// Three requests: one that can be approved, one for a credential, and one that the agent has written.
fn blocked() -> World {
    let world = asked();
    block(
        &world,
        "req-00000001",
        "Api.example:8443",
        "new_domain_prompt",
    );
    block(&world, "req-00000002", "b.example", "anthropic");
    put(
        &world,
        "polis:blocked:dedup:Api.example:8443:new_domain_prompt",
        3541,
        "1",
    );
    put(
        &world,
        "polis:blocked:req-00000003",
        60,
        &"\u{1b}]52;c;x\n".repeat(1000),
    );
    world
}

fn result(world: &World, args: &[&str]) -> Value {
    let ran = world.polis(&[&["security"], args, &["--json"]].concat());
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    document(&ran)["result"].clone()
}

#[test]
fn what_waits_is_listed_and_nothing_of_it_is_obeyed() {
    let world = blocked();
    expect![[r#"
        exit 0
        --- stdout
        req-00000001  60 min  Api.example:8443  (new destination)
        req-00000002  60 min  b.example  (credential_detected: anthropic; cannot be approved)
        req-00000003   1 min  unreadable: it is larger than 4,000 bytes, or not UTF-8
        hint: polis security approve ID, or polis security deny ID
    "#]]
    .assert_eq(&seen(&world.polis(&["security", "pending"])));
    // Where long answers are held back, the answer is read from a file, and the file is gone afterwards.
    for delivery in ["pipe", "file"] {
        let args = ["security", "pending", "--json"];
        let ran = world.polis_with(&args, &[("POLIS_DELIVERY", delivery)]);
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
        fs::read_dir(world.guest().path("/home/ubuntu/.polis-runs")).map_or(0, Iterator::count),
        0
    );
    assert_eq!(world.refused(), [] as [String; 0]);
}

#[test]
fn an_approval_opens_the_exact_host_and_forgets_the_request() {
    let world = blocked();
    expect![[r#"
        exit 0
        --- stdout
        Approved req-00000001: requests to Api.example:8443 pass for [N] s. Send the request again.
    "#]]
    .assert_eq(&seen(&world.polis(&[
        "security",
        "approve",
        "req-00000001",
    ])));
    assert_eq!(
        world.read_guest(&file("polis:approved:host:Api.example:8443")),
        "300\n\"approved\"\n"
    );
    assert!(!world.guest_has(&file("polis:blocked:req-00000001")));
    assert!(!world.guest_has(&file(
        "polis:blocked:dedup:Api.example:8443:new_domain_prompt"
    )));
    let ran = world.polis(&["security", "approve", "req-00000001"]);
    expect![[r#"
        exit 2
        --- stderr
        error: there is no blocked request req-00000001
          caused by: it was already approved or denied, or it is older than an hour
          hint: polis security pending
    "#]]
    .assert_eq(&seen(&ran));
    let status = result(&world, &["status"]);
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
fn a_block_for_a_credential_is_never_lifted() {
    let world = blocked();
    let keys = || {
        fs::read_dir(world.guest().path(&file("")))
            .expect("keys")
            .count()
    };
    let before = keys();
    expect![[r#"
        exit 2
        --- stderr
        error: req-00000002 cannot be approved
          caused by: it was blocked for a credential (`anthropic`), and such a block is never lifted
          hint: polis security deny req-00000002   (discards it)
    "#]]
    .assert_eq(&seen(&world.polis(&[
        "security",
        "approve",
        "req-00000002",
    ])));
    let ran = world.polis(&["security", "approve", "req-00000003"]);
    assert_eq!(ran.code, Some(2), "{}", ran.seen());
    assert_eq!(keys(), before);
    assert!(
        !world.guest_has("/var/lib/docker/events")
            || world.read_guest("/var/lib/docker/events").is_empty()
    );
}

#[test]
fn a_denial_forgets_the_request_and_opens_nothing() {
    let world = blocked();
    assert_eq!(
        result(&world, &["deny", "req-00000001"]),
        json!({"id": "req-00000001", "destination": "Api.example:8443"})
    );
    // One that cannot be read can still be removed.
    assert_eq!(
        result(&world, &["deny", "req-00000003"]),
        json!({"id": "req-00000003", "destination": null})
    );
    let ids = result(&world, &["pending"]);
    let ids = ids["requests"].as_array().cloned().unwrap_or_default();
    assert_eq!(
        ids.iter().map(|it| it["id"].clone()).collect::<Vec<_>>(),
        ["req-00000002"]
    );
    assert_eq!(result(&world, &["status"])["allowed"], json!([]));
}

#[test]
fn a_host_is_let_pass_and_the_level_is_set() {
    let world = asked();
    assert_eq!(
        result(&world, &["allow", "API.example"]),
        json!({"host": "api.example", "seconds": 300})
    );
    assert!(world.guest_has(&file("polis:approved:host:api.example")));
    assert_eq!(
        result(&world, &["level"]),
        json!({"changed": false, "level": "balanced", "before": {"level": "balanced", "set": null}})
    );
    expect![[r#"
        exit 0
        --- stdout
        The level is strict; it was balanced (the default). Sentinel picks it up after some requests.
    "#]].assert_eq(&seen(&world.polis(&["security", "level", "strict"])));
    assert_eq!(
        world.read_guest(&file("polis:config:security_level")),
        "-1\n\"strict\"\n"
    );
    expect![[r#"
        exit 0
        --- stdout
        level    strict
        pending  0
        passes   api.example (300 s more)
        events   2
        next     polis security log
    "#]]
    .assert_eq(&seen(&world.polis(&["security", "status"])));
    let log = result(&world, &["log"]);
    let kinds = log["events"].as_array().cloned().unwrap_or_default();
    let kinds: Vec<&Value> = kinds.iter().map(|event| &event["type"]).collect();
    assert_eq!(kinds, ["allowed_via_cli", "level_set_via_cli"]);
}

#[test]
fn the_block_page_names_a_command_that_works() {
    let world = blocked();
    let ran = world.polis(&["blocked", "approve", "req-00000001"]);
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    let ran = world.polis(&["blocked", "deny", "req-00000002"]);
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    let ran = world.polis(&["blocked", "pending"]);
    assert!(ran.stdout.starts_with("req-00000003 "), "{}", ran.seen());
    assert!(!world.polis(&["--help"]).stdout.contains("\n  blocked "));
}

#[test]
fn on_a_terminal_the_host_is_named_before_it_passes() {
    let world = blocked();
    let approve = ["security", "approve", "req-00000001"];
    let ran = world.polis_on_terminal(&approve, "n\n");
    assert!(
        ran.stdout
            .contains("Let requests to `Api.example:8443` pass"),
        "{}",
        ran.seen()
    );
    assert!(
        ran.stdout.contains("Nothing was approved."),
        "{}",
        ran.seen()
    );
    assert!(world.guest_has(&file("polis:blocked:req-00000001")));
    let ran = world.polis_on_terminal(&[&approve[..], &["--yes"]].concat(), "");
    assert!(
        ran.stdout.contains("Approved req-00000001"),
        "{}",
        ran.seen()
    );
}

#[test]
fn what_is_typed_wrong_reaches_no_guest() {
    let world = blocked();
    world.forget_calls();
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
        let ran = world.polis(&[&["security"], args].concat());
        assert_eq!(ran.code, Some(2), "{args:?}: {}", ran.seen());
    }
    assert_eq!(world.calls().len(), 0);
}

#[test]
fn a_valkey_that_does_not_answer_is_said() {
    let world = blocked();
    let program = world.guest().path("/usr/local/bin/valkey-cli");
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
    .assert_eq(&seen(&world.polis(&[
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
        let ran = world.polis(&[&["security"], args].concat());
        assert_eq!(ran.code, Some(12), "{args:?}: {}", ran.seen());
    }
}

#[test]
fn a_watch_prints_new_ones_until_it_is_interrupted() {
    let world = blocked();
    let watching = world.start_polis(&["security", "pending", "--watch"]);
    let following = world.start_polis(&["security", "log", "--follow"]);
    wait_until(|| watching.stdout().contains("req-00000003"));
    block(&world, "req-00000004", "d.example", "new_domain_blocked");
    wait_until(|| watching.stdout().contains("req-00000004"));
    assert_eq!(
        watching.stdout().matches("req-00000001").count(),
        1,
        "{}",
        watching.stdout()
    );
    result(&world, &["allow", "e.example"]);
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
    let ran = world.shell("polis security pending --watch | head -n 1");
    assert!(ran.stdout.starts_with("req-00000001 "), "{}", ran.seen());
}

#[test]
fn the_password_is_seen_nowhere() {
    let world = blocked();
    let mut shown = String::new();
    for args in [&["status"][..], &["approve", "req-00000001"], &["log"]] {
        shown.push_str(
            &world
                .polis(&[&["security", "--verbose"], args].concat())
                .seen(),
        );
    }
    world
        .all_calls()
        .iter()
        .for_each(|call| shown.push_str(&call.line()));
    let secret = world.read_guest("/opt/polis/secrets/valkey_mcp_admin_password.txt");
    assert!(secret.trim().len() > 20 && !shown.contains(secret.trim()));
}
