//! Behaviour of the real Multipass that once broke `polis` (marked "seen on the real one" in its documentation page), each as
//! the user encounters it.

use std::time::{Duration, Instant};

use expect_test::expect;
use fake_multipass::{Access, Effect, Fault, Power, Sandbox};

use crate::faults::{start, with};
use crate::support::{commands, did, document, launches, running, sandbox, seen};

/// Waits until `there`, with a timeout generous enough for a slow machine.
fn wait_until(there: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    while !there() && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The daemon's error for a VM whose SSH has never answered, as during a first boot.
fn says_unknown(sandbox: &Sandbox) {
    sandbox.set_instance(|instance| instance.power = Power::Unknown);
}

fn exits(code: u8, stderr: &str) -> Effect {
    Effect::Exit {
        code,
        stderr: stderr.to_owned(),
    }
}

#[test]
fn an_interrupted_first_launch_is_resumed() {
    let sandbox = sandbox();
    // The first boot ends at the tenth `list`; the first start makes some of them, the second one the rest.
    sandbox.set(|state| state.timing.boot_lists = 10);
    let started = sandbox.start_polis(&["start"]);
    wait_until(|| sandbox.power() == Some(Power::Unknown));
    started.interrupt();
    let ran = started.wait();
    assert_eq!(ran.code, Some(130), "{}", ran.seen());
    assert_eq!(sandbox.power(), Some(Power::Unknown));
    let ran = start(&sandbox);
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    assert_eq!(launches(&sandbox), 1);
}

#[test]
fn start_waits_for_the_first_boot() {
    let sandbox = running();
    says_unknown(&sandbox);
    let started = sandbox.start_polis(&["start"]);
    wait_until(|| sandbox.calls_of("list").len() > 2);
    sandbox.set_instance(|instance| instance.power = Power::Running);
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

/// Masks versions, which change with each release.
fn without_versions(seen: &str) -> String {
    let lines = seen.split_inclusive('\n');
    lines
        .filter(|line| !line.starts_with("versions "))
        .collect()
}

#[test]
fn every_command_reports_a_vm_that_never_answers() {
    let sandbox = running();
    says_unknown(&sandbox);
    let ran = sandbox.polis(&["start", "--quiet", "--timeout", "2"]);
    expect![[r#"
        exit 15
        --- stderr
        error: the VM does not answer: it is booting, or it hangs
          caused by: it has not answered within 2 s; a frequent cause is a full disk on this host
          tried: multipass list --format json --no-ipv4
          hint: multipass stop --force polis, then: polis start
          hint: if it persists: a VPN, another program on port 53 of the bridge, or Docker's FORWARD policy DROP on this host may be in the way; `sudo iptables -I DOCKER-USER -j ACCEPT -i mpqemubr0` fixes the last
          hint: polis doctor
    "#]]
    .assert_eq(&seen(&ran));
    let status = sandbox.polis(&["status"]);
    expect![[r#"
        exit 0
        --- stdout
        workspace  starting
        vm         Unknown
        note       the VM does not answer: it is booting, or it hangs
        next       polis start   (waits for it, and says what to do if it hangs)
    "#]]
    .assert_eq(&without_versions(&seen(&status)));
    let doctor = document(&sandbox.polis(&["doctor", "--json"]));
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
    let ran = sandbox.polis(&["exec", "--vm", "--", "true"]);
    assert_eq!(ran.code, Some(125), "{}", ran.seen());
    assert!(ran.stderr.contains(words), "{}", ran.seen());
    // The proposed fix works.
    let stopped = sandbox.multipass(&["stop", "--force", "polis"], b"");
    assert_eq!(stopped.code, Some(0), "{}", stopped.seen());
    assert_eq!(did(&sandbox, &["start"])[0], "start-machine");
}

#[test]
fn a_call_before_ssh_answers_is_not_a_failure() {
    for (command, part) in [("exec", "polis-probe"), ("exec", "polis-job")] {
        let words = "exec failed: Cannot retrieve credentials in unknown state\n";
        let sandbox = with(Fault::of(command, exits(2, words)).containing(part));
        let ran = start(&sandbox);
        assert_eq!(ran.code, Some(0), "{part}: {}", ran.seen());
    }
    // Even if `list` has just reported the VM as running.
    let sandbox = running();
    sandbox.fault(Fault::of(
        "exec",
        exits(
            2,
            "exec failed: Cannot retrieve credentials in unknown state\n",
        ),
    ));
    let ran = start(&sandbox);
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
}

#[test]
fn a_provisioning_interrupted_by_a_shutdown_is_completed() {
    let sandbox = sandbox();
    sandbox.set(|state| state.timing.provision = 60_000);
    let started = sandbox.start_polis(&["start", "--quiet"]);
    wait_until(|| sandbox.guest_has("/var/log/polis-provision.log"));
    started.kill();
    started.wait();
    let stopped = sandbox.multipass(&["stop", "--force", "polis"], b"");
    assert_eq!(stopped.code, Some(0), "{}", stopped.seen());
    sandbox.set(|state| state.timing.provision = 100);
    let did = did(&sandbox, &["start"]);
    assert_eq!(
        did[..3],
        ["start-machine", "provision-again", "await-provisioning"]
    );
    assert_eq!(launches(&sandbox), 1);
}

#[test]
fn each_stage_of_multipass_is_one_line() {
    let sandbox = sandbox();
    sandbox.set(|state| {
        state.timing.image = 300;
        state.timing.boot = 300;
    });
    let ran = sandbox.polis(&["start"]);
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
fn a_terminal_shows_the_current_stage() {
    let sandbox = sandbox();
    sandbox.set(|state| {
        state.timing.image = 600;
        state.timing.boot = 600;
        state.timing.provision = 1_000;
    });
    let on_terminal = "stty cols 80; polis start";
    let ran = sandbox.shell(&format!(
        "TERM=xterm script --quiet --return --command '{on_terminal}' /dev/null"
    ));
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    for stage in ["Starting polis", "Waiting for initialization to complete"] {
        let line = format!("Launching the VM: {stage}");
        assert!(ran.stdout.contains(&line), "{line}: {:?}", ran.stdout);
    }
}

#[test]
fn exec_vm_passes_the_exit_code_before_anything_is_installed() {
    let sandbox = running();
    let polis = sandbox.guest().path("/opt/polis");
    std::fs::rename(&polis, sandbox.guest().path("/opt/elsewhere")).unwrap();
    // The user cannot create it: /opt belongs to root. The user of this test may be root.
    sandbox.write_guest("/opt/polis", "");
    for code in [0, 1, 2, 4, 5, 42, 123, 124, 255] {
        let command = format!("exit {code}");
        let ran = sandbox.polis(&["exec", "--vm", "--", "bash", "-c", &command]);
        assert_eq!(ran.code, Some(code), "{}", ran.seen());
    }
}

#[test]
fn exec_explains_the_state_of_a_workspace_that_is_not_running() {
    let sandbox = sandbox();
    sandbox.set(|state| state.timing.provision = 60_000);
    let started = sandbox.start_polis(&["start", "--quiet"]);
    wait_until(|| sandbox.guest_has("/var/log/polis-provision.log"));
    let says = "error: the workspace is not running\n  caused by: the VM is being provisioned\n  \
                hint: polis start\n";
    for (args, code) in [
        (&["exec", "--", "true"][..], 125),
        (&["logs"], 13),
        (&["logs", "gate"], 13),
    ] {
        let ran = sandbox.polis(args);
        assert_eq!(ran.code, Some(code), "{args:?}: {}", ran.seen());
        assert_eq!(ran.stderr, says, "{args:?}: {}", ran.seen());
    }
    started.kill();
    started.wait();
}

/// What the daemon logs to standard error when it cannot reach a server that polis does not need.
const NOISE: &str = "[2026-11-26T10:11:12.345] [error] [url downloader] Failed to get https://codeload.github.com/canonical/multipass-blueprints: Host does not exist\n\
                     [2026-11-26T10:11:13.345] [warning] [blueprint provider] Error fetching Blueprints: is deleted\n";

#[test]
fn log_lines_of_the_daemon_do_not_hide_the_cause() {
    let words = format!("{NOISE}launch failed: The disk is full\n");
    let sandbox = with(Fault::of("launch", exits(2, &words)));
    expect![[r#"
        exit 15
        --- stderr
        error: could not launch the VM and provision it
          caused by: launch failed: The disk is full
          tried: multipass launch 24.04 --name polis --cpus 4 --memory 8G --disk 40G --timeout 900 --cloud-init -
          hint: polis start
          hint: polis doctor
    "#]]
    .assert_eq(&seen(&start(&sandbox)));
    let sandbox = with(Fault::of("launch", exits(2, &words)));
    let ran = sandbox.polis(&["start", "--verbose"]);
    assert!(
        ran.stderr
            .contains("polis: -> [2026-11-26T10:11:12.345] [error] [url downloader]"),
        "{}",
        ran.seen()
    );
    // If there is only the log line, it is the cause.
    let words =
        "[2026-11-26T10:11:12.345] [error] [client] Caught an unhandled exception: no room\n";
    let sandbox = with(Fault::of("launch", exits(1, words)));
    let ran = start(&sandbox);
    assert!(
        ran.stderr
            .contains("caused by: Caught an unhandled exception: no room\n"),
        "{}",
        ran.seen()
    );
}

#[test]
fn a_daemon_that_never_ran_counts_as_down() {
    let sandbox = sandbox();
    sandbox.set(|state| state.access = Access::NeverRan);
    for args in [&["start"][..], &["status"], &["stop"]] {
        let ran = sandbox.polis(args);
        assert_eq!(ran.code, Some(5), "{args:?}: {}", ran.seen());
        assert!(
            ran.stderr.contains("hint: sudo snap restart multipass"),
            "{}",
            ran.seen()
        );
    }
    let doctor = document(&sandbox.polis(&["doctor", "--json"]));
    let checks = doctor["result"]["checks"].as_array().unwrap();
    let daemon = checks.iter().find(|check| check["name"] == "daemon");
    assert_eq!(daemon.unwrap()["verdict"], "fail");
}

#[test]
fn stop_shows_the_progress_of_multipass() {
    let sandbox = running();
    let ran = sandbox.polis(&["stop"]);
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
fn a_vm_that_ignores_its_power_button_is_reported_with_a_fix() {
    let sandbox = running();
    says_unknown(&sandbox);
    sandbox.set(|state| state.timing.lost_button = 300);
    let ran = sandbox.polis(&["stop", "--quiet"]);
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
fn a_call_that_waits_for_another_call_is_not_a_hang() {
    let sandbox = running();
    sandbox.fault(Fault::of("info", Effect::Busy(12_000)));
    // One that changes nothing: when the daemon is idle again, both calls continue at once.
    let other = sandbox.start_multipass(&["info", "polis"], b"");
    wait_until(|| sandbox.state().busy_until > 0);
    let ran = sandbox.polis(&["status"]);
    other.wait();
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    expect![[r#"
        note: Multipass has not answered for 5 s: it handles one call at a time, and may be busy with another one
    "#]]
    .assert_eq(&ran.stderr);
    let settings = &document(&sandbox.polis(&["status", "--json"]))["result"]["settings"];
    let limit = settings["call-timeout"]["value"].as_str().unwrap();
    // The daemon blocks for 300 s when a VM ignores its power button.
    assert!(limit.parse::<u32>().unwrap() > 300, "{limit}");
}

#[test]
fn no_call_asks_for_addresses() {
    let sandbox = running();
    for args in [&["start"][..], &["status"], &["doctor"], &["stop"]] {
        sandbox.polis(args);
    }
    for call in sandbox.calls_of("list") {
        assert!(
            call.args.contains(&"--no-ipv4".to_owned()),
            "{}",
            call.line()
        );
    }
    assert!(!commands(&sandbox).contains(&"info".to_owned()));
}

#[test]
fn status_enters_the_vm_once() {
    let sandbox = running();
    let status = document(&sandbox.polis(&["status", "--json"]));
    assert_eq!(commands(&sandbox), ["list", "exec", "version"]);
    let volumes = status["result"]["guest"]["volumes"].as_array().unwrap();
    assert!(volumes.len() > 2, "{volumes:?}");
}

#[test]
fn a_closed_pipe_ends_the_command() {
    let sandbox = running();
    let begun = Instant::now();
    let ran = sandbox.shell("polis exec --vm -- seq 100000 | head -n 1; echo ${PIPESTATUS[0]}");
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
        let ran = sandbox.shell(&format!("polis {command} | true; echo ${{PIPESTATUS[0]}}"));
        assert_eq!(ran.stderr, "", "{command}: {}", ran.seen());
    }
}
