//! `exec`: words, streams, exit codes, and the traps.

use std::time::Duration;

use fake_multipass::{Effect, Fault, Power};

use crate::{guest, launched, run, sh};

#[test]
fn arguments_arrive_one_by_one_and_the_code_is_the_guest_s() {
    let world = launched();
    let ran = run(
        &world,
        &[
            "exec", "-n", "polis", "--", "printf", "<%s>", "a b", "$HOME", "'", "-n", "",
        ],
    );
    assert_eq!(ran.seen(), "exit 0\n--- stdout\n<a b><$HOME><'><-n><>\n");
    for code in [0, 1, 2, 3, 5, 10, 127, 255] {
        assert_eq!(sh(&world, &format!("exit {code}")).code, Some(code));
    }
    assert_eq!(
        run(&world, &["exec", "polis", "--", "no-such-program"]).code,
        Some(127)
    );
    assert_eq!(sh(&world, "kill -9 $$").code, Some(255));
    assert_eq!(world.mutations(), Vec::<String>::new());
}

#[test]
fn it_runs_as_ubuntu_in_its_home_and_sees_only_guest_paths() {
    let world = launched();
    assert_eq!(
        guest(
            &world,
            "pwd; echo $HOME $USER; echo /opt/polis/x >&2; readlink -f /opt/polis"
        ),
        "/home/ubuntu\n/home/ubuntu ubuntu\n/opt/polis\n"
    );
    let ran = run(&world, &["exec", "-d", "/opt/polis", "polis", "--", "pwd"]);
    assert_eq!(ran.seen(), "exit 0\n--- stdout\n/opt/polis\n");
    assert_eq!(
        run(&world, &["exec", "-d", "/nowhere", "polis", "--", "pwd"]).code,
        Some(1)
    );
    assert_eq!(guest(&world, "env | grep -c ^XDG_ || true"), "0\n");
}

#[test]
fn standard_input_is_the_guest_s() {
    let world = launched();
    let ran = world.multipass(&["exec", "-n", "polis", "--", "cat"], b"one\ntwo\n");
    assert_eq!(ran.seen(), "exit 0\n--- stdout\none\ntwo\n");
    let stdin = world
        .calls()
        .pop()
        .and_then(|call| call.end)
        .and_then(|end| end.stdin);
    assert_eq!(stdin.map(|stdin| stdin.bytes), Some(8));
}

#[test]
fn a_stopped_machine_is_started_silently() {
    let world = launched();
    run(&world, &["stop", "polis"]);
    world.forget_calls();
    let ran = sh(&world, "echo hello");
    assert_eq!(ran.code, Some(0));
    assert!(
        ran.stdout.contains("Starting polis") && ran.stdout.ends_with("hello\n"),
        "{:?}",
        ran.stdout
    );
    assert_eq!(world.power(), Some(Power::Running));
    assert_eq!(world.mutations().len(), 1);
    world.set_instance(|instance| instance.power = Power::Suspended);
    assert_eq!(sh(&world, "true").code, Some(0));
    assert_eq!(world.power(), Some(Power::Running));
}

#[test]
fn a_guest_code_of_4_runs_the_command_forever() {
    let world = launched();
    let args = [
        "exec",
        "-n",
        "polis",
        "--",
        "bash",
        "-c",
        "echo x >>/tmp/runs; exit 4",
    ];
    let mut child = world.start_multipass(&args, b"");
    crate::until("it ran three times", || {
        world.guest_has("/tmp/runs") && world.read_guest("/tmp/runs").lines().count() > 2
    });
    assert!(child.runs());
    drop(child);
    world.set(|state| {
        state.client = "1.17.0".to_owned();
        state.daemon = "1.17.0".to_owned();
    });
    assert_eq!(sh(&world, "exit 4").code, Some(4));
}

#[test]
fn ssh_can_be_broken_while_it_runs() {
    let world = launched();
    world.fault(Fault::of("exec", Effect::SshFails));
    let ran = sh(&world, "true");
    assert_eq!(
        (ran.code, ran.stderr.as_str()),
        (
            Some(2),
            "exec failed: ssh connection failed: 'Connection refused'\n"
        )
    );
    assert_eq!(sh(&world, "true").code, Some(0));
    world.set_instance(|instance| instance.ssh = false);
    assert_eq!(sh(&world, "true").code, Some(2));
    assert_eq!(run(&world, &["info", "polis"]).code, Some(2));
    assert_eq!(run(&world, &["list"]).code, Some(0));
}

#[test]
fn on_windows_pipes_hang() {
    let world = launched().with_limit(Duration::from_secs(20));
    world.set(|state| state.windows = true);
    assert_eq!(guest(&world, "head -c 4096 /dev/zero").len(), 4096);
    let script = "head -c 4097 /dev/zero";
    let mut much = world.start_multipass(&["exec", "-n", "polis", "--", "bash", "-c", script], b"");
    let mut piped = world.start_multipass(&["exec", "-n", "polis", "--", "cat"], b"x");
    crate::until("output comes", || {
        much.stdout().len() > 4000 && piped.stdout() == "x"
    });
    std::thread::sleep(Duration::from_millis(200));
    assert!(much.runs() && piped.runs());
}

#[test]
fn guest_changes_are_noticed() {
    let world = launched();
    guest(
        &world,
        "cat /var/lib/polis/provisioned.json; ls /opt/polis; docker info; systemctl is-active polis || true",
    );
    assert_eq!(world.mutations(), Vec::<String>::new());
    guest(&world, "touch /opt/polis/x");
    guest(&world, "chmod 600 /opt/polis/x");
    guest(&world, "rm /opt/polis/x");
    assert_eq!(world.mutations().len(), 3);
}
