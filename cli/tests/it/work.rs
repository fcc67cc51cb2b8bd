//! The agent's work survives every start, complete or interrupted: the workspace's container stays the same, and no volume is
//! removed. `compose/proof/tests/stack/data.rs` shows with a real container and real volumes that their contents are kept.

use expect_test::expect;
use fake_multipass::{Effect, Fate, Fault, Pull, Sandbox, Service};

use crate::support::{args, did, document, planned, running, seen};

/// The digest of a bundle that no release contains.
const OLD: &str = "0000000000000000000000000000000000000000000000000000000000000000";
/// Runs a command in the VM, and asserts that it succeeds.
fn vm(sandbox: &Sandbox, script: &str) -> String {
    let ran = sandbox.multipass(&["exec", "-n", "polis", "--", "bash", "-c", script], b"");
    assert_eq!(ran.code, Some(0), "{script}: {}", ran.seen());
    ran.stdout
}

/// Makes the installed bundle look like another version's, in `.ready` too.
fn older(sandbox: &Sandbox) {
    let script = format!(
        "cd /opt/polis && {{ [[ -d bundles/{OLD} ]] || mv -T \"$(readlink bundle)\" bundles/{OLD}; }} && ln -sfnT bundles/{OLD} bundle && echo {OLD} >.ready"
    );
    vm(sandbox, &script);
}

/// Like [`older`], with a compose file changed by `edit`, from which all containers were created.
fn older_with(sandbox: &Sandbox, edit: &str) {
    older(sandbox);
    let script = format!(
        "cd /opt/polis && sed -i '{edit}' bundle/docker-compose.yml && docker compose down && docker compose pull --quiet && \
         docker compose up --detach"
    );
    vm(sandbox, &script);
}

/// Gives the workspace a different image.
const OTHER_IMAGE: &str = "s|polis-workspace-oss:.*|polis-workspace-oss:v0.0.1|";

/// The ID of the container of a service.
fn container(sandbox: &Sandbox, service: &str) -> String {
    let script = format!("cd /opt/polis && docker compose ps --all --quiet {service}");
    vm(sandbox, &script).trim_end().to_owned()
}

/// Makes `docker diff` report files written in the workspace outside its volumes.
fn write_outside(sandbox: &Sandbox) {
    let diff = "C /opt\nA /opt/sdk\nA /opt/sdk/tool\nC /usr\nC /usr/local\nA /usr/local/bin\nA /usr/local/bin/tool\n";
    let id = container(sandbox, "workspace");
    sandbox.write_guest(&format!("/var/lib/docker/{id}.diff"), diff);
}

/// How often the workspace has been restarted.
fn restarts(sandbox: &Sandbox) -> usize {
    let calls = sandbox.all_calls().into_iter();
    calls
        .filter(|call| call.line() == "docker compose restart workspace")
        .count()
}

/// Writes an agent whose `compose` is layered on top of the stack.
fn agent(sandbox: &Sandbox, name: &str, compose: &str) {
    let dir = sandbox.home().join(name);
    std::fs::create_dir_all(&dir).expect("a directory");
    std::fs::write(dir.join("compose.yaml"), compose).expect("a file");
}

#[test]
fn an_upgrade_recreates_the_other_services_and_restarts_the_workspace() {
    let sandbox = running();
    older(&sandbox);
    let before = ["workspace", "gate", "toolbox"].map(|service| container(&sandbox, service));
    sandbox.forget_calls();
    let steps = did(&sandbox, &["start"]);
    assert!(steps.contains(&"start-services".to_owned()), "{steps:?}");
    let after = ["workspace", "gate", "toolbox"].map(|service| container(&sandbox, service));
    assert_eq!(before[0], after[0]);
    assert!(before[1] != after[1] && before[2] != after[2]);
    // The mounted files have new content under the same names.
    assert_eq!(restarts(&sandbox), 1);
    assert_eq!(did(&sandbox, &["start"]), [] as [&str; 0]);
    assert_eq!(sandbox.refused(), [] as [String; 0]);
}

