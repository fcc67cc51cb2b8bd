//! The life cycle of an agent, from its directory to its removal. The scripts of the VM and of the workspace really run.

mod keys;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use expect_test::expect;
use fake_multipass::Sandbox;
use serde_json::Value;

use crate::support::{did, document, running, sandbox, seen};

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

fn agent(sandbox: &Sandbox, manifest: &str) {
    let dir = sandbox.home().join("coder");
    fs::create_dir_all(&dir).expect("a directory");
    fs::write(dir.join("agent.yaml"), manifest).expect("a manifest");
    fs::write(dir.join("install.sh"), "echo installed\n").expect("a script");
}

/// Gives the workspace `polis-agents.sh`, which the real one mounts, and the agent's own mounts, with paths mapped to the
/// guest's folders.
fn mount_script(sandbox: &Sandbox) {
    let root = sandbox.guest().root().display().to_string();
    let script = format!(
        "#!/bin/bash\ncd {root}/run && mkdir -p agents units\n\
         export POLIS_AGENTS={root}/run/agents POLIS_AGENTS_STATE={root}/run/state POLIS_AGENT_KEYS={root}/opt/polis/agent-keys\n\
         export POLIS_RUN={root}/run POLIS_UNITS={root}/etc/systemd/system POLIS_PROGRAMS={root}/usr/local/bin\n\
         rm -f agents/*\nfor link in {root}/opt/polis/agents/*; do [[ ! -e $link/.polis/boot ]] || {{\n\
         ln -s $link agents/\ncp $link/.polis/*.service $POLIS_UNITS/\n}}; done\n\
         exec bash {root}/opt/polis/config/workspace/agents.sh \"$@\"\n"
    );
    let path = "/usr/local/bin/polis-agents.sh";
    sandbox.write_guest(path, &script);
    fs::set_permissions(sandbox.guest().path(path), Permissions::from_mode(0o755)).expect("a mode");
}

/// Runs the workspace's agent script for a while, as its unit does: installs the agents and watches them.
fn boot(sandbox: &Sandbox, seconds: u32) {
    let words = [
        "exec",
        "polis",
        "--",
        "timeout",
        &seconds.to_string(),
        "polis-agents.sh",
        "run",
    ];
    sandbox.multipass(&words, b"");
}

/// The only agent in the output of `agent list --json`.
fn listed(sandbox: &Sandbox) -> Value {
    let mut list = document(&sandbox.polis(&["agent", "list", "--json"]));
    list["result"]["agents"][0].take()
}

const KEYS: [(&str, &str); 1] = [("CODER_KEY", "sk-very-secret")];

fn add(sandbox: &Sandbox) {
    let ran = sandbox.polis_with(&["agent", "add", "coder", "-e", "CODER_KEY"], &KEYS);
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
}

