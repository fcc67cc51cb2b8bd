//! Copies that fail or are interrupted: the message, the exit code, and no files left behind.

use std::fs;

use expect_test::expect;
use fake_multipass::{Effect, Fault, Power};

use super::{ROUTES, cp, is_tidy, names, sandbox, write};
use crate::killed::wait_until;
use crate::support::seen;

#[test]
fn failures_are_explained_and_leave_nothing_behind() {
    let sandbox = sandbox(false);
    let home = sandbox.home();
    write(&home.join("file"), b"content", 0o644);
    write(&sandbox.guest().path("/home/polis/out"), b"content", 0o644);
    expect![[r#"
        exit 2
        --- stderr
        error: neither side is in the workspace
          caused by: expected `workspace:PATH` for exactly one of the two
          hint: polis cp FILE workspace:   (into its home)
          hint: polis cp workspace:FILE .   (out of its home)
    "#]]
    .assert_eq(&seen(&cp(&sandbox, "pipe", "file", "other")));
    expect![[r#"
        exit 2
        --- stderr
        error: `workspace:/home/polis/none` was not copied
          caused by: there is no /home/polis/none
    "#]]
    .assert_eq(&seen(&cp(&sandbox, "pipe", "workspace:none", ".")));
    expect![[r#"
        exit 2
        --- stderr
        error: `none` cannot be copied
          caused by: No such file or directory (os error 2)
    "#]]
    .assert_eq(&seen(&cp(&sandbox, "pipe", "none", "workspace:")));
    expect![[r#"
        exit 2
        --- stderr
        error: `workspace:/home/polis/no/file` was not copied
          caused by: there is no directory /home/polis/no
    "#]]
    .assert_eq(&seen(&cp(&sandbox, "pipe", "file", "workspace:no/file")));
    expect![[r#"
        exit 2
        --- stderr
        error: could not write to `no/out`
          caused by: there is no directory `no`
    "#]]
    .assert_eq(&seen(&cp(&sandbox, "pipe", "workspace:out", "no/out")));

    // A truncated transfer.
    sandbox.fault(Fault::of("transfer", Effect::Cut(700)));
    let ran = cp(&sandbox, "pipe", "file", "workspace:");
    assert_eq!(ran.code, Some(10), "{}", ran.seen());
    let words = "did not arrive completely";
    assert!(ran.stderr.contains(words), "{}", ran.seen());
    // The VM's disk is full, or a transfer fails.
    sandbox.set(|state| state.disk_full = true);
    let ran = cp(&sandbox, "pipe", "file", "workspace:");
    assert_eq!(ran.code, Some(10), "{}", ran.seen());
    sandbox.set(|state| state.disk_full = false);
    for route in ["pipe", "file"] {
        for (source, to) in [("file", "workspace:"), ("workspace:out", "here")] {
            let stderr = "transfer failed: no\n".to_owned();
            sandbox.fault(Fault::of("transfer", Effect::Exit { code: 2, stderr }));
            let ran = cp(&sandbox, route, source, to);
            assert_eq!(ran.code, Some(10), "{}", ran.seen());
        }
    }
    assert_eq!(names(&home), [".local", "file"]);
    assert_eq!(names(&sandbox.guest().path("/home/polis")), ["out"]);
    is_tidy(&sandbox);

    sandbox.set_instance(|instance| instance.power = Power::Stopped);
    let ran = cp(&sandbox, "pipe", "file", "workspace:");
    assert_eq!(ran.code, Some(13), "{}", ran.seen());
    assert_eq!(sandbox.power(), Some(Power::Stopped));
}

/// Whichever process is interrupted, and whenever, the destination does not exist and no temporary file is left.
#[test]
fn an_interrupted_copy_leaves_nothing_behind() {
    for (route, windows) in ROUTES {
        let sandbox = sandbox(windows);
        let home = sandbox.home();
        let config = home.join(".config/polis/config.toml");
        write(&config, format!("delivery = \"{route}\"").as_bytes(), 0o644);
        write(&home.join("file"), &vec![1; 1 << 20], 0o644);
        write(
            &sandbox.guest().path("/home/polis/out"),
            &vec![1; 1 << 20],
            0o644,
        );
        for (source, to) in [("file", "workspace:in"), ("workspace:out", "here")] {
            for call in ["transfer", "exec"] {
                for killed in [false, true] {
                    sandbox.fault(Fault::of(call, Effect::Hang));
                    let calls = sandbox.calls_of(call).len();
                    let running = sandbox.start_polis(&["cp", source, to]);
                    wait_until(|| sandbox.calls_of(call).len() > calls);
                    match killed {
                        true => running.kill(),
                        false => running.terminate(),
                    }
                    let ran = running.wait();
                    let expected = if killed { None } else { Some(130) };
                    assert_eq!(ran.code, expected, "{call}: {}", ran.seen());
                    assert_eq!(names(&home), [".config", ".local", "file"]);
                    assert_eq!(names(&sandbox.guest().path("/home/polis")), ["out"]);
                    let state = names(&home.join(".local/state/polis"));
                    // Multipass for Windows opens files by name, so a kill leaves one behind; a later copy removes it.
                    assert!(state == ["lock"] || windows && killed, "{state:?}");
                    for name in state.iter().filter(|name| *name != "lock") {
                        fs::remove_file(home.join(".local/state/polis").join(name)).unwrap();
                    }
                }
            }
        }
    }
}
