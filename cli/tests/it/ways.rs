//! The ways of the real Multipass that were seen to break `polis`: what its page calls "seen on the real one", each as a
//! user meets it.

use std::time::{Duration, Instant};

use expect_test::expect;
use fake_multipass::{Access, Effect, Fault, Power, World};

use crate::faults::{start, with};
use crate::support::{commands, did, document, launches, running, seen, world};

/// Waits until `there`, or for as long as a slow machine may take.
fn wait_until(there: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    while !there() && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// What the daemon says of a VM whose SSH it has never seen, as on a first boot.
fn says_unknown(world: &World) {
    world.set_instance(|instance| instance.power = Power::Unknown);
}

fn exits(code: u8, stderr: &str) -> Effect {
    Effect::Exit {
        code,
        stderr: stderr.to_owned(),
    }
}

#[test]
fn an_interrupted_first_launch_is_gone_on_with() {
    let world = world();
    // The first boot ends with the tenth `list`: some of the first start, some of the second.
    world.set(|state| state.timing.boot_lists = 10);
    let started = world.start_polis(&["start"]);
    wait_until(|| world.power() == Some(Power::Unknown));
    started.interrupt();
    let ran = started.wait();
    assert_eq!(ran.code, Some(130), "{}", ran.seen());
    assert_eq!(world.power(), Some(Power::Unknown));
    let ran = start(&world);
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    assert_eq!(launches(&world), 1);
}

#[test]
fn a_vm_that_boots_for_the_first_time_is_waited_for() {
    let world = running();
    says_unknown(&world);
    let started = world.start_polis(&["start"]);
    wait_until(|| world.calls_of("list").len() > 2);
    world.set_instance(|instance| instance.power = Power::Running);
    let ran = started.wait();
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    expect![[r#"
        exit 0
        --- stdout
        The workspace is running: 1 step, [N] s. Next: polis shell
          files    /home/polis in the workspace; to copy some: polis cp FILE workspace:
          agents   none; to add one: polis agent add DIR
          blocked  to see blocked requests: polis security pending
          stop     polis stop, which keeps everything
        --- stderr
        Waiting for the VM
          the VM does not answer: it is booting, or it hangs
    "#]]
    .assert_eq(&seen(&ran));
}

/// They change with each release.
fn without_versions(seen: &str) -> String {
    let lines = seen.split_inclusive('\n');
    lines
        .filter(|line| !line.starts_with("versions "))
        .collect()
}

#[test]
fn a_vm_that_never_answers_is_for_a_person_and_everybody_says_so() {
    let world = running();
    says_unknown(&world);
    let ran = world.polis(&["start", "--quiet", "--timeout", "2"]);
    expect![[r#"
        exit 15
        --- stderr
        error: the VM does not answer: it is booting, or it hangs
          caused by: it has not answered within 2 s; a full disk of this host is a frequent reason
          tried: multipass list --format json --no-ipv4
          hint: multipass stop --force polis, then: polis start
          hint: if it persists: a VPN, another program on port 53 of the bridge, or Docker's FORWARD policy DROP on this host may be in the way; `sudo iptables -I DOCKER-USER -j ACCEPT -i mpqemubr0` fixes the last
          hint: polis doctor
    "#]]
    .assert_eq(&seen(&ran));
    let status = world.polis(&["status"]);
    expect![[r#"
        exit 0
        --- stdout
        workspace  starting
        vm         Unknown
        note       the VM does not answer: it is booting, or it hangs
        next       polis start   (waits for it, and says what to do if it hangs)
    "#]]
    .assert_eq(&without_versions(&seen(&status)));
    let doctor = document(&world.polis(&["doctor", "--json"]));
    let checks = doctor["result"]["checks"].as_array().unwrap();
    let check = checks.iter().find(|check| check["name"] == "instance");
    let check = check.unwrap();
    assert_eq!(check["verdict"], "warn");
    let words = "the VM does not answer: it is booting, or it hangs";
    assert_eq!(check["detail"], words);
    assert_eq!(
        check["fix"],
        "polis start   (waits for it, and says what to do if it hangs)"
    );
    let ran = world.polis(&["exec", "--vm", "--", "true"]);
    assert_eq!(ran.code, Some(125), "{}", ran.seen());
    assert!(ran.stderr.contains(words), "{}", ran.seen());
    // What is named as the remedy is one.
    let stopped = world.multipass(&["stop", "--force", "polis"], b"");
    assert_eq!(stopped.code, Some(0), "{}", stopped.seen());
    assert_eq!(did(&world, &["start"])[0], "start-machine");
}

#[test]
fn a_call_that_comes_before_ssh_does_is_no_failure() {
    for (command, part) in [("exec", "polis-probe"), ("exec", "polis-job")] {
        let words = "exec failed: Cannot retrieve credentials in unknown state\n";
        let world = with(Fault::of(command, exits(2, words)).containing(part));
        let ran = start(&world);
        assert_eq!(ran.code, Some(0), "{part}: {}", ran.seen());
    }
    // Also where `list` had just said that it runs.
    let world = running();
    world.fault(Fault::of(
        "exec",
        exits(
            2,
            "exec failed: Cannot retrieve credentials in unknown state\n",
        ),
    ));
    let ran = start(&world);
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
}

#[test]
fn a_vm_that_was_switched_off_while_it_was_provisioned_is_provisioned_to_the_end() {
    let world = world();
    world.set(|state| state.timing.provision = 60_000);
    let started = world.start_polis(&["start", "--quiet"]);
    wait_until(|| world.guest_has("/var/log/polis-provision.log"));
    started.kill();
    started.wait();
    let stopped = world.multipass(&["stop", "--force", "polis"], b"");
    assert_eq!(stopped.code, Some(0), "{}", stopped.seen());
    world.set(|state| state.timing.provision = 100);
    let did = did(&world, &["start"]);
    assert_eq!(
        did[..3],
        ["start-machine", "provision-again", "await-provisioning"]
    );
    assert_eq!(launches(&world), 1);
}

#[test]
fn a_stage_of_multipass_is_one_line() {
    let world = world();
    world.set(|state| {
        state.timing.image = 300;
        state.timing.boot = 300;
    });
    let ran = world.polis(&["start"]);
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    let launch: Vec<&str> = ran
        .stderr
        .lines()
        .skip(1)
        .take_while(|line| line.starts_with("  "))
        .filter(|line| !line.contains("done (") && !line.ends_with("..."))
        .collect();
    assert_eq!(
        launch,
        [
            "  multipass: Retrieving image",
            "  multipass: Creating polis",
            "  multipass: Starting polis",
            "  multipass: Waiting for initialization to complete"
        ],
        "{}",
        ran.seen()
    );
    assert!(
        !ran.stderr.contains(['\u{8}', '\u{1b}']),
        "{:?}",
        ran.stderr
    );
}

#[test]
fn the_newest_stage_is_seen_on_a_terminal() {
    let world = world();
    world.set(|state| {
        state.timing.image = 600;
        state.timing.boot = 600;
        state.timing.provision = 1_000;
    });
    let on_terminal = "stty cols 80; polis start";
    let ran = world.shell(&format!(
        "TERM=xterm script --quiet --return --command '{on_terminal}' /dev/null"
    ));
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    for stage in ["Starting polis", "Waiting for initialization to complete"] {
        let line = format!("Launching the VM: {stage}");
        assert!(ran.stdout.contains(&line), "{line}: {:?}", ran.stdout);
    }
}

#[test]
fn a_command_in_the_vm_keeps_its_code_before_there_is_anything_of_ours() {
    let world = running();
    let polis = world.guest().path("/opt/polis");
    std::fs::rename(&polis, world.guest().path("/opt/elsewhere")).unwrap();
    // The user cannot make it: /opt is root's. The user of this test may be root.
    world.write_guest("/opt/polis", "");
    for code in [0, 1, 2, 4, 5, 42, 123, 124, 255] {
        let command = format!("exit {code}");
        let ran = world.polis(&["exec", "--vm", "--", "bash", "-c", &command]);
        assert_eq!(ran.code, Some(code), "{}", ran.seen());
    }
}

#[test]
fn a_workspace_that_cannot_be_entered_says_how_it_is() {
    let world = world();
    world.set(|state| state.timing.provision = 60_000);
    let started = world.start_polis(&["start", "--quiet"]);
    wait_until(|| world.guest_has("/var/log/polis-provision.log"));
    let says = "error: the workspace is not running\n  caused by: the VM is being provisioned\n  \
                hint: polis start\n";
    for (args, code) in [
        (&["exec", "--", "true"][..], 125),
        (&["logs"], 13),
        (&["logs", "gate"], 13),
    ] {
        let ran = world.polis(args);
        assert_eq!(ran.code, Some(code), "{args:?}: {}", ran.seen());
        assert_eq!(ran.stderr, says, "{args:?}: {}", ran.seen());
    }
    started.kill();
    started.wait();
}

/// What the daemon writes there when it cannot reach a server that nothing of ours needs.
const NOISE: &str = "[2026-11-26T10:11:12.345] [error] [url downloader] Failed to get https://codeload.github.com/canonical/multipass-blueprints: Host does not exist\n\
                     [2026-11-26T10:11:13.345] [warning] [blueprint provider] Error fetching Blueprints: is deleted\n";

#[test]
fn log_lines_of_the_daemon_do_not_bury_the_reason() {
    let words = format!("{NOISE}launch failed: The disk is full\n");
    let world = with(Fault::of("launch", exits(2, &words)));
    expect![[r#"
        exit 15
        --- stderr
        error: could not launch the VM and provision it
          caused by: launch failed: The disk is full
          tried: multipass launch 24.04 --name polis --cpus 4 --memory 8G --disk 40G --timeout 900 --cloud-init -
          hint: polis start
          hint: polis doctor
    "#]]
    .assert_eq(&seen(&start(&world)));
    let world = with(Fault::of("launch", exits(2, &words)));
    let ran = world.polis(&["start", "--verbose"]);
    assert!(
        ran.stderr
            .contains("polis: -> [2026-11-26T10:11:12.345] [error] [url downloader]"),
        "{}",
        ran.seen()
    );
    // Where there is nothing else, that is the reason.
    let words =
        "[2026-11-26T10:11:12.345] [error] [client] Caught an unhandled exception: no room\n";
    let world = with(Fault::of("launch", exits(1, words)));
    let ran = start(&world);
    assert!(
        ran.stderr
            .contains("caused by: Caught an unhandled exception: no room\n"),
        "{}",
        ran.seen()
    );
}

#[test]
fn no_daemon_ever_is_a_daemon_that_is_down() {
    let world = world();
    world.set(|state| state.access = Access::NeverRan);
    for args in [&["start"][..], &["status"], &["stop"]] {
        let ran = world.polis(args);
        assert_eq!(ran.code, Some(5), "{args:?}: {}", ran.seen());
        assert!(
            ran.stderr.contains("hint: sudo snap restart multipass"),
            "{}",
            ran.seen()
        );
    }
    let doctor = document(&world.polis(&["doctor", "--json"]));
    let checks = doctor["result"]["checks"].as_array().unwrap();
    let daemon = checks.iter().find(|check| check["name"] == "daemon");
    assert_eq!(daemon.unwrap()["verdict"], "fail");
}

#[test]
fn a_stop_shows_what_multipass_says() {
    let world = running();
    let ran = world.polis(&["stop"]);
    expect![[r#"
        exit 0
        --- stdout
        The VM is stopped. Next: polis start
        --- stderr
        Stopping the VM
          multipass: Stopping polis
    "#]]
    .assert_eq(&seen(&ran));
}

#[test]
fn a_vm_that_ignores_its_power_button_is_named_with_what_mends_it() {
    let world = running();
    says_unknown(&world);
    world.set(|state| state.timing.lost_button = 300);
    let ran = world.polis(&["stop", "--quiet"]);
    expect![[r#"
        exit 15
        --- stderr
        error: could not stop the VM
          caused by: stop failed: The QEMU process did not finish within 300 milliseconds after being shutdown; Use --force to power it off.
          tried: multipass stop polis
          hint: multipass stop --force polis
    "#]].assert_eq(&seen(&ran));
}

#[test]
fn a_call_that_waits_for_another_one_is_no_hang() {
    let world = running();
    world.fault(Fault::of("stop", Effect::Busy(12_000)));
    let stopping = world.start_multipass(&["stop", "polis"], b"");
    wait_until(|| world.state().busy_until > 0);
    let ran = world.polis(&["status"]);
    stopping.wait();
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    expect![[r#"
        note: Multipass has not answered for 5 s: it answers one call at a time, and may be busy with another one
    "#]]
    .assert_eq(&ran.stderr);
    let settings = &document(&world.polis(&["status", "--json"]))["result"]["settings"];
    let limit = settings["call-timeout"]["value"].as_str().unwrap();
    // The daemon blocks for 300 s when a VM ignores its power button.
    assert!(limit.parse::<u32>().unwrap() > 300, "{limit}");
}

#[test]
fn no_call_asks_for_addresses() {
    let world = running();
    for args in [&["start"][..], &["status"], &["doctor"], &["stop"]] {
        world.polis(args);
    }
    for call in world.calls_of("list") {
        assert!(
            call.args.contains(&"--no-ipv4".to_owned()),
            "{}",
            call.line()
        );
    }
    assert!(!commands(&world).contains(&"info".to_owned()));
}

#[test]
fn status_enters_the_vm_once() {
    let world = running();
    let status = document(&world.polis(&["status", "--json"]));
    assert_eq!(commands(&world), ["list", "exec", "version"]);
    let volumes = status["result"]["guest"]["volumes"].as_array().unwrap();
    assert!(volumes.len() > 2, "{volumes:?}");
}

#[test]
fn output_that_nobody_reads_any_more_ends_the_command() {
    let world = running();
    let begun = Instant::now();
    let ran = world.shell("polis exec --vm -- seq 100000 | head -n 1; echo ${PIPESTATUS[0]}");
    assert_eq!(ran.stdout, "1\n141\n", "{}", ran.seen());
    assert_eq!(ran.stderr, "");
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
    for command in [
        "status",
        "start --dry-run",
        "doctor",
        "version",
        "man",
        "completions bash",
    ] {
        let ran = world.shell(&format!("polis {command} | true; echo ${{PIPESTATUS[0]}}"));
        assert_eq!(ran.stderr, "", "{command}: {}", ran.seen());
    }
}
