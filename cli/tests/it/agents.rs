//! Agents from their directory to their removal: with the scripts of the VM and of the workspace, which really run.

mod keys;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use expect_test::expect;
use fake_multipass::World;
use serde_json::Value;

use crate::support::{did, document, running, seen, world};

const MANIFEST: &str = r#"apiVersion: polis.dev/v1
kind: AgentPlugin
metadata: {name: coder, displayName: Coder, version: "1", description: Codes}
spec:
  packaging: script
  install: install.sh
  runtime: {command: /usr/bin/sleep 600}
  health: {command: test -e well, interval: 1s, timeout: 5s, retries: 1, startPeriod: 1s}
  ports: [{container: 8099}]
  requirements: {envOneOf: [CODER_KEY, OTHER_KEY]}
  persistence: [{name: data, containerPath: /home/polis/.coder}]
  onboarding: [{title: Say hello, command: polis exec -- hello}]
"#;

/// Writes the agent's directory.
fn agent(world: &World, manifest: &str) {
    let dir = world.home().join("coder");
    fs::create_dir_all(&dir).expect("a directory");
    fs::write(dir.join("agent.yaml"), manifest).expect("a manifest");
    fs::write(dir.join("install.sh"), "echo installed\n").expect("a script");
}

/// Gives the workspace the script that it has by a mount, with the folders of the guest in the place of its own, and with
/// what else is mounted.
fn mount_script(world: &World) {
    let root = world.guest().root().display().to_string();
    let script = format!(
        "#!/bin/bash\ncd {root}/run && mkdir -p agents units\n\
         export POLIS_AGENTS={root}/run/agents POLIS_AGENTS_STATE={root}/run/state POLIS_AGENT_KEYS={root}/opt/polis/agent-keys\n\
         export POLIS_RUN={root}/run POLIS_UNITS={root}/etc/systemd/system POLIS_PROGRAMS={root}/usr/local/bin\n\
         rm -f agents/*\nfor link in {root}/opt/polis/agents/*; do [[ ! -e $link/.polis/boot ]] || {{\n\
         ln -s $link agents/\ncp $link/.polis/*.service $POLIS_UNITS/\n}}; done\n\
         exec bash {root}/opt/polis/config/workspace/agents.sh \"$@\"\n"
    );
    let path = "/usr/local/bin/polis-agents.sh";
    world.write_guest(path, &script);
    fs::set_permissions(world.guest().path(path), Permissions::from_mode(0o755)).expect("a mode");
}

/// Has the workspace install its agents and watch them for a while, as its unit does.
fn boot(world: &World, seconds: u32) {
    let words = [
        "exec",
        "polis",
        "--",
        "timeout",
        &seconds.to_string(),
        "polis-agents.sh",
        "run",
    ];
    world.multipass(&words, b"");
}

/// The one agent as `agent list --json` has it.
fn listed(world: &World) -> Value {
    let mut list = document(&world.polis(&["agent", "list", "--json"]));
    list["result"]["agents"][0].take()
}

const KEYS: [(&str, &str); 1] = [("CODER_KEY", "sk-very-secret")];

fn add(world: &World) {
    let ran = world.polis_with(&["agent", "add", "coder", "-e", "CODER_KEY"], &KEYS);
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
}

