//! `start`, `stop`, `delete`, `recover`, `purge`.

use fake_multipass::{Effect, Fault, Power, Sandbox};

use crate::{LONG, guest, launch, launched, let_time_pass, run, sh, until};

fn failed(sandbox: &Sandbox, args: &[&str]) -> (Option<i32>, String) {
    let ran = run(sandbox, args);
    (ran.code, ran.stderr)
}

/// Long enough for a call to end that does not wait.
fn linger() {
    std::thread::sleep(std::time::Duration::from_millis(300));
}

#[test]
fn start_explains_why_it_cannot() {
    let sandbox = launched();
    sandbox.set_instance(|instance| instance.power = Power::Suspending);
    let (code, text) = failed(&sandbox, &["start", "polis"]);
    let words = "Cannot start the instance 'polis' while suspending.\n";
    assert!(code == Some(2) && text.ends_with(words), "{text}");
    assert_eq!(sandbox.mutations(), Vec::<String>::new());
}

#[test]
fn start_waits_for_ssh_and_may_time_out() {
    let sandbox = launched();
    run(&sandbox, &["stop", "polis"]);
    sandbox.set(|state| state.timing.boot = LONG);
    let child = sandbox.start_multipass(&["start", "--timeout", "1", "polis"], b"");
    until("it boots", || sandbox.power() == Some(Power::Starting));
    let ran = child.wait();
    assert_eq!(
        (ran.code, ran.stderr.as_str()),
        (Some(5), "Timed out waiting for instance to start.\n")
    );
    // The daemon's timeout is the same as the client's, so it gives up too.
    until("the daemon gives up", || {
        sandbox.power() == Some(Power::Unknown)
    });
    sandbox.set(|state| state.timing.boot = 0);
    assert_eq!(run(&sandbox, &["stop", "--force", "polis"]).code, Some(0));
    assert_eq!(run(&sandbox, &["start", "polis"]).code, Some(0));
    assert_eq!(sandbox.power(), Some(Power::Running));
}

#[test]
fn stop_is_refused_in_states_without_a_power_button() {
    let sandbox = launched();
    for (power, words) in [
        (Power::Starting, "instance polis while starting."),
        (Power::Restarting, "instance polis while starting."),
        (Power::Suspending, "instance polis while suspending."),
        (Power::Suspended, "suspended instance polis."),
    ] {
        sandbox.set_instance(|instance| instance.power = power);
        let told = format!("Cannot shut down {words}\nUse --force to power it off.\n");
        assert_eq!(
            failed(&sandbox, &["stop", "polis"]),
            (Some(2), format!("stop failed: {told}"))
        );
    }
}

#[test]
fn a_first_boot_is_unknown_and_later_ones_are_starting() {
    let sandbox = Sandbox::new();
    sandbox.set(|state| state.timing.boot_lists = 3);
    let child = sandbox.start_multipass(&crate::LAUNCH, crate::CLOUD_INIT.as_bytes());
    until("it is prepared", || sandbox.power().is_some());
    let listed = || run(&sandbox, &["list", "--format", "json"]).stdout;
    for seen in ["Unknown", "Unknown", "Running"] {
        let list = listed();
        assert!(list.contains(&format!("\"{seen}\"")), "{seen}: {list}");
    }
    assert_eq!(child.wait().code, Some(0));
    run(&sandbox, &["stop", "polis"]);
    sandbox.set(|state| state.timing.boot = LONG);
    let _booting = sandbox.start_multipass(&["start", "polis"], b"");
    until("it boots", || sandbox.power() != Some(Power::Stopped));
    assert!(listed().contains("\"Starting\""), "{}", listed());
    assert_eq!(run(&sandbox, &["stop", "polis"]).code, Some(2));
}

