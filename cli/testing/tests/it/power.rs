//! `start`, `stop`, `delete`, `recover`, `purge`.

use fake_multipass::{Effect, Fault, Power, World};

use crate::{LONG, guest, launch, launched, let_time_pass, run, sh, until};

fn failed(world: &World, args: &[&str]) -> (Option<i32>, String) {
    let ran = run(world, args);
    (ran.code, ran.stderr)
}

/// Long enough for a call that does not wait to have ended.
fn linger() {
    std::thread::sleep(std::time::Duration::from_millis(300));
}

#[test]
fn start_says_what_it_cannot() {
    let world = launched();
    world.set_instance(|instance| instance.power = Power::Suspending);
    let (code, text) = failed(&world, &["start", "polis"]);
    let words = "Cannot start the instance 'polis' while suspending.\n";
    assert!(code == Some(2) && text.ends_with(words), "{text}");
    assert_eq!(world.mutations(), Vec::<String>::new());
}

#[test]
fn start_waits_for_ssh_and_may_run_out_of_time() {
    let world = launched();
    run(&world, &["stop", "polis"]);
    world.set(|state| state.timing.boot = LONG);
    let child = world.start_multipass(&["start", "--timeout", "1", "polis"], b"");
    until("it boots", || world.power() == Some(Power::Starting));
    let ran = child.wait();
    assert_eq!(
        (ran.code, ran.stderr.as_str()),
        (Some(5), "Timed out waiting for instance to start.\n")
    );
    // The daemon had as much time as the client, and gives up too.
    until("the daemon gives up", || {
        world.power() == Some(Power::Unknown)
    });
    world.set(|state| state.timing.boot = 0);
    assert_eq!(run(&world, &["stop", "--force", "polis"]).code, Some(0));
    assert_eq!(run(&world, &["start", "polis"]).code, Some(0));
    assert_eq!(world.power(), Some(Power::Running));
}

#[test]
fn stop_presses_no_button_in_states_that_have_none() {
    let world = launched();
    for (power, words) in [
        (Power::Starting, "instance polis while starting."),
        (Power::Restarting, "instance polis while starting."),
        (Power::Suspending, "instance polis while suspending."),
        (Power::Suspended, "suspended instance polis."),
    ] {
        world.set_instance(|instance| instance.power = power);
        let told = format!("Cannot shut down {words}\nUse --force to power it off.\n");
        assert_eq!(
            failed(&world, &["stop", "polis"]),
            (Some(2), format!("stop failed: {told}"))
        );
    }
}

#[test]
fn a_first_boot_is_unknown_and_a_later_one_starting() {
    let world = World::new();
    world.set(|state| state.timing.boot_lists = 3);
    let child = world.start_multipass(&crate::LAUNCH, crate::CLOUD_INIT.as_bytes());
    until("it is prepared", || world.power().is_some());
    let listed = || run(&world, &["list", "--format", "json"]).stdout;
    for seen in ["Unknown", "Unknown", "Running"] {
        let list = listed();
        assert!(list.contains(&format!("\"{seen}\"")), "{seen}: {list}");
    }
    assert_eq!(child.wait().code, Some(0));
    run(&world, &["stop", "polis"]);
    world.set(|state| state.timing.boot = LONG);
    let _booting = world.start_multipass(&["start", "polis"], b"");
    until("it boots", || world.power() != Some(Power::Stopped));
    assert!(listed().contains("\"Starting\""), "{}", listed());
    assert_eq!(run(&world, &["stop", "polis"]).code, Some(2));
}

#[test]
fn a_machine_that_is_not_up_in_time_stays_unknown_and_provisions_itself() {
    let world = World::new();
    world.set(|state| state.timing.boot_lists = 1000);
    let args = [&crate::LAUNCH[..], &["--timeout", "1"]].concat();
    let ran = world.multipass(&args, crate::CLOUD_INIT.as_bytes());
    assert_eq!(ran.code, Some(5), "{}", ran.seen());
    // The machine itself is well, only later than the daemon waits.
    world.set_instance(|instance| {
        instance.booted_at = instance.gives_up_at + 1;
        if let Some(run) = &mut instance.provision {
            run.starts_at = instance.booted_at;
        }
    });
    until("it is provisioned", || {
        world.power().is_some() && world.guest_has("/var/lib/polis/provisioned.json")
    });
    assert_eq!(world.power(), Some(Power::Unknown));
    assert_eq!(run(&world, &["stop", "--force", "polis"]).code, Some(0));
    assert_eq!(run(&world, &["start", "polis"]).code, Some(0));
    assert!(world.guest_has("/var/lib/polis/provisioned.json"));
}

