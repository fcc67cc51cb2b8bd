//! `polis start` from every state that a workspace can be in.

use expect_test::expect;
use fake_multipass::{Fate, Power, Service, World};
use serde_json::Value;

use crate::support::{args, commands, did, document, launches, planned, running, seen, world};

#[test]
fn a_first_start_goes_all_the_way() {
    let world = world();
    let ran = world.polis(&["start"]);
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
    assert_eq!(launches(&world), 1);
    assert_eq!(world.refused(), [] as [String; 0]);
}

/// How far a step was when it was asked depends on the machine.
fn without_details(seen: &str) -> String {
    let lines = seen.lines().filter(|line| !line.starts_with("  "));
    lines.map(|line| format!("{line}\n")).collect()
}

#[test]
fn a_second_start_looks_and_does_nothing() {
    let world = running();
    let ran = world.polis(&["start"]);
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
    assert_eq!(commands(&world), ["version", "list", "exec"]);
    assert_eq!(world.mutations(), [] as [String; 0]);
}

/// The calls that were made; one made again and again counts once.
fn made(world: &World) -> Vec<Vec<String>> {
    let mut made: Vec<Vec<String>> = world.calls().into_iter().map(|call| call.args).collect();
    made.dedup();
    made
}

#[test]
fn what_a_dry_run_prints_is_what_a_run_does() {
    let world = world();
    let plan = document(&world.polis(&["start", "--dry-run", "--json"]));
    assert_eq!(world.mutations(), [] as [String; 0]);
    assert_eq!(commands(&world), ["version", "list"]);
    world.forget_calls();

    let ran = world.polis(&["start", "--quiet"]);
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    let calls = planned(&plan);
    let wanted: Vec<Vec<String>> = calls.iter().map(|(_, call)| args(call)).collect();
    assert_eq!(made(&world), wanted);

    // What was read on standard input is what the plan names.
    let digest = |(_, call): &(String, Value)| call["stdin"]["digest"].as_str().map(str::to_owned);
    let named: Vec<String> = calls.iter().filter_map(digest).collect();
    assert_eq!(named.len(), 2);
    let read = world.calls().into_iter().filter_map(|call| call.end?.stdin);
    assert_eq!(read.map(|input| input.digest).collect::<Vec<_>>(), named);
}