#[test]
fn a_machine_that_boots_too_late_stays_unknown_but_is_provisioned() {
    let sandbox = Sandbox::new();
    sandbox.set(|state| state.timing.boot_lists = 1000);
    let args = [&crate::LAUNCH[..], &["--timeout", "1"]].concat();
    let ran = sandbox.multipass(&args, crate::CLOUD_INIT.as_bytes());
    assert_eq!(ran.code, Some(5), "{}", ran.seen());
    // The machine itself is fine; it is only later than the daemon waits.
    sandbox.set_instance(|instance| {
        instance.booted_at = instance.gives_up_at + 1;
        if let Some(run) = &mut instance.provision {
            run.starts_at = instance.booted_at;
        }
    });
    until("it is provisioned", || {
        sandbox.power().is_some() && sandbox.guest_has("/var/lib/polis/provisioned.json")
    });
    assert_eq!(sandbox.power(), Some(Power::Unknown));
    assert_eq!(run(&sandbox, &["stop", "--force", "polis"]).code, Some(0));
    assert_eq!(run(&sandbox, &["start", "polis"]).code, Some(0));
    assert!(sandbox.guest_has("/var/lib/polis/provisioned.json"));
}

#[test]
fn an_early_power_button_is_ignored_and_the_daemon_waits() {
    let sandbox = Sandbox::new();
    sandbox.set(|state| {
        state.timing.boot = LONG;
        state.timing.lost_button = LONG;
    });
    let _launch = sandbox.start_multipass(&crate::LAUNCH, crate::CLOUD_INIT.as_bytes());
    until("it boots", || sandbox.power() == Some(Power::Unknown));
    let stop = sandbox.start_multipass(&["stop", "polis"], b"");
    until("the daemon waits", || sandbox.state().busy_until > 0);
    let mut list = sandbox.start_multipass(&["list", "--no-ipv4"], b"");
    // Even without its client, it keeps waiting.
    stop.kill();
    let mut second = sandbox.start_multipass(&["stop", "polis"], b"");
    until("both have asked", || {
        sandbox.calls_of("list").len() == 1 && sandbox.calls_of("stop").len() == 2
    });
    linger();
    assert!(list.runs() && second.runs());
    assert_eq!(list.stdout(), "");
    sandbox.set(|state| {
        state.timing.lost_button = 0;
        state.busy_until = 0;
    });
    assert_eq!(list.wait().code, Some(0));
    let ran = second.wait();
    assert_eq!(ran.code, Some(2), "{}", ran.seen());
    assert!(ran.stderr.starts_with("stop failed: "), "{}", ran.seen());
    assert_eq!(sandbox.power(), Some(Power::Unknown));
}

#[test]
fn calls_wait_for_a_shutdown_but_not_for_a_launch() {
    let sandbox = Sandbox::new();
    sandbox.set(|state| state.timing.provision = LONG);
    let launch = sandbox.start_multipass(&crate::LAUNCH, crate::CLOUD_INIT.as_bytes());
    until("it runs", || sandbox.power() == Some(Power::Running));
    assert_eq!(sh(&sandbox, "true").code, Some(0));
    assert_eq!(run(&sandbox, &["list"]).code, Some(0));
    let_time_pass(&sandbox);
    assert_eq!(launch.wait().code, Some(0));

    sandbox.set(|state| state.timing.shutdown = LONG);
    let mut stop = sandbox.start_multipass(&["stop", "polis"], b"");
    until("the daemon waits", || sandbox.state().busy_until > 0);
    let mut waiting = [
        &["list", "--format", "json"][..],
        &["exec", "-n", "polis", "--", "true"],
        &["version"],
    ]
    .map(|args| sandbox.start_multipass(args, b""));
    until("all have asked", || sandbox.calls_of("version").len() == 1);
    linger();
    assert!(stop.runs() && waiting.iter_mut().all(fake_multipass::Running::runs));
    sandbox.set(|state| state.busy_until = 0);
    let [list, exec, version] = waiting.map(|child| child.wait());
    assert_eq!(list.code, Some(0), "{}", list.seen());
    assert_eq!((exec.code, version.code), (Some(0), Some(0)));
    assert_eq!(stop.wait().code, Some(0));
}

#[test]
fn a_request_may_keep_the_daemon_busy() {
    let sandbox = Sandbox::new();
    sandbox.fault(Fault::of("list", Effect::Busy(LONG)));
    let mut first = sandbox.start_multipass(&["list"], b"");
    until("the daemon is busy", || sandbox.state().busy_until > 0);
    let mut behind = sandbox.start_multipass(&["list", "--no-ipv4"], b"");
    until("the second has asked", || {
        sandbox.calls_of("list").len() == 2
    });
    linger();
    assert!(first.runs() && behind.runs());
    sandbox.set(|state| state.busy_until = 0);
    assert_eq!((first.wait().code, behind.wait().code), (Some(0), Some(0)));
}

