//! Snapshots: the VM as it was, whatever state it is in, and nothing lost without a yes.

use std::path::Path;

use expect_test::expect;
use fake_multipass::{Effect, Fault, Power, World};

use crate::support::{commands, document, running, seen, world};

const FILE: &str = "/var/lib/docker/volumes/polis_workspace-home/_data/work";

fn create(world: &World, name: &str) {
    let ran = world.polis(&["snapshot", "create", name, "--yes", "--quiet"]);
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
}

#[test]
fn the_vm_is_as_it_was() {
    let world = running();
    world.write_guest(FILE, "before");
    let ran = world.polis(&["snapshot", "create", "--yes", "--json"]);
    let result = document(&ran)["result"].clone();
    assert_eq!(result["name"], "snapshot1");
    assert_eq!(result["restarted"], true);
    assert_eq!(
        commands(&world),
        ["list", "list", "stop", "snapshot", "start"]
    );
    assert_eq!(world.power(), Some(Power::Running));

    world.write_guest(FILE, "after");
    create(&world, "second");
    let ran = world.polis(&["snapshot", "restore", "snapshot1", "--yes", "--quiet"]);
    expect![[r#"
        exit 0
        --- stdout
        The snapshot `snapshot1` is restored. The VM is running again, and its services are starting. Next: polis start
    "#]]
    .assert_eq(&seen(&ran));
    assert_eq!(world.read_guest(FILE), "before");
    assert_eq!(world.polis(&["start", "--quiet"]).code, Some(0));
    // And the other way.
    let ran = world.polis(&["snapshot", "restore", "second", "--yes", "--quiet"]);
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    assert_eq!(world.read_guest(FILE), "after");
    let listed = world.polis(&["snapshot", "list"]);
    assert_eq!(listed.stdout, "second  after snapshot1\nsnapshot1\n");
    let listed = document(&world.polis(&["snapshot", "list", "--json"]));
    assert_eq!(listed["result"]["snapshots"][0]["parent"], "snapshot1");
    let ran = world.polis(&["snapshot", "delete", "snapshot1", "--yes"]);
    assert_eq!(
        ran.stdout,
        "The snapshot `snapshot1` is deleted.\n",
        "{}",
        ran.seen()
    );
    assert_eq!(world.polis(&["snapshot", "list"]).stdout, "second\n");
    assert_eq!(world.refused(), [""; 0]);
    let ran = world.polis(&["delete", "--purge", "--yes"]);
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    assert!(!world.dir().join("snapshot-polis.second").exists());
}

#[test]
fn a_vm_that_is_stopped_stays_so() {
    let world = running();
    assert_eq!(world.polis(&["stop", "--quiet"]).code, Some(0));
    world.forget_calls();
    let ran = world.polis(&["snapshot", "create", "cold", "--quiet"]);
    assert_eq!(ran.code, Some(0), "nothing is to be asked: {}", ran.seen());
    let ran = world.polis(&["snapshot", "restore", "cold", "--yes", "--json"]);
    assert_eq!(document(&ran)["result"]["restarted"], false);
    assert_eq!(world.power(), Some(Power::Stopped));
    assert!(world.calls_of("start").is_empty() && world.calls_of("stop").is_empty());
}

#[test]
fn nothing_is_stopped_or_lost_without_a_yes() {
    let world = running();
    create(&world, "kept");
    world.forget_calls();
    for (args, next) in [
        (&["create", "x"][..], "polis snapshot create x --yes"),
        (&["restore", "kept"], "polis snapshot restore kept --yes"),
        (&["delete", "kept"], "polis snapshot delete kept --yes"),
    ] {
        let words = [&["snapshot"], args].concat();
        let ran = world.polis(&[&words[..], &["--json"]].concat());
        let document = document(&ran);
        assert_eq!(ran.code, Some(2), "{}", ran.seen());
        assert_eq!(document["error"]["next"][0], next);
        if Path::new("/usr/bin/script").exists() {
            let ran = world.polis_on_terminal(&words, "n\n");
            assert_eq!(ran.code, Some(0), "{}", ran.seen());
            assert!(
                ran.stdout.contains("Nothing was changed."),
                "{}",
                ran.seen()
            );
            let warns = ["lost for good", "everything that runs in it"];
            assert!(
                warns.iter().any(|words| ran.stdout.contains(words)),
                "{}",
                ran.seen()
            );
        }
    }
    assert_eq!(world.mutations(), [""; 0]);
    if Path::new("/usr/bin/script").exists() {
        let ran = world.polis_on_terminal(&["snapshot", "delete", "kept"], "y\n");
        assert!(ran.stdout.contains("is deleted"), "{}", ran.seen());
    }
}

#[test]
fn what_cannot_be_done_is_said_before_the_vm_is_stopped() {
    let world = running();
    create(&world, "kept");
    world.forget_calls();
    for (args, says) in [
        (
            &["create", "kept", "--yes"][..],
            "there is already a snapshot `kept`",
        ),
        (
            &["create", "a.b", "--yes"],
            "invalid name `a.b` of a snapshot",
        ),
        (&["restore", "none", "--yes"], "there is no snapshot `none`"),
        (&["delete", "none", "--yes"], "there is no snapshot `none`"),
    ] {
        let ran = world.polis(&[&["snapshot"], args].concat());
        assert_eq!(ran.code, Some(2), "{}", ran.seen());
        assert!(ran.stderr.contains(says), "{}", ran.seen());
    }
    for (power, code) in [
        (Power::Suspended, 15),
        (Power::Unknown, 15),
        (Power::DelayedShutdown, 15),
        (Power::Deleted, 7),
    ] {
        world.set_instance(|instance| instance.power = power);
        let ran = world.polis(&["snapshot", "create", "x", "--yes"]);
        assert_eq!(ran.code, Some(code), "{power:?} {}", ran.seen());
        assert!(ran.stderr.contains("hint: "), "{}", ran.seen());
    }
    assert_eq!(world.mutations(), [""; 0]);
    let none = crate::support::world();
    assert_eq!(none.polis(&["snapshot", "create"]).code, Some(13));
    let ran = none.polis(&["snapshot", "list"]);
    assert_eq!(
        ran.stdout,
        "There is no snapshot. To take one: polis snapshot create\n"
    );
}

#[test]
fn a_snapshot_that_fails_leaves_a_vm_that_runs() {
    let world = running();
    let stderr = "snapshot failed: The snapshots feature is not implemented on this backend.\n";
    let effect = Effect::Exit {
        code: 2,
        stderr: stderr.to_owned(),
    };
    world.fault(Fault::of("snapshot", effect));
    let ran = world.polis(&["snapshot", "create", "x", "--yes", "--quiet"]);
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
    assert_eq!(world.power(), Some(Power::Running));
    // Killed in the middle: the next start goes on.
    world.fault(Fault::of("snapshot", Effect::KillAfter));
    world.polis(&["snapshot", "create", "x", "--yes", "--quiet"]);
    assert_eq!(world.power(), Some(Power::Stopped));
    assert_eq!(world.polis(&["start", "--quiet"]).code, Some(0));
    assert_eq!(world.polis(&["snapshot", "list"]).stdout, "x\n");
}

#[test]
fn a_name_of_a_workspace_has_snapshots_of_its_own() {
    let world = world();
    let two = ["--name", "two", "--quiet"];
    assert_eq!(world.polis(&[&two[..], &["start"]].concat()).code, Some(0));
    let ran = world.polis(&[&two[..], &["snapshot", "create", "x", "--yes"]].concat());
    assert!(
        ran.stdout.ends_with("Next: polis --name two start\n"),
        "{}",
        ran.seen()
    );
    let ran = world.polis(&["snapshot", "list", "--name", "two"]);
    assert_eq!(ran.stdout, "x\n");
    assert!(
        world
            .polis(&["snapshot", "list"])
            .stdout
            .starts_with("There is no snapshot")
    );
}
