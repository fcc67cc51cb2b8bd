//! Opening, listing and closing ports at the VM's address. The VM's scripts really run.

use std::fs;

use expect_test::{expect, expect_file};
use fake_multipass::{Effect, Fault, Sandbox};

use serde_json::{Value, json};

use crate::support::{did, document, running, seen};

const MANIFEST: &str = r#"apiVersion: polis.dev/v1
kind: AgentPlugin
metadata: {name: web, displayName: Web, version: "1", description: Serves}
spec:
  packaging: script
  runtime: {command: /usr/bin/sleep 600}
  ports: [{container: 3000, default: 8099}]
"#;

/// Adds the agent `web`.
fn add_agent(sandbox: &Sandbox) -> fake_multipass::Ran {
    let dir = sandbox.home().join("web");
    fs::create_dir_all(&dir).expect("a directory");
    fs::write(dir.join("agent.yaml"), MANIFEST).expect("a manifest");
    sandbox.polis(&["agent", "add", "web"])
}

fn done(sandbox: &Sandbox, args: &[&str]) -> String {
    let ran = sandbox.polis(args);
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    ran.stdout
}

/// The output of `port list --json`.
fn ports(sandbox: &Sandbox) -> Value {
    document(&sandbox.polis(&["port", "list", "--json"]))["result"]["ports"].take()
}

/// The ID of a service's container, or an empty string.
fn container(sandbox: &Sandbox, service: &str) -> String {
    let file: Value = serde_json::from_str(&sandbox.read_guest("/docker.json")).expect("JSON");
    let id = file["containers"][service]["id"].as_str();
    id.unwrap_or_default().to_owned()
}

