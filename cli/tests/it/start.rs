//! `polis start`, from every state that a workspace can be in.

use expect_test::expect;
use fake_multipass::{Fate, Power, Sandbox, Service};
use serde_json::Value;

use crate::support::{args, commands, did, document, launches, planned, running, sandbox, seen};

#[test]
fn a_first_start_completes_the_workspace() {
    let sandbox = sandbox();
    let ran = sandbox.polis(&["start"]);
    expect![[r#"
        exit 0
        --- stdout
        The workspace is running: 8 steps, [N] s. Next: polis shell
        --- stderr
        Launching the VM
        Provisioning the VM
        Transferring the bundle
        Creating certificates and secrets
        Pulling the images
        Starting the services
        Waiting until every service is healthy
        Recording that the workspace is complete
    "#]]
    .assert_eq(&without_details(&seen(&ran)));
    assert_eq!(launches(&sandbox), 1);
    assert_eq!(sandbox.refused(), [] as [String; 0]);
}

/// Masks the progress of steps, which depends on the machine.
fn without_details(seen: &str) -> String {
    let lines = seen.lines().filter(|line| !line.starts_with("  "));
    lines.map(|line| format!("{line}\n")).collect()
}

#[test]
fn a_second_start_changes_nothing() {
    let sandbox = running();
    let ran = sandbox.polis(&["start"]);
    expect![[r#"
        exit 0
        --- stdout
        The workspace is running; there was nothing to do.
          files    /home/polis in the workspace; to copy some: polis cp FILE workspace:
          agents   none; to add one: polis agent add DIR
          blocked  to see blocked requests: polis security pending
          stop     polis stop, which keeps everything
    "#]]
    .assert_eq(&seen(&ran));
    assert_eq!(commands(&sandbox), ["version", "list", "exec"]);
    assert_eq!(sandbox.mutations(), [] as [String; 0]);
}

/// The calls made so far; a repeated call counts once.
fn made(sandbox: &Sandbox) -> Vec<Vec<String>> {
    let mut made: Vec<Vec<String>> = sandbox.calls().into_iter().map(|call| call.args).collect();
    made.dedup();
    made
}

#[test]
fn a_run_does_exactly_what_its_dry_run_prints() {
    let sandbox = sandbox();
    let plan = document(&sandbox.polis(&["start", "--dry-run", "--json"]));
    assert_eq!(sandbox.mutations(), [] as [String; 0]);
    assert_eq!(commands(&sandbox), ["version", "list"]);
    sandbox.forget_calls();

    let ran = sandbox.polis(&["start", "--quiet"]);
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    let calls = planned(&plan);
    let wanted: Vec<Vec<String>> = calls.iter().map(|(_, call)| args(call)).collect();
    assert_eq!(made(&sandbox), wanted);

    // The bytes read on standard input are those that the plan names.
    let digest = |(_, call): &(String, Value)| call["stdin"]["digest"].as_str().map(str::to_owned);
    let named: Vec<String> = calls.iter().filter_map(digest).collect();
    assert_eq!(named.len(), 2);
    let read = sandbox
        .calls()
        .into_iter()
        .filter_map(|call| call.end?.stdin);
    assert_eq!(read.map(|input| input.digest).collect::<Vec<_>>(), named);
}

#[test]
fn a_dry_run_is_readable() {
    let ran = sandbox().polis(&["start", "--dry-run"]);
    expect![[r#"
        exit 0
        --- stdout
        # Launching the VM
        multipass launch 24.04 --name polis --cpus 4 --memory 8G --disk 40G --timeout 900 --cloud-init -  < cloud-init.yaml ([N] bytes, [DIGEST])
        multipass list --format json --no-ipv4  # repeatedly, meanwhile
        multipass exec -n polis -- bash -c '[script: read the progress of the provisioning]' polis  # repeatedly, meanwhile
        multipass exec -n polis -- bash -c '[script: create the directory of polis]' polis  # meanwhile, once the VM runs
        multipass transfer - polis:/opt/polis/.incoming-[DIGEST].tar  < bundle.tar ([N] bytes, [DIGEST])  # meanwhile, once the VM runs
        multipass exec -n polis -- bash -c '[script: install the bundle]' polis /opt/polis/.incoming-[DIGEST].tar [DIGEST]  # meanwhile, once the VM runs
        multipass exec -n polis -- bash -c '[script: pull the images ahead]' polis pull-[DIGEST] ubuntu scripts/stack.sh pull  # meanwhile, once the VM runs
        # Provisioning the VM
        multipass exec -n polis -- bash -c '[script: probe the VM]' polis  # repeatedly, until the marker exists
        # Transferring the bundle
        multipass transfer - polis:/opt/polis/.incoming-[DIGEST].tar  < bundle.tar ([N] bytes, [DIGEST])
        multipass exec -n polis -- bash -c '[script: install the bundle]' polis /opt/polis/.incoming-[DIGEST].tar [DIGEST]
        # Creating certificates and secrets
        multipass exec -n polis -- bash -c '[script: create certificates and secrets]' polis
        # Pulling the images
        multipass exec -n polis -- bash -c '[script: pull the images]' polis pull-[DIGEST] ubuntu scripts/stack.sh pull
        multipass exec -n polis -- bash -c '[script: pull the images]' polis pull-[DIGEST]  # repeatedly, until it has ended
        # Starting the services
        multipass exec -n polis -- bash -c '[script: start the services]' polis up-[DIGEST] ubuntu scripts/stack.sh up
        multipass exec -n polis -- bash -c '[script: start the services]' polis up-[DIGEST]  # repeatedly, until it has ended
        # Waiting until every service is healthy
        multipass exec -n polis -- bash -c '[script: probe the VM]' polis  # repeatedly, until every service is healthy
        # Recording that the workspace is complete
        multipass exec -n polis -- bash -c '[script: record that the stack is complete]' polis [DIGEST]
    "#]].assert_eq(&seen(&ran));
}

#[test]
fn a_stopped_vm_is_started_without_repeating_its_setup() {
    let sandbox = running();
    assert_eq!(sandbox.polis(&["stop"]).code, Some(0));
    sandbox.forget_calls();
    let did = did(&sandbox, &["start"]);
    assert_eq!(did[0], "start-machine");
    assert!(
        !did.iter()
            .any(|step| step.starts_with("install") || step == "pull"),
        "{did:?}"
    );
    assert_eq!(sandbox.power(), Some(Power::Running));
    assert_eq!(launches(&sandbox), 0);
}

#[test]
fn the_bundle_of_an_older_version_is_replaced_without_provisioning() {
    let sandbox = running();
    let old = "0".repeat(64);
    sandbox.write_guest("/opt/polis/.ready", &format!("{old}\n"));
    let script =
        format!("cd /opt/polis && mv bundles/* bundles/{old} && ln -sfnT bundles/{old} bundle");
    let ran = sandbox.multipass(&["exec", "-n", "polis", "--", "bash", "-c", &script], b"");
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    let status = document(&sandbox.polis(&["status", "--json"]));
    assert_eq!(status["result"]["workspace"], "outdated");
    assert_eq!(
        did(&sandbox, &["start"]),
        [
            "install-bundle",
            "make-secrets",
            "pull",
            "start-services",
            "await-health",
            "mark-ready"
        ]
    );
    assert!(!sandbox.guest_has(&format!("/opt/polis/bundles/{old}")));
    assert_eq!(did(&sandbox, &["start"]), [] as [&str; 0]);
}

#[test]
fn secrets_are_created_once() {
    let sandbox = running();
    let key = sandbox.read_guest("/opt/polis/certs/ca/ca.key");
    sandbox.write_guest("/opt/polis/.ready", "older\n");
    assert_eq!(did(&sandbox, &["start"]).last().unwrap(), "mark-ready");
    assert_eq!(sandbox.read_guest("/opt/polis/certs/ca/ca.key"), key);
}

#[test]
fn an_unhealthy_service_is_restarted() {
    let sandbox = running();
    let ill = Service {
        fate: Fate::Unhealthy,
        ..Service::default()
    };
    sandbox.set(|state| state.services.insert("state".into(), ill));
    let ran = sandbox.polis(&["start"]);
    assert_eq!(ran.code, Some(12), "{}", ran.seen());
    let restarts = sandbox.all_calls().into_iter();
    let restarts = restarts.filter(|call| call.line() == "docker compose restart state");
    assert_eq!(restarts.count(), 1);
    assert_eq!(sandbox.refused(), [] as [String; 0]);
    sandbox.set(|state| state.services.clear());
    assert_eq!(did(&sandbox, &["start"]), [] as [&str; 0]);
}

#[test]
fn an_agent_is_layered_and_its_changes_are_transferred() {
    let sandbox = running();
    let dir = sandbox.home().join("coder");
    std::fs::create_dir_all(dir.join("hooks")).unwrap();
    let compose = "services:\n  workspace:\n    environment: {CODER: \"1\"}\n";
    std::fs::write(dir.join("compose.yaml"), compose).unwrap();
    std::fs::write(dir.join("hooks/run"), "#!/bin/sh\n").unwrap();
    let start = ["start", "--agent", "coder", "--trust-compose"];
    assert_eq!(
        did(&sandbox, &start),
        [
            "install-agent",
            "pull",
            "start-services",
            "await-health",
            "mark-ready"
        ]
    );
    assert_eq!(
        sandbox.read_guest("/opt/polis/agents/coder/compose.yaml"),
        compose
    );
    assert_eq!(did(&sandbox, &start), [] as [&str; 0]);
    assert_eq!(did(&sandbox, &["start"]), [] as [&str; 0], "it stays");
    let status = document(&sandbox.polis(&["status", "--json"]));
    let agent = &status["result"]["guest"]["agents"][0];
    assert_eq!(
        (&agent["name"], &agent["trusted_compose"]),
        (&"coder".into(), &true.into())
    );

    std::fs::write(dir.join("hooks/run"), "#!/bin/bash\n").unwrap();
    assert_eq!(did(&sandbox, &start)[0], "install-agent");
}

#[test]
fn an_agent_with_a_link_out_of_its_directory_is_refused() {
    let sandbox = sandbox();
    let dir = sandbox.home().join("coder");
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(dir.join("compose.yaml"), "services: {}\n").unwrap();
    std::fs::write(sandbox.home().join("secret"), "x").unwrap();
    std::os::unix::fs::symlink("../secret", dir.join("notes")).unwrap();
    let ran = sandbox.polis(&["start", "--agent", "coder", "--trust-compose"]);
    expect![[r#"
        exit 2
        --- stderr
        error: `[SANDBOX]/home/coder/notes` is not a valid agent
          caused by: it points outside the agent, to `../secret`
          hint: give a directory that contains agent.yaml and the files that it names
    "#]]
    .assert_eq(&seen(&ran));
    assert_eq!(sandbox.calls().len(), 0);

    std::fs::rename(&dir, sandbox.home().join("Coder!")).unwrap();
    let ran = sandbox.polis(&["start", "--agent", "Coder!", "--trust-compose"]);
    assert_eq!(ran.code, Some(2), "{}", ran.seen());
}

#[test]
fn custom_user_data_is_passed_on_unchanged() {
    let sandbox = sandbox();
    let text = "#cloud-config\npackage_update: false\n";
    std::fs::write(sandbox.home().join("mine.yaml"), text).unwrap();
    let ran = sandbox.polis(&["start", "--cloud-init", "mine.yaml"]);
    // It provisions nothing, which `start` detects.
    assert_eq!(ran.code, Some(8), "{}", ran.seen());
    let launch = sandbox.calls_of("launch").remove(0);
    let sent = launch.end.unwrap().stdin.unwrap();
    assert_eq!(sent.bytes, text.len() as u64);
}

#[test]
fn files_replace_pipes_where_pipes_do_not_work() {
    let sandbox = sandbox();
    sandbox.set(|state| state.windows = true);
    let ran = sandbox.polis_with(&["start", "--quiet"], &[("POLIS_DELIVERY", "file")]);
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    let read = sandbox
        .calls()
        .into_iter()
        .filter_map(|call| call.end?.stdin);
    assert_eq!(read.count(), 0);
}