#[test]
fn an_early_power_button_is_lost_and_the_daemon_waits_for_it() {
    let world = World::new();
    world.set(|state| {
        state.timing.boot = LONG;
        state.timing.lost_button = LONG;
    });
    let _launch = world.start_multipass(&crate::LAUNCH, crate::CLOUD_INIT.as_bytes());
    until("it boots", || world.power() == Some(Power::Unknown));
    let stop = world.start_multipass(&["stop", "polis"], b"");
    until("the daemon waits", || world.state().busy_until > 0);
    let mut list = world.start_multipass(&["list", "--no-ipv4"], b"");
    // Without its client it goes on waiting.
    stop.kill();
    let mut second = world.start_multipass(&["stop", "polis"], b"");
    until("both have asked", || {
        world.calls_of("list").len() == 1 && world.calls_of("stop").len() == 2
    });
    linger();
    assert!(list.runs() && second.runs());
    assert_eq!(list.stdout(), "");
    world.set(|state| {
        state.timing.lost_button = 0;
        state.busy_until = 0;
    });
    assert_eq!(list.wait().code, Some(0));
    let ran = second.wait();
    assert_eq!(ran.code, Some(2), "{}", ran.seen());
    assert!(ran.stderr.starts_with("stop failed: "), "{}", ran.seen());
    assert_eq!(world.power(), Some(Power::Unknown));
}

#[test]
fn calls_wait_for_a_shutdown_and_not_for_a_launch() {
    let world = World::new();
    world.set(|state| state.timing.provision = LONG);
    let launch = world.start_multipass(&crate::LAUNCH, crate::CLOUD_INIT.as_bytes());
    until("it runs", || world.power() == Some(Power::Running));
    assert_eq!(sh(&world, "true").code, Some(0));
    assert_eq!(run(&world, &["list"]).code, Some(0));
    let_time_pass(&world);
    assert_eq!(launch.wait().code, Some(0));

    world.set(|state| state.timing.shutdown = LONG);
    let mut stop = world.start_multipass(&["stop", "polis"], b"");
    until("the daemon waits", || world.state().busy_until > 0);
    let mut waiting = [
        &["list", "--format", "json"][..],
        &["exec", "-n", "polis", "--", "true"],
        &["version"],
    ]
    .map(|args| world.start_multipass(args, b""));
    until("all have asked", || world.calls_of("version").len() == 1);
    linger();
    assert!(stop.runs() && waiting.iter_mut().all(fake_multipass::Running::runs));
    world.set(|state| state.busy_until = 0);
    let [list, exec, version] = waiting.map(|child| child.wait());
    assert_eq!(list.code, Some(0), "{}", list.seen());
    assert_eq!((exec.code, version.code), (Some(0), Some(0)));
    assert_eq!(stop.wait().code, Some(0));
}

#[test]
fn a_request_may_keep_the_daemon_busy() {
    let world = World::new();
    world.fault(Fault::of("list", Effect::Busy(LONG)));
    let mut first = world.start_multipass(&["list"], b"");
    until("the daemon is busy", || world.state().busy_until > 0);
    let mut behind = world.start_multipass(&["list", "--no-ipv4"], b"");
    until("the second has asked", || world.calls_of("list").len() == 2);
    linger();
    assert!(first.runs() && behind.runs());
    world.set(|state| state.busy_until = 0);
    assert_eq!((first.wait().code, behind.wait().code), (Some(0), Some(0)));
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
    let again = "sudo -n systemd-run --unit=polis-provision /usr/local/lib/polis/provision.sh";
    guest(&world, again);
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

#[test]
fn the_daemon_takes_the_machine_along() {
    let world = launched();
    world.stop_daemon();
    assert_eq!(run(&world, &["list"]).code, Some(2));
    assert_eq!(world.power(), Some(Power::Suspended));
    world.start_daemon();
    assert_eq!(world.power(), Some(Power::Running));
    assert_eq!(sh(&world, "true").code, Some(0));
}