#[test]
fn a_deleted_machine_can_be_recovered_until_it_is_purged() {
    let sandbox = launched();
    sandbox.write_guest("/home/ubuntu/kept", "x");
    assert_eq!(run(&sandbox, &["delete", "polis"]).seen(), "exit 0\n");
    assert_eq!(run(&sandbox, &["delete", "polis"]).seen(), "exit 0\n");
    assert_eq!(sandbox.power(), Some(Power::Deleted));
    assert_eq!(run(&sandbox, &["recover", "polis"]).code, Some(0));
    assert_eq!(sandbox.power(), Some(Power::Stopped));
    assert_eq!(run(&sandbox, &["start", "polis"]).code, Some(0));
    assert_eq!(guest(&sandbox, "cat kept"), "x");
    run(&sandbox, &["delete", "polis"]);
    assert_eq!(
        run(&sandbox, &["delete", "--purge", "polis"]).seen(),
        "exit 0\n"
    );
    let words =
        "delete failed: The following errors occurred:\ninstance \"polis\" does not exist\n";
    assert_eq!(
        failed(&sandbox, &["delete", "polis"]),
        (Some(2), words.to_owned())
    );
}

#[test]
fn a_bare_purge_removes_every_deleted_machine() {
    let sandbox = launched();
    assert_eq!(run(&sandbox, &["launch", "--name", "other"]).code, Some(0));
    assert_eq!(run(&sandbox, &["launch", "--name", "kept"]).code, Some(0));
    run(&sandbox, &["delete", "other", "polis"]);
    assert_eq!(run(&sandbox, &["purge"]).code, Some(0));
    let names: Vec<String> = sandbox
        .state()
        .instances
        .into_iter()
        .map(|found| found.name)
        .collect();
    assert_eq!(names, ["kept"]);
}

#[test]
fn a_machine_stopped_while_provisioning_never_resumes_on_its_own() {
    let sandbox = Sandbox::new();
    sandbox.set(|state| state.timing.provision = 60_000);
    let child = sandbox.start_multipass(&crate::LAUNCH, crate::CLOUD_INIT.as_bytes());
    until("it runs", || sandbox.power() == Some(Power::Running));
    assert_eq!(run(&sandbox, &["stop", "polis"]).code, Some(0));
    drop(child);
    sandbox.set(|state| state.timing.provision = 0);
    run(&sandbox, &["start", "polis"]);
    assert_eq!(guest(&sandbox, "cloud-init status"), "status: done\n");
    assert!(!sandbox.guest_has("/var/lib/polis/provisioned.json"));
    assert_eq!(sh(&sandbox, "docker info").code, Some(127));
    let again = "sudo -n systemd-run --unit=polis-provision /usr/local/lib/polis/provision.sh";
    guest(&sandbox, again);
    assert!(sandbox.guest_has("/var/lib/polis/provisioned.json"));
}

#[test]
fn running_commands_end_with_the_machine() {
    let sandbox = Sandbox::new();
    launch(&sandbox);
    let child = sandbox.start_multipass(&["exec", "-n", "polis", "--", "sleep", "6000"], b"");
    until("the command runs", || {
        !sandbox.calls_of("exec").is_empty() && sandbox.guest_has("/run/commands")
    });
    std::thread::sleep(std::time::Duration::from_millis(100));
    run(&sandbox, &["stop", "polis"]);
    assert_eq!(child.wait().code, Some(255));
}

#[test]
fn the_machine_is_suspended_with_the_daemon() {
    let sandbox = launched();
    sandbox.stop_daemon();
    assert_eq!(run(&sandbox, &["list"]).code, Some(2));
    assert_eq!(sandbox.power(), Some(Power::Suspended));
    sandbox.start_daemon();
    assert_eq!(sandbox.power(), Some(Power::Running));
    assert_eq!(sh(&sandbox, "true").code, Some(0));
}
