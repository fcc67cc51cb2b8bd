//! A signal to `polis` ends the command in the VM that it has given the terminal to: nothing else would.

use std::path::Path;
use std::time::{Duration, Instant};

use fake_multipass::{Ran, World};

use crate::killed::wait_until;
use crate::support::running;

pub(crate) fn ends_within(seconds: u64, begun: Instant) {
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(seconds), "{took:?}");
}

/// Where the commands of these tests leave what they have to tell.
const TOLD: &str = "/home/polis/told";

/// What a command has told so far.
fn told(world: &World) -> String {
    let told = world.guest().get(TOLD).expect("a guest");
    String::from_utf8_lossy(&told.unwrap_or_default()).into_owned()
}

/// The process that a command has told of, once it has.
fn process(world: &World) -> u32 {
    wait_until(|| told(world).contains('\n'));
    let told = told(world);
    let first = told.lines().next().unwrap_or_default();
    first.parse().unwrap_or_else(|_| panic!("{told:?}"))
}

fn is_there(process: u32) -> bool {
    Path::new(&format!("/proc/{process}")).exists()
}

fn is_gone(process: u32) {
    wait_until(|| !is_there(process));
    assert!(!is_there(process), "it goes on");
}

/// Tells its process, and never ends by itself.
const ENDLESS: &str = "echo $$ >>/home/polis/told; exec /usr/bin/sleep 500";

#[test]
fn a_signal_to_polis_ends_the_command_in_the_vm() {
    let world = running();
    for (place, code) in [(&[][..], 143), (&["--vm"], 143), (&[], 129), (&[], 130)] {
        world.write_guest(TOLD, "");
        let words = [&["exec"], place, &["--", "bash", "-c", ENDLESS]].concat();
        let child = world.start_polis(&words);
        let process = process(&world);
        let begun = Instant::now();
        match code {
            143 => child.terminate(),
            129 => child.hang_up(),
            _ => child.interrupt(),
        }
        let ran = child.wait();
        assert_eq!(ran.code, Some(code), "{words:?}: {}", ran.seen());
        ends_within(10, begun);
        is_gone(process);
        assert!(!ran.stderr.contains("note"), "{words:?}: {}", ran.seen());
    }
    assert_eq!(world.refused(), [] as [String; 0]);
}

/// What it does on the way is seen, and what has left its session was to outlive it.
#[test]
fn a_command_ends_in_its_own_way_and_its_servers_stay() {
    let world = running();
    let script = r#"setsid /usr/bin/sleep 300 >/dev/null & echo $! >>/home/polis/told
        trap 'echo so it ends; exit 7' TERM
        for i in {1..500}; do /usr/bin/sleep 1; done"#;
    let child = world.start_polis(&["exec", "--", "bash", "-c", script]);
    let server = process(&world);
    // A trap is set after that, and there is nothing to see of it.
    std::thread::sleep(Duration::from_millis(300));
    child.terminate();
    let ran = child.wait();
    assert_eq!(ran.code, Some(143), "{}", ran.seen());
    assert_eq!(ran.stdout, "so it ends\n", "{}", ran.seen());
    assert!(is_there(server));
    world.shell(&format!("kill {server}"));
}

#[test]
fn a_command_that_ignores_the_signal_is_named() {
    let world = running();
    let script = format!("trap '' TERM; {ENDLESS}");
    let child = world.start_polis(&["exec", "--", "bash", "-c", &script]);
    let process = process(&world);
    let begun = Instant::now();
    child.terminate();
    let ran = child.wait();
    assert_eq!(ran.code, Some(143), "{}", ran.seen());
    ends_within(15, begun);
    assert!(ran.stderr.contains("may keep running"), "{}", ran.seen());
    assert!(is_there(process));
}

#[test]
fn a_command_whose_output_nobody_reads_ends() {
    let world = running();
    let script = format!("echo first; {ENDLESS}");
    let ran = world.shell(&format!(
        "polis exec -- bash -c '{script}' | head -n 1; echo ${{PIPESTATUS[0]}}"
    ));
    assert_eq!(ran.stdout, "first\n141\n", "{}", ran.seen());
    is_gone(process(&world));
}

/// Runs `polis ARGS` on a terminal, on which `typed` types what is to be typed: a script that can `await` a text on it and
/// knows `$polis`.
fn on_terminal(world: &World, args: &str, typed: &str) -> Ran {
    let begun = Instant::now();
    let ran = world.shell(&format!(
        r#"await() {{ until grep -q "$1" seen; do sleep 0.02; done 2>/dev/null; polis=$(cat pid); }}
        rm -f pid seen
        {{ {typed}; sleep 2; }} |
          SHELL=/bin/bash script --quiet --return --flush --command 'echo $$ >pid; exec polis {args}' seen"#
    ));
    ends_within(40, begun);
    ran
}

#[test]
fn a_shell_ends_with_the_polis_that_gave_it_the_terminal() {
    let world = running();
    // An interactive shell ignores SIGTERM.
    let typed = r#"echo "echo \$\$ >>told; echo rea''dy"; await ready; kill -TERM $polis"#;
    let ran = on_terminal(&world, "shell", typed);
    assert_eq!(ran.code, Some(143), "{}", ran.seen());
    is_gone(process(&world));
}

#[test]
fn a_ctrl_c_reaches_a_command_with_a_terminal_once() {
    let world = running();
    let task =
        "trap 'echo INT >>told' INT\necho ready\n/usr/bin/sleep 60\n/usr/bin/sleep 1\nexit 7\n";
    world.write_guest("/home/polis/task", task);
    let ran = on_terminal(&world, "exec -- bash task", r"await ready; printf '\003'");
    assert_eq!(ran.code, Some(7), "{}", ran.seen());
    assert_eq!(told(&world), "INT\n");
    assert_eq!(world.refused(), [] as [String; 0]);
}

#[test]
fn logs_that_are_filtered_end_in_the_vm_too() {
    let world = running();
    for (signal, code) in [(r"printf '\003'", 130), ("kill -TERM $polis", 143)] {
        world.forget_calls();
        let typed = format!("await 'gate started'; {signal}");
        let ran = on_terminal(&world, "logs --follow gate", &typed);
        assert_eq!(ran.code, Some(code), "{}", ran.seen());
        let calls = world.all_calls().into_iter();
        let logs = calls.filter(|call| call.line().starts_with("docker compose logs"));
        let logs: Vec<u32> = logs.map(|call| call.pid).collect();
        assert_eq!(logs.len(), 1);
        is_gone(logs[0]);
    }
}