#[test]
fn an_agent_is_added_started_shown_and_removed() {
    let sandbox = running();
    agent(&sandbox, MANIFEST);
    sandbox.forget_calls();
    let ran = sandbox.polis_with(&["agent", "add", "coder", "-e", "CODER_KEY"], &KEYS);
    expect![[r#"
        exit 0
        --- stdout
        The agent `coder` is added. Next: polis start
        --- stderr
        Transferring the agent
        Transferring the agent's keys
    "#]]
    .assert_eq(&seen(&ran));
    assert_eq!(listed(&sandbox)["keys"], serde_json::json!(["CODER_KEY"]));
    assert_eq!(listed(&sandbox)["state"], Value::Null);
    // Its key is stored, so no key is required.
    let steps = did(
        &sandbox,
        &["start", "--agent", "coder", "--recreate-workspace"],
    );
    let expected = [
        "start-services",
        "await-health",
        "mark-ready",
        "await-agents",
    ];
    assert_eq!(steps, expected);
    assert_eq!(did(&sandbox, &["start"]), [""; 0]);

    mount_script(&sandbox);
    let status = sandbox.polis(&["agent", "list"]);
    expect![[r#"
        exit 0
        --- stdout
          coder          installing  (port 8099)
    "#]]
    .assert_eq(&seen(&status));
    boot(&sandbox, 4);
    assert_eq!(listed(&sandbox)["state"], "unhealthy");
    assert_eq!(
        sandbox.read_guest("/run/coder-env"),
        "CODER_KEY=sk-very-secret\n"
    );
    sandbox.write_guest("/run/well", "");
    boot(&sandbox, 4);
    let status = document(&sandbox.polis(&["status", "--json"]));
    let status = &status["result"]["guest"]["agents"][0];
    assert_eq!(
        (&status["state"], &status["ports"][0]),
        (&"healthy".into(), &8099.into())
    );
    let shown = sandbox.polis(&["agent", "show", "coder"]);
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
        has keys     CODER_KEY
        to do        Say hello: polis exec -- hello
    "#]]
    .assert_eq(&seen(&shown));

    let ran = sandbox.polis(&["agent", "remove", "coder", "--purge", "--yes"]);
    expect![[r#"
        exit 0
        --- stdout
        The agent `coder` and its keys are removed.
        Its files and its volumes are deleted when the workspace's container is recreated: polis start --recreate-workspace
    "#]].assert_eq(&seen(&ran));
    // The workspace's container cannot start without the files that it mounts.
    assert!(sandbox.guest_has("/opt/polis/agents/coder"));
    assert!(!sandbox.guest_has("/opt/polis/agent-keys/coder/env"));
    let list = document(&sandbox.polis(&["agent", "list", "--json"]));
    assert_eq!(list["result"]["agents"], serde_json::json!([]));
    did(&sandbox, &["start", "--recreate-workspace"]);
    for path in [
        "/opt/polis/agents/coder",
        "/opt/polis/agent-keys/coder",
        "/opt/polis/.agents-removed",
    ] {
        assert!(!sandbox.guest_has(path), "{path}");
    }
    assert!(!sandbox.guest_has("/var/lib/docker/volumes/polis-agent-coder-data"));
    assert_eq!(
        fs::read_dir(sandbox.guest().path("/opt/polis/bundles"))
            .unwrap()
            .count(),
        1
    );
    assert_eq!(sandbox.refused(), [""; 0]);
}

#[test]
fn a_failed_installation_is_reported_and_does_not_fail_the_start() {
    let sandbox = running();
    agent(&sandbox, MANIFEST);
    let script = sandbox.home().join("coder/install.sh");
    fs::write(&script, "echo no network >&2; exit 3\n").expect("a script");
    add(&sandbox);
    did(&sandbox, &["start", "--recreate-workspace"]);
    mount_script(&sandbox);
    boot(&sandbox, 5);
    let agent = listed(&sandbox);
    assert_eq!(agent["state"], "install-failed");
    assert_eq!(
        agent["detail"],
        "its install script failed with exit code 3"
    );
    assert_eq!(
        document(&sandbox.polis(&["status", "--json"]))["result"]["workspace"],
        "running"
    );

    // The next start reports how the previous installation ended, and installs the changed script.
    fs::write(&script, "echo again; exit 4\n").expect("a script");
    let ran = sandbox.polis(&["start", "--agent", "coder"]);
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    let note = "note: coder: install failed: its install script failed with exit code 3\nhint: polis agent logs coder\n";
    assert!(ran.stderr.contains(note), "{}", ran.seen());
    assert!(
        ran.stdout.ends_with("Say hello: polis exec -- hello\n"),
        "{}",
        ran.seen()
    );
    boot(&sandbox, 5);
    assert_eq!(
        listed(&sandbox)["detail"],
        "its install script failed with exit code 4"
    );
}

#[test]
fn a_unit_that_does_not_match_its_agent_is_not_started() {
    let sandbox = running();
    agent(&sandbox, MANIFEST);
    add(&sandbox);
    mount_script(&sandbox);
    let unit = sandbox
        .guest()
        .path("/opt/polis/agents/coder/.polis/coder.service");
    let text = fs::read_to_string(&unit).expect("a unit");
    fs::write(unit, text.replace("User=polis", "User=root")).expect("a unit");
    boot(&sandbox, 5);
    let agent = listed(&sandbox);
    assert_eq!(agent["state"], "install-failed");
    assert_eq!(
        agent["detail"],
        "the unit coder.service does not match the agent"
    );
}

#[test]
fn two_agents_cannot_have_the_same_port() {
    let sandbox = running();
    agent(&sandbox, MANIFEST);
    add(&sandbox);
    let other = MANIFEST
        .replace("name: coder", "name: other")
        .replace(".coder", ".other");
    agent(&sandbox, &other);
    let ran = sandbox.polis_with(&["agent", "add", "coder", "-e", "CODER_KEY"], &KEYS);
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
    agent(&sandbox, &other.replace("8099", "8100"));
    add(&sandbox);
    let env = sandbox.read_guest("/opt/polis/.env");
    assert!(
        env.ends_with(
            "docker-compose.yml:agents/coder/.polis/compose.json:agents/other/.polis/compose.json:forward.json\n"
        ),
        "{env}"
    );
    // Without agents, then with all of them again.
    assert_eq!(did(&sandbox, &["start", "--no-agent"])[0], "layer-agents");
    assert!(
        sandbox
            .read_guest("/opt/polis/.env")
            .ends_with("=docker-compose.yml\n")
    );
    assert_eq!(listed(&sandbox)["layered"], false);
    assert_eq!(did(&sandbox, &["start"])[0], "layer-agents");
    assert_eq!(sandbox.read_guest("/opt/polis/.env"), env);
}

#[test]
fn an_agent_with_its_own_compose_file_must_be_trusted() {
    let sandbox = running();
    let dir = sandbox.home().join("free");
    fs::create_dir(&dir).expect("a directory");
    fs::write(
        dir.join("compose.yaml"),
        "services: {workspace: {privileged: true}}\n",
    )
    .expect("a file");
    let ran = sandbox.polis(&["start", "--agent", "free"]);
    expect![[r#"
        exit 2
        --- stderr
        error: `free/compose.yaml` is a custom Compose file
          caused by: it can remove every protection of the VM and of the services: privileges, mounts, networks
          hint: read it; if you trust it, add --trust-compose (better: describe the agent in agent.yaml)
    "#]].assert_eq(&seen(&ran));
    let ran = sandbox.polis(&["start", "--agent", "free", "--trust-compose", "--quiet"]);
    assert!(
        ran.stderr
            .contains("services: {workspace: {privileged: true}}\n"),
        "{}",
        ran.seen()
    );
    let status = sandbox.polis(&["status"]);
    let line =
        "  free           a custom Compose file, which is trusted and can undo the sandbox\n";
    assert!(status.stdout.contains(line), "{}", status.seen());
}

#[test]
fn check_validates_a_directory_without_a_vm() {
    let sandbox = Sandbox::of(env!("CARGO_BIN_EXE_polis"));
    agent(
        &sandbox,
        &MANIFEST.replace("runtime: {command", "runtime: {privileged: true, command"),
    );
    let ran = sandbox.polis(&["agent", "check", "coder"]);
    expect![[r#"
        exit 2
        --- stderr
        error: coder/agent.yaml:7:13: unknown key `privileged`; expected one of command, workdir, user, envFile, env
          hint: correct it, then: polis agent check DIR
    "#]].assert_eq(&seen(&ran));
    agent(&sandbox, MANIFEST);
    let checked = document(&sandbox.polis(&["agent", "check", "coder", "--json"]));
    assert_eq!(checked["result"]["agent"]["name"], "coder");
    fs::remove_file(sandbox.home().join("coder/install.sh")).expect("a file");
    let ran = sandbox.polis(&["agent", "check", "coder"]);
    assert!(
        ran.stderr
            .contains("spec.install names `install.sh`, which does not exist"),
        "{}",
        ran.seen()
    );
    assert_eq!(sandbox.calls().len(), 0);
}

#[test]
fn the_agents_of_upstream_and_of_this_repository_are_valid() {
    let sandbox = sandbox();
    // The layout of upstream's bundled agent, with every key that a manifest can have.
    let dir = sandbox.home().join("openclaw");
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
        let ran = sandbox.polis(&["agent", "check", &dir.display().to_string(), "--json"]);
        assert_eq!(ran.code, Some(0), "{}", ran.seen());
        assert_eq!(document(&ran)["result"]["agent"]["name"], name);
    }
    assert_eq!(sandbox.calls().len(), 0);
}
