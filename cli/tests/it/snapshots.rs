//! Snapshots restore the VM, in whatever state it is, and nothing is lost without confirmation.

use std::path::Path;

use expect_test::expect;
use fake_multipass::{Effect, Fault, Power, Sandbox};

use crate::support::{commands, document, running, sandbox, seen};

const FILE: &str = "/var/lib/docker/volumes/polis_workspace-home/_data/work";

fn create(sandbox: &Sandbox, name: &str) {
    let ran = sandbox.polis(&["snapshot", "create", name, "--yes", "--quiet"]);
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
}

#[test]
fn a_restore_brings_the_vm_back() {
    let sandbox = running();
    sandbox.write_guest(FILE, "before");
    let ran = sandbox.polis(&["snapshot", "create", "--yes", "--json"]);
    let result = document(&ran)["result"].clone();
    assert_eq!(result["name"], "snapshot1");
    assert_eq!(result["restarted"], true);
    assert_eq!(
        commands(&sandbox),
        ["list", "list", "stop", "snapshot", "start"]
    );
    assert_eq!(sandbox.power(), Some(Power::Running));

    sandbox.write_guest(FILE, "after");
    create(&sandbox, "second");
    let ran = sandbox.polis(&["snapshot", "restore", "snapshot1", "--yes", "--quiet"]);
    expect![[r#"
        exit 0
        --- stdout
        The snapshot `snapshot1` is restored. The VM is running again, and its services are starting. Next: polis start
    "#]]
    .assert_eq(&seen(&ran));
    assert_eq!(sandbox.read_guest(FILE), "before");
    assert_eq!(sandbox.polis(&["start", "--quiet"]).code, Some(0));
    // And back again.
    let ran = sandbox.polis(&["snapshot", "restore", "second", "--yes", "--quiet"]);
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    assert_eq!(sandbox.read_guest(FILE), "after");
    let listed = sandbox.polis(&["snapshot", "list"]);
    assert_eq!(listed.stdout, "second  after snapshot1\nsnapshot1\n");
    let listed = document(&sandbox.polis(&["snapshot", "list", "--json"]));
    assert_eq!(listed["result"]["snapshots"][0]["parent"], "snapshot1");
    let ran = sandbox.polis(&["snapshot", "delete", "snapshot1", "--yes"]);
    assert_eq!(
        ran.stdout,
        "The snapshot `snapshot1` is deleted.\n",
        "{}",
        ran.seen()
    );
    assert_eq!(sandbox.polis(&["snapshot", "list"]).stdout, "second\n");
    assert_eq!(sandbox.refused(), [""; 0]);
    let ran = sandbox.polis(&["delete", "--purge", "--yes"]);
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    assert!(!sandbox.dir().join("snapshot-polis.second").exists());
}

#[test]
fn a_stopped_vm_stays_stopped() {
    let sandbox = running();
    assert_eq!(sandbox.polis(&["stop", "--quiet"]).code, Some(0));
    sandbox.forget_calls();
    let ran = sandbox.polis(&["snapshot", "create", "cold", "--quiet"]);
    assert_eq!(
        ran.code,
        Some(0),
        "no confirmation is needed: {}",
        ran.seen()
    );
    let ran = sandbox.polis(&["snapshot", "restore", "cold", "--yes", "--json"]);
    assert_eq!(document(&ran)["result"]["restarted"], false);
    assert_eq!(sandbox.power(), Some(Power::Stopped));
    assert!(sandbox.calls_of("start").is_empty() && sandbox.calls_of("stop").is_empty());
}

#[test]
fn stopping_the_vm_and_losing_data_need_confirmation() {
    let sandbox = running();
    create(&sandbox, "kept");
    sandbox.forget_calls();
    for (args, next) in [
        (&["create", "x"][..], "polis snapshot create x --yes"),
        (&["restore", "kept"], "polis snapshot restore kept --yes"),
        (&["delete", "kept"], "polis snapshot delete kept --yes"),
    ] {
        let words = [&["snapshot"], args].concat();
        let ran = sandbox.polis(&[&words[..], &["--json"]].concat());
        let document = document(&ran);
        assert_eq!(ran.code, Some(2), "{}", ran.seen());
        assert_eq!(document["error"]["next"][0], next);
        if Path::new("/usr/bin/script").exists() {
            let ran = sandbox.polis_on_terminal(&words, "n\n");
            assert_eq!(ran.code, Some(0), "{}", ran.seen());
            assert!(
                ran.stdout.contains("Nothing was changed."),
                "{}",
                ran.seen()
            );
            let warns = ["permanently lost", "everything that runs in it"];
            assert!(
                warns.iter().any(|words| ran.stdout.contains(words)),
                "{}",
                ran.seen()
            );
        }
    }
    assert_eq!(sandbox.mutations(), [""; 0]);
    if Path::new("/usr/bin/script").exists() {
        let ran = sandbox.polis_on_terminal(&["snapshot", "delete", "kept"], "y\n");
        assert!(ran.stdout.contains("is deleted"), "{}", ran.seen());
    }
}

#[test]
fn errors_are_reported_before_the_vm_is_stopped() {
    let sandbox = running();
    create(&sandbox, "kept");
    sandbox.forget_calls();
    for (args, says) in [
        (
            &["create", "kept", "--yes"][..],
            "there is already a snapshot `kept`",
        ),
        (&["create", "a.b", "--yes"], "invalid snapshot name `a.b`"),
        (&["restore", "none", "--yes"], "there is no snapshot `none`"),
        (&["delete", "none", "--yes"], "there is no snapshot `none`"),
    ] {
        let ran = sandbox.polis(&[&["snapshot"], args].concat());
        assert_eq!(ran.code, Some(2), "{}", ran.seen());
        assert!(ran.stderr.contains(says), "{}", ran.seen());
    }
    for (power, code) in [
        (Power::Suspended, 15),
        (Power::Unknown, 15),
        (Power::DelayedShutdown, 15),
        (Power::Deleted, 7),
    ] {
        sandbox.set_instance(|instance| instance.power = power);
        let ran = sandbox.polis(&["snapshot", "create", "x", "--yes"]);
        assert_eq!(ran.code, Some(code), "{power:?} {}", ran.seen());
        assert!(ran.stderr.contains("hint: "), "{}", ran.seen());
    }
    assert_eq!(sandbox.mutations(), [""; 0]);
    let none = crate::support::sandbox();
    assert_eq!(none.polis(&["snapshot", "create"]).code, Some(13));
    let ran = none.polis(&["snapshot", "list"]);
    assert_eq!(
        ran.stdout,
        "There is no snapshot. To take one: polis snapshot create\n"
    );
}

#[test]
fn the_vm_runs_again_after_a_failed_snapshot() {
    let sandbox = running();
    let stderr = "snapshot failed: The snapshots feature is not implemented on this backend.\n";
    let effect = Effect::Exit {
        code: 2,
        stderr: stderr.to_owned(),
    };
    sandbox.fault(Fault::of("snapshot", effect));
    let ran = sandbox.polis(&["snapshot", "create", "x", "--yes", "--quiet"]);
    expect![[r#"
        exit 15
        --- stderr
        error: could not take the snapshot
          caused by: snapshot failed: The snapshots feature is not implemented on this backend.
          tried: multipass snapshot --name x polis
          hint: polis snapshot list
          hint: polis doctor
    "#]]
    .assert_eq(&seen(&ran));
    assert_eq!(sandbox.power(), Some(Power::Running));
    // Killed halfway: the next start resumes.
    sandbox.fault(Fault::of("snapshot", Effect::KillAfter));
    sandbox.polis(&["snapshot", "create", "x", "--yes", "--quiet"]);
    assert_eq!(sandbox.power(), Some(Power::Stopped));
    assert_eq!(sandbox.polis(&["start", "--quiet"]).code, Some(0));
    assert_eq!(sandbox.polis(&["snapshot", "list"]).stdout, "x\n");
}

#[test]
fn each_workspace_has_its_own_snapshots() {
    let sandbox = sandbox();
    let two = ["--name", "two", "--quiet"];
    assert_eq!(
        sandbox.polis(&[&two[..], &["start"]].concat()).code,
        Some(0)
    );
    let ran = sandbox.polis(&[&two[..], &["snapshot", "create", "x", "--yes"]].concat());
    assert!(
        ran.stdout.ends_with("Next: polis --name two start\n"),
        "{}",
        ran.seen()
    );
    let ran = sandbox.polis(&["snapshot", "list", "--name", "two"]);
    assert_eq!(ran.stdout, "x\n");
    assert!(
        sandbox
            .polis(&["snapshot", "list"])
            .stdout
            .starts_with("There is no snapshot")
    );
}