#[test]
fn a_dry_run_is_readable() {
    let ran = world().polis(&["start", "--dry-run"]);
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
fn a_stopped_vm_is_started_and_not_filled_again() {
    let world = running();
    assert_eq!(world.polis(&["stop"]).code, Some(0));
    world.forget_calls();
    let did = did(&world, &["start"]);
    assert_eq!(did[0], "start-machine");
    assert!(
        !did.iter()
            .any(|step| step.starts_with("install") || step == "pull"),
        "{did:?}"
    );
    assert_eq!(world.power(), Some(Power::Running));
    assert_eq!(launches(&world), 0);
}

#[test]
fn the_bundle_of_an_older_version_is_replaced_without_provisioning() {
    let world = running();
    let old = "0".repeat(64);
    world.write_guest("/opt/polis/.ready", &format!("{old}\n"));
    let script =
        format!("cd /opt/polis && mv bundles/* bundles/{old} && ln -sfnT bundles/{old} bundle");
    let ran = world.multipass(&["exec", "-n", "polis", "--", "bash", "-c", &script], b"");
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    let status = document(&world.polis(&["status", "--json"]));
    assert_eq!(status["result"]["workspace"], "outdated");
    assert_eq!(
        did(&world, &["start"]),
        [
            "install-bundle",
            "make-secrets",
            "pull",
            "start-services",
            "await-health",
            "mark-ready"
        ]
    );
    assert!(!world.guest_has(&format!("/opt/polis/bundles/{old}")));
    assert_eq!(did(&world, &["start"]), [] as [&str; 0]);
}

#[test]
fn secrets_are_made_once() {
    let world = running();
    let key = world.read_guest("/opt/polis/certs/ca/ca.key");
    world.write_guest("/opt/polis/.ready", "older\n");
    assert_eq!(did(&world, &["start"]).last().unwrap(), "mark-ready");
    assert_eq!(world.read_guest("/opt/polis/certs/ca/ca.key"), key);
}

#[test]
fn a_service_that_became_unhealthy_is_started_again() {
    let world = running();
    let ill = Service {
        fate: Fate::Unhealthy,
        ..Service::default()
    };
    world.set(|state| state.services.insert("state".into(), ill));
    let ran = world.polis(&["start"]);
    assert_eq!(ran.code, Some(12), "{}", ran.seen());
    let restarts = world.all_calls().into_iter();
    let restarts = restarts.filter(|call| call.line() == "docker compose restart state");
    assert_eq!(restarts.count(), 1);
    assert_eq!(world.refused(), [] as [String; 0]);
    world.set(|state| state.services.clear());
    assert_eq!(did(&world, &["start"]), [] as [&str; 0]);
}

#[test]
fn an_agent_is_layered_and_its_change_is_carried_over() {
    let world = running();
    let dir = world.home().join("coder");
    std::fs::create_dir_all(dir.join("hooks")).unwrap();
    let compose = "services:\n  workspace:\n    environment: {CODER: \"1\"}\n";
    std::fs::write(dir.join("compose.yaml"), compose).unwrap();
    std::fs::write(dir.join("hooks/run"), "#!/bin/sh\n").unwrap();
    let start = ["start", "--agent", "coder", "--trust-compose"];
    assert_eq!(
        did(&world, &start),
        [
            "install-agent",
            "pull",
            "start-services",
            "await-health",
            "mark-ready"
        ]
    );
    assert_eq!(
        world.read_guest("/opt/polis/agents/coder/compose.yaml"),
        compose
    );
    assert_eq!(did(&world, &start), [] as [&str; 0]);
    assert_eq!(did(&world, &["start"]), [] as [&str; 0], "it stays");
    let status = document(&world.polis(&["status", "--json"]));
    let agent = &status["result"]["guest"]["agents"][0];
    assert_eq!(
        (&agent["name"], &agent["trusted_compose"]),
        (&"coder".into(), &true.into())
    );

    std::fs::write(dir.join("hooks/run"), "#!/bin/bash\n").unwrap();
    assert_eq!(did(&world, &start)[0], "install-agent");
}

#[test]
fn an_agent_cannot_lead_out_of_its_directory() {
    let world = world();
    let dir = world.home().join("coder");
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(dir.join("compose.yaml"), "services: {}\n").unwrap();
    std::fs::write(world.home().join("secret"), "x").unwrap();
    std::os::unix::fs::symlink("../secret", dir.join("notes")).unwrap();
    let ran = world.polis(&["start", "--agent", "coder", "--trust-compose"]);
    expect![[r#"
        exit 2
        --- stderr
        error: `[WORLD]/home/coder/notes` is not a valid agent
          caused by: it leads out of the agent, to `../secret`
          hint: give a directory that contains agent.yaml and the files that it names
    "#]]
    .assert_eq(&seen(&ran));
    assert_eq!(world.calls().len(), 0);

    std::fs::rename(&dir, world.home().join("Coder!")).unwrap();
    let ran = world.polis(&["start", "--agent", "Coder!", "--trust-compose"]);
    assert_eq!(ran.code, Some(2), "{}", ran.seen());
}

#[test]
fn user_data_of_the_user_is_handed_on_as_it_is() {
    let world = world();
    let text = "#cloud-config\npackage_update: false\n";
    std::fs::write(world.home().join("mine.yaml"), text).unwrap();
    let ran = world.polis(&["start", "--cloud-init", "mine.yaml"]);
    // It does not provision anything, and that is noticed.
    assert_eq!(ran.code, Some(8), "{}", ran.seen());
    let launch = world.calls_of("launch").remove(0);
    let sent = launch.end.unwrap().stdin.unwrap();
    assert_eq!(sent.bytes, text.len() as u64);
}

#[test]
fn where_pipes_do_not_work_files_are_handed_over() {
    let world = world();
    world.set(|state| state.windows = true);
    let ran = world.polis_with(&["start", "--quiet"], &[("POLIS_DELIVERY", "file")]);
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    let read = world.calls().into_iter().filter_map(|call| call.end?.stdin);
    assert_eq!(read.count(), 0);
}