#[test]
fn work_survives_agents_and_failed_starts() {
    let sandbox = running();
    let made = container(&sandbox, "workspace");
    let is_kept = |after: &str| assert_eq!(container(&sandbox, "workspace"), made, "{after}");
    agent(
        &sandbox,
        "one",
        "services: {toolbox: {environment: {A: '1'}}}\n",
    );
    agent(
        &sandbox,
        "two",
        "services: {workspace: {environment: {A: '2'}}}\n",
    );
    assert_eq!(
        sandbox
            .polis(&["start", "--quiet", "--agent", "one", "--trust-compose"])
            .code,
        Some(0)
    );
    is_kept("an agent that leaves the workspace alone");
    let ran = sandbox.polis(&["start", "--quiet", "--agent", "two", "--trust-compose"]);
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    is_kept("an agent that changes the workspace");

    older(&sandbox);
    let ill = Service {
        fate: Fate::Unhealthy,
        ..Service::default()
    };
    sandbox.set(|state| state.services.insert("gate".into(), ill));
    assert_eq!(sandbox.polis(&["start", "--quiet"]).code, Some(12));
    sandbox.set(|state| state.services.clear());
    is_kept("an upgrade whose gate does not become healthy");

    older(&sandbox);
    let refused = Pull {
        image: "polis-gate-oss".into(),
        message: "denied".into(),
        left: None,
    };
    sandbox.set(|state| state.pulls.push(refused));
    assert_eq!(sandbox.polis(&["start", "--quiet"]).code, Some(11));
    sandbox.set(|state| state.pulls.clear());
    is_kept("an upgrade that cannot pull");

    let ran = sandbox.polis(&["start", "--quiet"]);
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    is_kept("the start that resumes");
    assert_eq!(sandbox.polis(&["stop", "--quiet"]).code, Some(0));
    assert_eq!(sandbox.polis(&["start", "--quiet"]).code, Some(0));
    is_kept("a reboot");
}

#[test]
fn an_upgrade_killed_at_any_call_loses_nothing() {
    let sandbox = running();
    let made = container(&sandbox, "workspace");
    older(&sandbox);
    let plan = document(&sandbox.polis(&["start", "--dry-run", "--json"]));
    let calls: Vec<(String, String)> = planned(&plan)
        .into_iter()
        .filter(|(step, _)| step != "look")
        .map(|(step, call)| (step, args(&call).join(" ")))
        .collect();
    assert!(calls.len() >= 8, "{calls:?}");
    for (step, containing) in calls {
        older(&sandbox);
        let command = containing.split(' ').next().unwrap_or_default();
        sandbox.fault(Fault::of(command, Effect::KillAfter).containing(&containing));
        let ran = sandbox.polis(&["start", "--quiet"]);
        // A call is not made if an earlier one already sufficed.
        assert!(
            ran.signal == Some(9) || ran.code == Some(0),
            "{step}: {}",
            ran.seen()
        );
        sandbox.clear_faults();
        let ran = sandbox.polis(&["start", "--quiet"]);
        assert_eq!(ran.code, Some(0), "{step}: {}", ran.seen());
        assert_eq!(container(&sandbox, "workspace"), made, "{step}");
    }
    assert_eq!(sandbox.refused(), [] as [String; 0]);
}

