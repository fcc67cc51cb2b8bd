//! A signal to `polis` ends the command that it runs in the VM. Nothing else would end it.

use std::path::Path;
use std::time::{Duration, Instant};

use fake_multipass::{Ran, Sandbox};

use crate::killed::wait_until;
use crate::support::running;

pub(crate) fn ends_within(seconds: u64, begun: Instant) {
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(seconds), "{took:?}");
}

/// Where the commands of these tests write their messages.
const TOLD: &str = "/home/polis/told";

/// The messages of a command so far.
fn told(sandbox: &Sandbox) -> String {
    let told = sandbox.guest().get(TOLD).expect("a guest");
    String::from_utf8_lossy(&told.unwrap_or_default()).into_owned()
}

/// Waits for the process ID that a command writes.
fn process(sandbox: &Sandbox) -> u32 {
    wait_until(|| told(sandbox).contains('\n'));
    let told = told(sandbox);
    let first = told.lines().next().unwrap_or_default();
    first.parse().unwrap_or_else(|_| panic!("{told:?}"))
}

fn is_there(process: u32) -> bool {
    Path::new(&format!("/proc/{process}")).exists()
}

fn is_gone(process: u32) {
    wait_until(|| !is_there(process));
    assert!(!is_there(process), "the command keeps running");
}

/// Writes its process ID, and runs forever.
const ENDLESS: &str = "echo $$ >>/home/polis/told; exec /usr/bin/sleep 500";

#[test]
fn a_signal_to_polis_ends_the_command_in_the_vm() {
    let sandbox = running();
    for (place, code) in [(&[][..], 143), (&["--vm"], 143), (&[], 129), (&[], 130)] {
        sandbox.write_guest(TOLD, "");
        let words = [&["exec"], place, &["--", "bash", "-c", ENDLESS]].concat();
        let child = sandbox.start_polis(&words);
        let process = process(&sandbox);
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
    assert_eq!(sandbox.refused(), [] as [String; 0]);
}

/// The output of its signal handler arrives, and processes that have left its session survive.
#[test]
fn a_command_can_clean_up_and_its_daemons_survive() {
    let sandbox = running();
    let script = r#"setsid /usr/bin/sleep 300 >/dev/null & echo $! >>/home/polis/told
        trap 'echo so it ends; exit 7' TERM
        for i in {1..500}; do /usr/bin/sleep 1; done"#;
    let child = sandbox.start_polis(&["exec", "--", "bash", "-c", script]);
    let server = process(&sandbox);
    // The shell sets its trap later, which is invisible from outside.
    std::thread::sleep(Duration::from_millis(300));
    child.terminate();
    let ran = child.wait();
    assert_eq!(ran.code, Some(143), "{}", ran.seen());
    assert_eq!(ran.stdout, "so it ends\n", "{}", ran.seen());
    assert!(is_there(server));
    sandbox.shell(&format!("kill {server}"));
}

#[test]
fn a_command_that_ignores_the_signal_is_reported() {
    let sandbox = running();
    let script = format!("trap '' TERM; {ENDLESS}");
    let child = sandbox.start_polis(&["exec", "--", "bash", "-c", &script]);
    let process = process(&sandbox);
    let begun = Instant::now();
    child.terminate();
    let ran = child.wait();
    assert_eq!(ran.code, Some(143), "{}", ran.seen());
    ends_within(15, begun);
    assert!(ran.stderr.contains("may keep running"), "{}", ran.seen());
    assert!(is_there(process));
}

#[test]
fn a_command_ends_when_the_reader_of_its_output_does() {
    let sandbox = running();
    let script = format!("echo first; {ENDLESS}");
    let ran = sandbox.shell(&format!(
        "polis exec -- bash -c '{script}' | head -n 1; echo ${{PIPESTATUS[0]}}"
    ));
    assert_eq!(ran.stdout, "first\n141\n", "{}", ran.seen());
    is_gone(process(&sandbox));
}

/// Runs `polis ARGS` on a terminal. The script `typed` types the input: it can `await` a text on the terminal, and knows
/// `$polis`.
fn on_terminal(sandbox: &Sandbox, args: &str, typed: &str) -> Ran {
    let begun = Instant::now();
    let ran = sandbox.shell(&format!(
        r#"await() {{ until grep -q "$1" seen; do sleep 0.02; done 2>/dev/null; polis=$(cat pid); }}
        rm -f pid seen
        {{ {typed}; sleep 2; }} |
          SHELL=/bin/bash script --quiet --return --flush --command 'echo $$ >pid; exec polis {args}' seen"#
    ));
    ends_within(40, begun);
    ran
}

#[test]
fn a_shell_ends_with_its_polis() {
    let sandbox = running();
    // An interactive shell ignores SIGTERM.
    let typed = r#"echo "echo \$\$ >>told; echo rea''dy"; await ready; kill -TERM $polis"#;
    let ran = on_terminal(&sandbox, "shell", typed);
    assert_eq!(ran.code, Some(143), "{}", ran.seen());
    is_gone(process(&sandbox));
}

#[test]
fn ctrl_c_reaches_a_command_on_a_terminal_once() {
    let sandbox = running();
    let task =
        "trap 'echo INT >>told' INT\necho ready\n/usr/bin/sleep 60\n/usr/bin/sleep 1\nexit 7\n";
    sandbox.write_guest("/home/polis/task", task);
    let ran = on_terminal(&sandbox, "exec -- bash task", r"await ready; printf '\003'");
    assert_eq!(ran.code, Some(7), "{}", ran.seen());
    assert_eq!(told(&sandbox), "INT\n");
    assert_eq!(sandbox.refused(), [] as [String; 0]);
}

#[test]
fn filtered_logs_end_in_the_vm_too() {
    let sandbox = running();
    for (signal, code) in [(r"printf '\003'", 130), ("kill -TERM $polis", 143)] {
        sandbox.forget_calls();
        let typed = format!("await 'gate started'; {signal}");
        let ran = on_terminal(&sandbox, "logs --follow gate", &typed);
        assert_eq!(ran.code, Some(code), "{}", ran.seen());
        let calls = sandbox.all_calls().into_iter();
        let logs = calls.filter(|call| call.line().starts_with("docker compose logs"));
        let logs: Vec<u32> = logs.map(|call| call.pid).collect();
        assert_eq!(logs.len(), 1);
        is_gone(logs[0]);
    }
}