#[test]
fn an_agent_is_added_started_looked_at_and_removed() {
    let world = running();
    agent(&world, MANIFEST);
    world.forget_calls();
    let ran = world.polis_with(&["agent", "add", "coder", "-e", "CODER_KEY"], &KEYS);
    expect![[r#"
        exit 0
        --- stdout
        The agent `coder` is added. Next: polis start
        --- stderr
        Transferring the agent
        Transferring the agent's keys
    "#]]
    .assert_eq(&seen(&ran));
    assert_eq!(listed(&world)["keys"], serde_json::json!(["CODER_KEY"]));
    assert_eq!(listed(&world)["state"], Value::Null);
    // It is asked for no key any more.
    let steps = did(
        &world,
        &["start", "--agent", "coder", "--recreate-workspace"],
    );
    let expected = [
        "start-services",
        "await-health",
        "mark-ready",
        "await-agents",
    ];
    assert_eq!(steps, expected);
    assert_eq!(did(&world, &["start"]), [""; 0]);

    mount_script(&world);
    let status = world.polis(&["agent", "list"]);
    expect![[r#"
        exit 0
        --- stdout
          coder          installing  (port 8099)
    "#]]
    .assert_eq(&seen(&status));
    boot(&world, 4);
    assert_eq!(listed(&world)["state"], "unhealthy");
    assert_eq!(
        world.read_guest("/run/coder-env"),
        "CODER_KEY=sk-very-secret\n"
    );
    world.write_guest("/run/well", "");
    boot(&world, 4);
    let status = document(&world.polis(&["status", "--json"]));
    let status = &status["result"]["guest"]["agents"][0];
    assert_eq!(
        (&status["state"], &status["ports"][0]),
        (&"healthy".into(), &8099.into())
    );
    let shown = world.polis(&["agent", "show", "coder"]);
    expect![[r#"
        exit 0
        --- stdout
        name         coder (Coder 1)
        description  Codes
        command      /usr/bin/sleep 600
        user         polis
        health       test -e well
        ports        8099 -> 8099
        volumes      data on /home/polis/.coder
        needs one of CODER_KEY, OTHER_KEY
        was given    CODER_KEY
        to do        Say hello: polis exec -- hello
    "#]]
    .assert_eq(&seen(&shown));

    let ran = world.polis(&["agent", "remove", "coder", "--purge", "--yes"]);
    expect![[r#"
        exit 0
        --- stdout
        The agent `coder` and its keys are removed.
        Its files and its volumes are deleted when the workspace's container is recreated: polis start --recreate-workspace
    "#]].assert_eq(&seen(&ran));
    // The workspace's container cannot start without what it mounts.
    assert!(world.guest_has("/opt/polis/agents/coder"));
    assert!(!world.guest_has("/opt/polis/agent-keys/coder/env"));
    let list = document(&world.polis(&["agent", "list", "--json"]));
    assert_eq!(list["result"]["agents"], serde_json::json!([]));
    did(&world, &["start", "--recreate-workspace"]);
    for path in [
        "/opt/polis/agents/coder",
        "/opt/polis/agent-keys/coder",
        "/opt/polis/.agents-removed",
    ] {
        assert!(!world.guest_has(path), "{path}");
    }
    assert!(!world.guest_has("/var/lib/docker/volumes/polis-agent-coder-data"));
    assert_eq!(
        fs::read_dir(world.guest().path("/opt/polis/bundles"))
            .unwrap()
            .count(),
        1
    );
    assert_eq!(world.refused(), [""; 0]);
}

#[test]
fn an_installation_that_fails_is_told_and_stops_nothing() {
    let world = running();
    agent(&world, MANIFEST);
    let script = world.home().join("coder/install.sh");
    fs::write(&script, "echo no network >&2; exit 3\n").expect("a script");
    add(&world);
    did(&world, &["start", "--recreate-workspace"]);
    mount_script(&world);
    boot(&world, 5);
    let agent = listed(&world);
    assert_eq!(agent["state"], "install-failed");
    assert_eq!(agent["detail"], "its install script ended with 3");
    assert_eq!(
        document(&world.polis(&["status", "--json"]))["result"]["workspace"],
        "running"
    );

    // The next start brings another one, and says how that is.
    fs::write(&script, "echo again; exit 4\n").expect("a script");
    let ran = world.polis(&["start", "--agent", "coder"]);
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    let note = "note: coder: install failed: its install script ended with 3\nhint: polis agent logs coder\n";
    assert!(ran.stderr.contains(note), "{}", ran.seen());
    assert!(
        ran.stdout.ends_with("Say hello: polis exec -- hello\n"),
        "{}",
        ran.seen()
    );
    boot(&world, 5);
    assert_eq!(listed(&world)["detail"], "its install script ended with 4");
}

#[test]
fn a_unit_that_is_another_one_is_not_started() {
    let world = running();
    agent(&world, MANIFEST);
    add(&world);
    mount_script(&world);
    let unit = world
        .guest()
        .path("/opt/polis/agents/coder/.polis/coder.service");
    let text = fs::read_to_string(&unit).expect("a unit");
    fs::write(unit, text.replace("User=polis", "User=root")).expect("a unit");
    boot(&world, 5);
    let agent = listed(&world);
    assert_eq!(agent["state"], "install-failed");
    assert_eq!(
        agent["detail"],
        "the unit coder.service is not the one that was made for it"
    );
}

#[test]
fn two_agents_cannot_have_the_same_port() {
    let world = running();
    agent(&world, MANIFEST);
    add(&world);
    let other = MANIFEST
        .replace("name: coder", "name: other")
        .replace(".coder", ".other");
    agent(&world, &other);
    let ran = world.polis_with(&["agent", "add", "coder", "-e", "CODER_KEY"], &KEYS);
    expect![[r#"
        exit 2
        --- stderr
        Transferring the agent
        error: the agent was not added
          caused by: the agent `coder` has port 8099 already
          tried: multipass transfer - polis:/opt/polis/.incoming-[DIGEST].tar
          hint: polis agent list
    "#]]
    .assert_eq(&seen(&ran));
    agent(&world, &other.replace("8099", "8100"));
    add(&world);
    let env = world.read_guest("/opt/polis/.env");
    assert!(
        env.ends_with(
            "docker-compose.yml:agents/coder/.polis/compose.json:agents/other/.polis/compose.json:forward.json\n"
        ),
        "{env}"
    );
    // None of them, and all of them again.
    assert_eq!(did(&world, &["start", "--no-agent"])[0], "layer-agents");
    assert!(
        world
            .read_guest("/opt/polis/.env")
            .ends_with("=docker-compose.yml\n")
    );
    assert_eq!(listed(&world)["layered"], false);
    assert_eq!(did(&world, &["start"])[0], "layer-agents");
    assert_eq!(world.read_guest("/opt/polis/.env"), env);
}

#[test]
fn a_compose_file_of_its_own_has_to_be_trusted_and_is_shown() {
    let world = running();
    let dir = world.home().join("free");
    fs::create_dir(&dir).expect("a directory");
    fs::write(
        dir.join("compose.yaml"),
        "services: {workspace: {privileged: true}}\n",
    )
    .expect("a file");
    let ran = world.polis(&["start", "--agent", "free"]);
    expect![[r#"
        exit 2
        --- stderr
        error: `free/compose.yaml` is a Compose file of its own
          caused by: it can remove every protection of the VM and of the services: privileges, mounts, networks
          hint: read it; if you trust it, add --trust-compose; better: describe the agent in agent.yaml
    "#]].assert_eq(&seen(&ran));
    let ran = world.polis(&["start", "--agent", "free", "--trust-compose", "--quiet"]);
    assert!(
        ran.stderr
            .contains("services: {workspace: {privileged: true}}\n"),
        "{}",
        ran.seen()
    );
    let status = world.polis(&["status"]);
    let line =
        "  free           a Compose file of its own, which was trusted and can undo the sandbox\n";
    assert!(status.stdout.contains(line), "{}", status.seen());
}

#[test]
fn a_directory_is_checked_without_a_vm() {
    let world = World::of(env!("CARGO_BIN_EXE_polis"));
    agent(
        &world,
        &MANIFEST.replace("runtime: {command", "runtime: {privileged: true, command"),
    );
    let ran = world.polis(&["agent", "check", "coder"]);
    expect![[r#"
        exit 2
        --- stderr
        error: coder/agent.yaml:7:13: unknown key `privileged`; expected one of command, workdir, user, envFile, env
          hint: correct it, then: polis agent check DIR
    "#]].assert_eq(&seen(&ran));
    agent(&world, MANIFEST);
    let checked = document(&world.polis(&["agent", "check", "coder", "--json"]));
    assert_eq!(checked["result"]["agent"]["name"], "coder");
    fs::remove_file(world.home().join("coder/install.sh")).expect("a file");
    let ran = world.polis(&["agent", "check", "coder"]);
    assert!(
        ran.stderr
            .contains("spec.install names `install.sh`, which does not exist"),
        "{}",
        ran.seen()
    );
    assert_eq!(world.calls().len(), 0);
}

#[test]
fn directories_like_those_of_upstream_and_of_this_repository_are_well_formed() {
    let world = world();
    // As upstream's bundled agent is laid out, with every key that a manifest can have.
    let dir = world.home().join("openclaw");
    for name in [
        "scripts/init.sh",
        "scripts/polis-approve.sh",
        "config/a.json",
        "install.sh",
        "commands.sh",
    ] {
        let file = dir.join(name);
        fs::create_dir_all(file.parent().expect("a directory")).expect("a directory");
        fs::write(file, "").expect("a file");
    }
    let manifest = include_str!("../../src/agent/manifest/openclaw.yaml");
    fs::write(dir.join("agent.yaml"), manifest).expect("a manifest");
    let agents = xtask_testkit::repository().join("agents");
    for (dir, name) in [
        (dir, "openclaw"),
        (agents.join("_template"), "my-agent"),
        (agents.join("echo"), "echo"),
    ] {
        let ran = world.polis(&["agent", "check", &dir.display().to_string(), "--json"]);
        assert_eq!(ran.code, Some(0), "{}", ran.seen());
        assert_eq!(document(&ran)["result"]["agent"]["name"], name);
    }
    assert_eq!(world.calls().len(), 0);
}