#[test]
fn ports_are_opened_listed_and_closed() {
    let sandbox = running();
    let workspace = container(&sandbox, "workspace");
    let ran = sandbox.polis(&["port", "list"]);
    expect![[r#"
        exit 0
        --- stdout
        No port is open. To open one: polis port add PORT
    "#]]
    .assert_eq(&seen(&ran));
    let ran = sandbox.polis(&["port", "add", "9000", "--to", "80"]);
    expect![[r#"
        exit 0
        --- stdout
        The workspace's port 80 is reachable at http://10.87.112.23:9000
    "#]]
    .assert_eq(&seen(&ran));
    assert_eq!(sandbox.read_guest("/opt/polis/ports"), "9000 80\n");
    let ran = add_agent(&sandbox);
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    did(&sandbox, &["start"]);
    expect_file!["ports.forward.json"].assert_eq(&sandbox.read_guest("/opt/polis/forward.json"));
    let ran = sandbox.polis(&["port", "list"]);
    expect![[r#"
        exit 0
        --- stdout
          http://10.87.112.23:8099     requested by web, leads to 3000: up
          http://10.87.112.23:9000     opened by you, leads to 80: up
    "#]]
    .assert_eq(&seen(&ran));
    let status = sandbox.polis(&["status"]).stdout;
    let listed = ran.stdout;
    assert!(
        status.contains(&format!("ports\n{listed}services\n")),
        "{status}"
    );
    let status = document(&sandbox.polis(&["status", "--json"]));
    assert_eq!(status["result"]["guest"]["ports"], ports(&sandbox));
    assert_eq!(
        ports(&sandbox)[0],
        json!({"port": 8099, "to": 3000, "agent": "web", "state": "up", "url": "http://10.87.112.23:8099"})
    );
    // Everything is up to date: a start does nothing and keeps the container.
    assert_eq!(did(&sandbox, &["start"]), [""; 0]);
    assert_eq!(container(&sandbox, "workspace"), workspace);

    // A start without agents closes their ports, and the next one opens them again.
    did(&sandbox, &["start", "--no-agent"]);
    let line = "  port 8099                    requested by web, leads to 3000: closed (its agent is not started)\n";
    assert!(done(&sandbox, &["port", "list"]).starts_with(line));
    assert!(
        !sandbox
            .read_guest("/opt/polis/forward.json")
            .contains("8099")
    );
    did(&sandbox, &["start"]);

    let ran = sandbox.polis(&["port", "remove", "9000"]);
    expect![[r#"
        exit 0
        --- stdout
        Port 9000 is closed.
    "#]]
    .assert_eq(&seen(&ran));
    done(&sandbox, &["agent", "remove", "web", "--purge", "--yes"]);
    assert_eq!(ports(&sandbox), json!([]));
    assert_eq!(container(&sandbox, "forward"), "");
    assert!(!sandbox.guest_has("/opt/polis/forward.json"));
    let env = sandbox.read_guest("/opt/polis/.env");
    assert!(env.ends_with("=docker-compose.yml\n"), "{env}");
    assert_eq!(container(&sandbox, "workspace"), workspace);
    assert_eq!(sandbox.refused(), [""; 0]);
}

#[test]
fn a_port_that_cannot_be_opened_is_refused_and_changes_nothing() {
    let sandbox = running();
    add_agent(&sandbox);
    done(&sandbox, &["port", "add", "9000"]);
    let before = sandbox.read_guest("/opt/polis/forward.json");
    for (args, part) in [
        (
            &["add", "80"][..],
            "expected a port from 1024 to 65535 at the VM's address",
        ),
        (&["add", "8099"], "the agent `web` already uses it"),
        (
            &["add", "9000", "--to", "80"],
            "it already leads to 9000 in the workspace",
        ),
        (&["add", "9001", "--to", "0"], "0 is not in 1..=65535"),
        (&["add", "70000"], "70000 is not in 0..=65535"),
        (&["remove", "9001"], "you have not opened it"),
        (&["remove", "8099"], "the agent `web` requests it"),
    ] {
        let ran = sandbox.polis(&[&["port"], args].concat());
        assert_eq!(ran.code, Some(2), "{}", ran.seen());
        assert!(ran.stderr.contains(part), "{part}: {}", ran.seen());
    }
    assert_eq!(sandbox.read_guest("/opt/polis/forward.json"), before);

    // If Docker cannot bind a port, the request is not stored.
    let bind = "Error response from daemon: failed to bind host port 10.87.112.23:9001/tcp: address already in use";
    let fault = Effect::Exit {
        code: 1,
        stderr: format!("{bind}\n"),
    };
    sandbox.fault(Fault::in_guest("docker", fault).containing("up --wait"));
    let ran = sandbox.polis(&["port", "add", "9001"]);
    assert_eq!(ran.code, Some(12), "{}", ran.seen());
    assert!(ran.stderr.contains(bind), "{}", ran.seen());
    assert_eq!(sandbox.read_guest("/opt/polis/forward.json"), before);
    assert_eq!(ports(&sandbox).as_array().map(Vec::len), Some(2));

    // An agent cannot claim a port that the user has opened.
    done(&sandbox, &["agent", "remove", "web"]);
    done(&sandbox, &["port", "add", "8099"]);
    let ran = add_agent(&sandbox);
    assert_eq!(ran.code, Some(2), "{}", ran.seen());
    let cause = "caused by: port 8099 was opened before: polis port remove 8099\n";
    assert!(ran.stderr.contains(cause), "{}", ran.seen());
}

#[test]
fn only_the_forwarder_changes_with_the_address_of_the_vm() {
    let sandbox = running();
    done(&sandbox, &["port", "add", "9000"]);
    let workspace = container(&sandbox, "workspace");
    sandbox.set(|state| state.address = "10.87.112.99".to_owned());
    let listed = done(&sandbox, &["port", "list"]);
    let line = "  http://10.87.112.23:9000     opened by you: misplaced (the VM's address has changed); hint: polis start\n";
    assert_eq!(listed, line);
    assert_eq!(did(&sandbox, &["start"]), ["open-ports"]);
    assert_eq!(ports(&sandbox)[0]["url"], "http://10.87.112.99:9000");
    assert_eq!(container(&sandbox, "workspace"), workspace);

    // A start also completes an `add` that was killed halfway.
    sandbox.write_guest("/opt/polis/ports", "9000 9000\n9001 9001\n");
    assert_eq!(did(&sandbox, &["start"]), ["open-ports"]);
    assert_eq!(ports(&sandbox)[1]["state"], "up");

    // At boot, the unit runs this before the containers start: a container with an outdated address would not start.
    sandbox.set(|state| state.address = "10.87.112.7".to_owned());
    let boot = ["exec", "polis", "--", "/opt/polis/scripts/ports.sh", "boot"];
    assert_eq!(sandbox.multipass(&boot, b"").code, Some(0));
    assert_eq!(container(&sandbox, "forward"), "");
    assert!(
        sandbox
            .read_guest("/opt/polis/forward.json")
            .contains("10.87.112.7\"")
    );
    // Without a change, the container is kept.
    did(&sandbox, &["start"]);
    let forwarder = container(&sandbox, "forward");
    assert_eq!(sandbox.multipass(&boot, b"").code, Some(0));
    assert_eq!(container(&sandbox, "forward"), forwarder);
    assert_eq!(sandbox.refused(), [""; 0]);
}

#[test]
fn a_port_added_before_the_first_start_is_opened_by_it() {
    let sandbox = Sandbox::of(env!("CARGO_BIN_EXE_polis"));
    let ran = sandbox.polis(&["port", "add", "9000"]);
    assert_eq!(ran.code, Some(13), "{}", ran.seen());
}
