//! `start`, `stop`, `delete`, `recover`, `purge`.

use fake_multipass::{Power, World};

use crate::{LONG, guest, launch, launched, let_time_pass, run, sh, until};

fn failed(world: &World, args: &[&str]) -> (Option<i32>, String) {
    let ran = run(world, args);
    (ran.code, ran.stderr)
}

#[test]
fn start_is_0_when_it_runs_and_says_what_it_cannot() {
    let world = launched();
    assert_eq!(run(&world, &["start", "polis"]).seen(), "exit 0\n");
    let missing = "start failed: instance(s) missing\nInstance 'b' does not exist.\n";
    assert_eq!(
        failed(&world, &["start", "b"]),
        (Some(2), missing.to_owned())
    );
    world.set_instance(|instance| instance.power = Power::Unknown);
    let unknown = "start failed: Instance 'polis' is already running, but in an unknown state.\nTry to stop it first.\n";
    assert_eq!(
        failed(&world, &["start", "polis"]),
        (Some(2), unknown.to_owned())
    );
    world.set_instance(|instance| instance.power = Power::Deleted);
    let (code, text) = failed(&world, &["start", "polis"]);
    assert!(
        code == Some(2) && text.contains("is deleted. Use 'recover' to recover it."),
        "{text}"
    );
    assert_eq!(world.mutations(), Vec::<String>::new());
}

#[test]
fn start_waits_for_ssh_and_may_run_out_of_time() {
    let world = launched();
    run(&world, &["stop", "polis"]);
    world.set(|state| state.timing.boot = LONG);
    let (code, text) = failed(&world, &["start", "--timeout", "1", "polis"]);
    assert_eq!(
        (code, text.as_str()),
        (Some(5), "Timed out waiting for instance to start.\n")
    );
    assert_eq!(world.power(), Some(Power::Starting));
    let_time_pass(&world);
    assert_eq!(run(&world, &["start", "polis"]).code, Some(0));
    assert_eq!(world.power(), Some(Power::Running));
}

#[test]
fn stop_knows_what_it_cannot_shut_down() {
    let world = launched();
    assert_eq!(run(&world, &["stop", "polis"]).code, Some(0));
    assert_eq!(run(&world, &["stop", "polis"]).seen(), "exit 0\n");
    for power in [Power::Starting, Power::Suspended] {
        world.set_instance(|instance| instance.power = power);
        let (code, text) = failed(&world, &["stop", "polis"]);
        assert!(
            code == Some(2) && text.starts_with("stop failed: Cannot shut down"),
            "{text}"
        );
        assert!(text.ends_with("Use --force to power it off.\n"), "{text}");
    }
    assert_eq!(run(&world, &["stop", "--force", "polis"]).code, Some(0));
    assert_eq!(world.power(), Some(Power::Stopped));
}

#[test]
fn what_is_deleted_can_be_recovered_until_it_is_purged() {
    let world = launched();
    world.write_guest("/home/ubuntu/kept", "x");
    assert_eq!(run(&world, &["delete", "polis"]).seen(), "exit 0\n");
    assert_eq!(run(&world, &["delete", "polis"]).seen(), "exit 0\n");
    assert_eq!(world.power(), Some(Power::Deleted));
    assert_eq!(run(&world, &["recover", "polis"]).code, Some(0));
    assert_eq!(world.power(), Some(Power::Stopped));
    assert_eq!(run(&world, &["start", "polis"]).code, Some(0));
    assert_eq!(guest(&world, "cat kept"), "x");
    run(&world, &["delete", "polis"]);
    assert_eq!(
        run(&world, &["delete", "--purge", "polis"]).seen(),
        "exit 0\n"
    );
    let words =
        "delete failed: The following errors occurred:\ninstance \"polis\" does not exist\n";
    assert_eq!(
        failed(&world, &["delete", "polis"]),
        (Some(2), words.to_owned())
    );
}

#[test]
fn a_bare_purge_removes_every_deleted_machine() {
    let world = launched();
    assert_eq!(run(&world, &["launch", "--name", "other"]).code, Some(0));
    assert_eq!(run(&world, &["launch", "--name", "kept"]).code, Some(0));
    run(&world, &["delete", "other", "polis"]);
    assert_eq!(run(&world, &["purge"]).code, Some(0));
    let names: Vec<String> = world
        .state()
        .instances
        .into_iter()
        .map(|found| found.name)
        .collect();
    assert_eq!(names, ["kept"]);
}

#[test]
fn a_machine_that_stops_half_way_is_never_provisioned_by_itself() {
    let world = World::new();
    world.set(|state| state.timing.provision = 60_000);
    let child = world.start_multipass(&crate::LAUNCH, crate::CLOUD_INIT.as_bytes());
    until("it runs", || world.power() == Some(Power::Running));
    assert_eq!(run(&world, &["stop", "polis"]).code, Some(0));
    drop(child);
    world.set(|state| state.timing.provision = 0);
    run(&world, &["start", "polis"]);
    assert_eq!(guest(&world, "cloud-init status"), "status: done\n");
    assert!(!world.guest_has("/var/lib/polis/provisioned.json"));
    assert_eq!(sh(&world, "docker info").code, Some(127));
    guest(&world, "sudo -n /usr/local/lib/polis/provision.sh");
    assert!(world.guest_has("/var/lib/polis/provisioned.json"));
}

#[test]
fn commands_under_way_end_with_the_machine() {
    let world = World::new();
    launch(&world);
    let child = world.start_multipass(&["exec", "-n", "polis", "--", "sleep", "6000"], b"");
    until("the command runs", || {
        !world.calls_of("exec").is_empty() && world.guest_has("/run/commands")
    });
    std::thread::sleep(std::time::Duration::from_millis(100));
    run(&world, &["stop", "polis"]);
    assert_eq!(child.wait().code, Some(255));
}