#[test]
fn a_workspace_with_an_old_image_is_recreated_only_on_request() {
    let sandbox = running();
    older_with(&sandbox, OTHER_IMAGE);
    write_outside(&sandbox);
    let made = container(&sandbox, "workspace");
    sandbox.forget_calls();
    let ran = sandbox.polis(&["start", "--quiet"]);
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    let after = container(&sandbox, "workspace");
    assert_eq!((&after, restarts(&sandbox)), (&made, 0));

    // A start with nothing to do says so, and which decision is pending.
    let ran = sandbox.polis(&["start"]);
    expect![[r#"
        exit 0
        --- stdout
        The workspace is running; there was nothing to do.
          files    /home/polis in the workspace; to copy some: polis cp FILE workspace:
          agents   none; to add one: polis agent add DIR
          blocked  to see blocked requests: polis security pending
          stop     polis stop, which keeps everything
        --- stderr
        note: the workspace's container was created from a different image; it is kept. Recreating it keeps the volumes (/home, /root, Docker's data) and loses the rest:
          93 B in total
          /opt/sdk  (1 file)
          /usr/local  (1 file)
        hint: polis start --recreate-workspace
    "#]]
    .assert_eq(&seen(&ran));
    let status = document(&sandbox.polis(&["status", "--json"]));
    assert_eq!(status["result"]["guest"]["workspace_differs"], "image");
    let plan = document(&sandbox.polis(&["start", "--dry-run", "--json"]));
    assert_eq!(plan["result"]["plan"].as_array().map(Vec::len), Some(0));
    assert_eq!(plan["result"]["workspace_differs"], "image");
    let folders = &plan["result"]["outside_volumes"]["folders"];
    assert_eq!(folders[0]["path"], "/opt/sdk", "{plan:#}");

    let steps = did(&sandbox, &["start", "--recreate-workspace"]);
    assert_eq!(steps, ["start-services", "await-health"]);
    assert_ne!(container(&sandbox, "workspace"), made);
    let again = did(&sandbox, &["start", "--recreate-workspace"]);
    assert_eq!(again, [] as [&str; 0], "the workspace is up to date");
    assert_eq!(sandbox.refused(), [] as [String; 0]);
}

#[test]
fn the_plan_says_that_the_workspace_will_be_recreated() {
    let sandbox = running();
    older_with(&sandbox, OTHER_IMAGE);
    let made = container(&sandbox, "workspace");
    let upgrade = ["start", "--recreate-workspace", "--dry-run"];
    let ran = sandbox.polis(&upgrade);
    assert!(
        ran.stdout
            .contains(" scripts/stack.sh up --recreate --recreate-workspace\n"),
        "{}",
        ran.seen()
    );
    // One start suffices, although only the new bundle says what has changed.
    let ran = sandbox.polis(&upgrade[..2]);
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    assert_ne!(container(&sandbox, "workspace"), made);
    assert_eq!(did(&sandbox, &["start"]), [] as [&str; 0]);
}

#[test]
fn recreating_the_workspace_needs_confirmation() {
    for (answer, kept) in [("\n", true), ("y\n", false)] {
        let sandbox = running();
        older_with(&sandbox, OTHER_IMAGE);
        write_outside(&sandbox);
        let made = container(&sandbox, "workspace");
        let ran = sandbox.polis_on_terminal(&["start", "--quiet"], answer);
        assert_eq!(ran.code, Some(0), "{}", ran.seen());
        let question = "Recreate the workspace's container now? [y/N]";
        assert!(ran.stdout.contains(question), "{}", ran.seen());
        assert!(
            ran.stdout.contains("/usr/local  (1 file)"),
            "{}",
            ran.seen()
        );
        let same = container(&sandbox, "workspace") == made;
        assert_eq!(same, kept, "{answer:?}");
    }
}

#[test]
fn a_definition_changed_by_an_agent_is_distinguished_from_a_different_image() {
    let sandbox = running();
    agent(
        &sandbox,
        "one",
        "services: {workspace: {environment: {A: '1'}}}\n",
    );
    let ran = sandbox.polis(&["start", "--agent", "one", "--trust-compose", "--json"]);
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    let result = &document(&ran)["result"];
    assert_eq!(result["workspace_differs"], "definition");
    assert!(
        ran.stderr
            .contains("definition in the compose files; it is kept"),
        "{}",
        ran.seen()
    );
}
