//! `exec`: arguments, streams, exit codes, and the pitfalls of the real one.

use std::time::Duration;

use fake_multipass::{Effect, Fault, Power};

use crate::{guest, launched, run, sh};

#[test]
fn arguments_stay_separate_and_the_exit_code_is_the_guests() {
    let sandbox = launched();
    let ran = run(
        &sandbox,
        &[
            "exec", "-n", "polis", "--", "printf", "<%s>", "a b", "$HOME", "'", "-n", "",
        ],
    );
    assert_eq!(ran.seen(), "exit 0\n--- stdout\n<a b><$HOME><'><-n><>\n");
    for code in [0, 1, 2, 3, 5, 10, 127, 255] {
        assert_eq!(sh(&sandbox, &format!("exit {code}")).code, Some(code));
    }
    assert_eq!(
        run(&sandbox, &["exec", "polis", "--", "no-such-program"]).code,
        Some(127)
    );
    assert_eq!(sh(&sandbox, "kill -9 $$").code, Some(255));
    assert_eq!(sandbox.mutations(), Vec::<String>::new());
}

#[test]
fn it_runs_as_ubuntu_in_its_home_with_guest_paths() {
    let sandbox = launched();
    assert_eq!(
        guest(
            &sandbox,
            "pwd; echo $HOME $USER; echo /opt/polis/x >&2; readlink -f /opt/polis"
        ),
        "/home/ubuntu\n/home/ubuntu ubuntu\n/opt/polis\n"
    );
    let ran = run(
        &sandbox,
        &["exec", "-d", "/opt/polis", "polis", "--", "pwd"],
    );
    assert_eq!(ran.seen(), "exit 0\n--- stdout\n/opt/polis\n");
    assert_eq!(
        run(&sandbox, &["exec", "-d", "/nowhere", "polis", "--", "pwd"]).code,
        Some(1)
    );
    assert_eq!(guest(&sandbox, "env | grep -c ^XDG_ || true"), "0\n");
}

#[test]
fn standard_input_reaches_the_guest() {
    let sandbox = launched();
    let ran = sandbox.multipass(&["exec", "-n", "polis", "--", "cat"], b"one\ntwo\n");
    assert_eq!(ran.seen(), "exit 0\n--- stdout\none\ntwo\n");
    let stdin = sandbox
        .calls()
        .pop()
        .and_then(|call| call.end)
        .and_then(|end| end.stdin);
    assert_eq!(stdin.map(|stdin| stdin.bytes), Some(8));
}

#[test]
fn a_stopped_machine_is_started_silently() {
    let sandbox = launched();
    run(&sandbox, &["stop", "polis"]);
    sandbox.forget_calls();
    let ran = sh(&sandbox, "echo hello");
    assert_eq!(ran.code, Some(0));
    assert!(
        ran.stdout.contains("Starting polis") && ran.stdout.ends_with("hello\n"),
        "{:?}",
        ran.stdout
    );
    assert_eq!(sandbox.power(), Some(Power::Running));
    assert_eq!(sandbox.mutations().len(), 1);
    sandbox.set_instance(|instance| instance.power = Power::Suspended);
    assert_eq!(sh(&sandbox, "true").code, Some(0));
    assert_eq!(sandbox.power(), Some(Power::Running));
}

#[test]
fn a_guest_code_of_4_runs_the_command_forever() {
    let sandbox = launched();
    let args = [
        "exec",
        "-n",
        "polis",
        "--",
        "bash",
        "-c",
        "echo x >>/tmp/runs; exit 4",
    ];
    let mut child = sandbox.start_multipass(&args, b"");
    crate::until("it ran three times", || {
        sandbox.guest_has("/tmp/runs") && sandbox.read_guest("/tmp/runs").lines().count() > 2
    });
    assert!(child.runs());
    drop(child);
    sandbox.set(|state| {
        state.client = "1.17.0".to_owned();
        state.daemon = "1.17.0".to_owned();
    });
    assert_eq!(sh(&sandbox, "exit 4").code, Some(4));
}

#[test]
fn ssh_may_fail_while_the_machine_runs() {
    let sandbox = launched();
    sandbox.fault(Fault::of("exec", Effect::SshFails));
    let ran = sh(&sandbox, "true");
    assert_eq!(
        (ran.code, ran.stderr.as_str()),
        (
            Some(2),
            "exec failed: ssh connection failed: 'Connection refused'\n"
        )
    );
    assert_eq!(sh(&sandbox, "true").code, Some(0));
    sandbox.set_instance(|instance| instance.ssh = false);
    assert_eq!(sh(&sandbox, "true").code, Some(2));
    assert_eq!(run(&sandbox, &["info", "polis"]).code, Some(2));
    assert_eq!(run(&sandbox, &["list"]).code, Some(0));
}

#[test]
fn on_windows_pipes_hang() {
    let sandbox = launched().with_limit(Duration::from_secs(20));
    sandbox.set(|state| state.windows = true);
    assert_eq!(guest(&sandbox, "head -c 4096 /dev/zero").len(), 4096);
    let script = "head -c 4097 /dev/zero";
    let mut much =
        sandbox.start_multipass(&["exec", "-n", "polis", "--", "bash", "-c", script], b"");
    let mut piped = sandbox.start_multipass(&["exec", "-n", "polis", "--", "cat"], b"x");
    crate::until("output comes", || {
        much.stdout().len() > 4000 && piped.stdout() == "x"
    });
    std::thread::sleep(Duration::from_millis(200));
    assert!(much.runs() && piped.runs());
}

#[test]
fn changes_in_the_guest_are_detected() {
    let sandbox = launched();
    guest(
        &sandbox,
        "cat /var/lib/polis/provisioned.json; ls /opt/polis; docker info; systemctl is-active polis || true",
    );
    assert_eq!(sandbox.mutations(), Vec::<String>::new());
    guest(&sandbox, "touch /opt/polis/x");
    guest(&sandbox, "chmod 600 /opt/polis/x");
    guest(&sandbox, "rm /opt/polis/x");
    assert_eq!(sandbox.mutations().len(), 3);
}
