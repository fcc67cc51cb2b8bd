//! The ports at the VM's address: opened, listed and closed by the scripts of the VM, which really run.

use std::fs;

use expect_test::{expect, expect_file};
use fake_multipass::{Effect, Fault, World};

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
fn add_agent(world: &World) -> fake_multipass::Ran {
    let dir = world.home().join("web");
    fs::create_dir_all(&dir).expect("a directory");
    fs::write(dir.join("agent.yaml"), MANIFEST).expect("a manifest");
    world.polis(&["agent", "add", "web"])
}

fn done(world: &World, args: &[&str]) -> String {
    let ran = world.polis(args);
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    ran.stdout
}

/// The ports as `port list --json` has them.
fn ports(world: &World) -> Value {
    document(&world.polis(&["port", "list", "--json"]))["result"]["ports"].take()
}

/// The ID of a service's container; empty where there is none.
fn container(world: &World, service: &str) -> String {
    let file: Value = serde_json::from_str(&world.read_guest("/docker.json")).expect("JSON");
    let id = file["containers"][service]["id"].as_str();
    id.unwrap_or_default().to_owned()
}

#[test]
fn ports_are_opened_listed_and_closed() {
    let world = running();
    let workspace = container(&world, "workspace");
    let ran = world.polis(&["port", "list"]);
    expect![[r#"
        exit 0
        --- stdout
        No port is open. To open one: polis port add PORT
    "#]]
    .assert_eq(&seen(&ran));
    let ran = world.polis(&["port", "add", "9000", "--to", "80"]);
    expect![[r#"
        exit 0
        --- stdout
        The workspace's port 80 is reachable at http://10.87.112.23:9000
    "#]]
    .assert_eq(&seen(&ran));
    assert_eq!(world.read_guest("/opt/polis/ports"), "9000 80\n");
    let ran = add_agent(&world);
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    did(&world, &["start"]);
    expect_file!["ports.forward.json"].assert_eq(&world.read_guest("/opt/polis/forward.json"));
    let ran = world.polis(&["port", "list"]);
    expect![[r#"
        exit 0
        --- stdout
          http://10.87.112.23:8099     asked for by web, leads to 3000: up
          http://10.87.112.23:9000     opened by you, leads to 80: up
    "#]]
    .assert_eq(&seen(&ran));
    let status = world.polis(&["status"]).stdout;
    let listed = ran.stdout;
    assert!(
        status.contains(&format!("ports\n{listed}services\n")),
        "{status}"
    );
    let status = document(&world.polis(&["status", "--json"]));
    assert_eq!(status["result"]["guest"]["ports"], ports(&world));
    assert_eq!(
        ports(&world)[0],
        json!({"port": 8099, "to": 3000, "agent": "web", "state": "up", "url": "http://10.87.112.23:8099"})
    );
    // All is well: nothing is to be done, and the workspace is the same one.
    assert_eq!(did(&world, &["start"]), [""; 0]);
    assert_eq!(container(&world, "workspace"), workspace);

    // A start without agents closes theirs, and the next one opens them.
    did(&world, &["start", "--no-agent"]);
    let line = "  port 8099                    asked for by web, leads to 3000: closed (its agent is not started)\n";
    assert!(done(&world, &["port", "list"]).starts_with(line));
    assert!(!world.read_guest("/opt/polis/forward.json").contains("8099"));
    did(&world, &["start"]);

    let ran = world.polis(&["port", "remove", "9000"]);
    expect![[r#"
        exit 0
        --- stdout
        Port 9000 is closed.
    "#]]
    .assert_eq(&seen(&ran));
    done(&world, &["agent", "remove", "web", "--purge", "--yes"]);
    assert_eq!(ports(&world), json!([]));
    assert_eq!(container(&world, "forward"), "");
    assert!(!world.guest_has("/opt/polis/forward.json"));
    let env = world.read_guest("/opt/polis/.env");
    assert!(env.ends_with("=docker-compose.yml\n"), "{env}");
    assert_eq!(container(&world, "workspace"), workspace);
    assert_eq!(world.refused(), [""; 0]);
}

#[test]
fn what_cannot_be_opened_is_refused_and_changes_nothing() {
    let world = running();
    add_agent(&world);
    done(&world, &["port", "add", "9000"]);
    let before = world.read_guest("/opt/polis/forward.json");
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
        (&["remove", "8099"], "the agent `web` asks for it"),
    ] {
        let ran = world.polis(&[&["port"], args].concat());
        assert_eq!(ran.code, Some(2), "{}", ran.seen());
        assert!(ran.stderr.contains(part), "{part}: {}", ran.seen());
    }
    assert_eq!(world.read_guest("/opt/polis/forward.json"), before);

    // What Docker cannot bind is as if it had never been asked for.
    let bind = "Error response from daemon: failed to bind host port 10.87.112.23:9001/tcp: address already in use";
    let fault = Effect::Exit {
        code: 1,
        stderr: format!("{bind}\n"),
    };
    world.fault(Fault::in_guest("docker", fault).containing("up --wait"));
    let ran = world.polis(&["port", "add", "9001"]);
    assert_eq!(ran.code, Some(12), "{}", ran.seen());
    assert!(ran.stderr.contains(bind), "{}", ran.seen());
    assert_eq!(world.read_guest("/opt/polis/forward.json"), before);
    assert_eq!(ports(&world).as_array().map(Vec::len), Some(2));

    // An agent cannot have what the user has.
    done(&world, &["agent", "remove", "web"]);
    done(&world, &["port", "add", "8099"]);
    let ran = add_agent(&world);
    assert_eq!(ran.code, Some(2), "{}", ran.seen());
    let cause = "caused by: port 8099 was opened before: polis port remove 8099\n";
    assert!(ran.stderr.contains(cause), "{}", ran.seen());
}

#[test]
fn the_forwarder_alone_follows_the_address_of_the_vm() {
    let world = running();
    done(&world, &["port", "add", "9000"]);
    let workspace = container(&world, "workspace");
    world.set(|state| state.address = "10.87.112.99".to_owned());
    let listed = done(&world, &["port", "list"]);
    let line = "  http://10.87.112.23:9000     opened by you: misplaced (the VM's address has changed); hint: polis start\n";
    assert_eq!(listed, line);
    assert_eq!(did(&world, &["start"]), ["open-ports"]);
    assert_eq!(ports(&world)[0]["url"], "http://10.87.112.99:9000");
    assert_eq!(container(&world, "workspace"), workspace);

    // So does what an `add` that was killed has left half done.
    world.write_guest("/opt/polis/ports", "9000 9000\n9001 9001\n");
    assert_eq!(did(&world, &["start"]), ["open-ports"]);
    assert_eq!(ports(&world)[1]["state"], "up");

    // What the unit runs before a boot starts the containers: one whose address is gone would not start.
    world.set(|state| state.address = "10.87.112.7".to_owned());
    let boot = ["exec", "polis", "--", "/opt/polis/scripts/ports.sh", "boot"];
    assert_eq!(world.multipass(&boot, b"").code, Some(0));
    assert_eq!(container(&world, "forward"), "");
    assert!(
        world
            .read_guest("/opt/polis/forward.json")
            .contains("10.87.112.7\"")
    );
    // Without a change it stays.
    did(&world, &["start"]);
    let forwarder = container(&world, "forward");
    assert_eq!(world.multipass(&boot, b"").code, Some(0));
    assert_eq!(container(&world, "forward"), forwarder);
    assert_eq!(world.refused(), [""; 0]);
}

#[test]
fn before_the_first_start_a_port_waits_for_it() {
    let world = World::of(env!("CARGO_BIN_EXE_polis"));
    let ran = world.polis(&["port", "add", "9000"]);
    assert_eq!(ran.code, Some(13), "{}", ran.seen());
}
