//! An agent's keys: which are required, where they are stored, and that they are never printed.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use expect_test::expect;

use super::{KEYS, MANIFEST, add, agent, boot, mount_script};
use crate::support::{running, seen};

#[test]
fn a_missing_key_is_refused_before_anything_is_transferred() {
    let sandbox = running();
    agent(&sandbox, MANIFEST);
    sandbox.forget_calls();
    let ran = sandbox.polis(&["start", "--agent", "coder"]);
    expect![[r#"
        exit 2
        --- stderr
        error: the agent `coder` is missing a key
          caused by: it needs one of: CODER_KEY, OTHER_KEY
          hint: set one of them in the environment, and add: -e KEY
    "#]]
    .assert_eq(&seen(&ran));
    assert_eq!(sandbox.mutations(), [""; 0]);
    for (args, part) in [
        (["-e", "PATH"], "does not declare the key `PATH`"),
        (["-e", "OTHER_KEY"], "OTHER_KEY is not set"),
        (
            ["-e", "CODER_KEY=sk-very-secret"],
            "the value of `CODER_KEY` is on the command line",
        ),
        (["--env-file", "nowhere"], "is not a valid file of keys"),
    ] {
        let ran = sandbox.polis(&[&["agent", "add", "coder"][..], &args].concat());
        assert_eq!(ran.code, Some(2), "{}", ran.seen());
        assert!(ran.stderr.contains(part), "{}", ran.seen());
        assert!(!ran.seen().contains("sk-very"), "{}", ran.seen());
    }
}

/// A key is stored in the guest, in a file readable only by root, and nowhere else.
#[test]
fn keys_are_never_exposed() {
    let sandbox = running();
    agent(&sandbox, MANIFEST);
    sandbox.forget_calls();
    let mut shown = String::new();
    for args in [
        &["agent", "add", "coder", "-e", "CODER_KEY", "--verbose"][..],
        &[
            "agent",
            "add",
            "coder",
            "-e",
            "CODER_KEY",
            "--json",
            "--verbose",
        ],
        &[
            "start",
            "--agent",
            "coder",
            "-e",
            "CODER_KEY",
            "--dry-run",
            "--json",
        ],
        &["start", "--agent", "coder", "-e", "CODER_KEY", "--verbose"],
        &["agent", "show", "coder"],
        &["status", "--json"],
    ] {
        let ran = sandbox.polis_with(args, &KEYS);
        assert_eq!(ran.code, Some(0), "{args:?} {}", ran.seen());
        shown.push_str(&ran.seen());
    }
    for call in sandbox.all_calls() {
        shown.push_str(&call.line());
    }
    assert!(!shown.contains("very-secret"), "{shown}");
    let stored = "/opt/polis/agent-keys/coder/env";
    assert_eq!(sandbox.read_guest(stored), "CODER_KEY=sk-very-secret\n");
    let mode = |path: &str| {
        fs::metadata(sandbox.guest().path(path))
            .unwrap()
            .permissions()
            .mode()
            & 0o777
    };
    assert_eq!(
        (mode(stored), mode("/opt/polis/agent-keys/coder")),
        (0o600, 0o700)
    );
    assert!(!sandbox.guest_has("/opt/polis/.incoming-coder.keys"));
    for folder in ["tmp", "home"] {
        let grep = ["-r", "very-secret", folder].map(str::to_owned);
        let ran = sandbox.shell(&format!(
            "cd {} && grep {}",
            sandbox.dir().display(),
            grep.join(" ")
        ));
        assert_eq!(ran.stdout, "", "{folder}");
    }
}

#[test]
fn a_key_typed_at_the_prompt_is_not_echoed() {
    let sandbox = running();
    agent(&sandbox, MANIFEST);
    let ran = sandbox.shell(
        "type() { until grep -q \"$1\" out; do sleep 0.05; done; echo \"$2\"; }; touch out\n\
         { type CODER_KEY.*: ''; type OTHER_KEY.*: sk-typed-secret; type added; } |\n\
         script --quiet --flush --return --command 'polis agent add coder' out",
    );
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    assert!(
        ran.stdout
            .contains("OTHER_KEY (empty: skip to the next one): "),
        "{}",
        ran.seen()
    );
    assert!(!ran.seen().contains("sk-typed"), "{}", ran.seen());
    assert_eq!(
        sandbox.read_guest("/opt/polis/agent-keys/coder/env"),
        "OTHER_KEY=sk-typed-secret\n"
    );
}

#[test]
fn new_keys_restart_the_agent() {
    let sandbox = running();
    agent(&sandbox, MANIFEST);
    add(&sandbox);
    mount_script(&sandbox);
    sandbox.write_guest("/run/well", "");
    boot(&sandbox, 4);
    let unit = sandbox.guest().path("/run/units/coder");
    let before = fs::read_to_string(&unit).expect("it runs");
    add(&sandbox);
    let end = Instant::now() + Duration::from_secs(20);
    while fs::read_to_string(&unit).is_ok_and(|now| now == before) {
        assert!(Instant::now() < end, "the agent was not restarted");
        std::thread::sleep(Duration::from_millis(50));
    }
}
