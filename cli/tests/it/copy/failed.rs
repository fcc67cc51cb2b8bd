//! Copies that fail or are interrupted: the message, the exit code, and no files left behind.

use std::fs;

use expect_test::expect;
use fake_multipass::{Effect, Fault, Power};

use super::{ROUTES, cp, is_tidy, names, world, write};
use crate::killed::wait_until;
use crate::support::seen;

#[test]
fn what_goes_wrong_is_said_and_leaves_nothing() {
    let world = world(false);
    let home = world.home();
    write(&home.join("file"), b"content", 0o644);
    write(&world.guest().path("/home/polis/out"), b"content", 0o644);
    expect![[r#"
        exit 2
        --- stderr
        error: neither side is in the workspace
          caused by: expected `workspace:PATH` for exactly one of the two
          hint: polis cp FILE workspace:   (into its home)
          hint: polis cp workspace:FILE .   (out of its home)
    "#]]
    .assert_eq(&seen(&cp(&world, "pipe", "file", "other")));
    expect![[r#"
        exit 2
        --- stderr
        error: `workspace:/home/polis/none` was not copied
          caused by: there is no /home/polis/none
    "#]]
    .assert_eq(&seen(&cp(&world, "pipe", "workspace:none", ".")));
    expect![[r#"
        exit 2
        --- stderr
        error: `none` cannot be copied
          caused by: No such file or directory (os error 2)
    "#]]
    .assert_eq(&seen(&cp(&world, "pipe", "none", "workspace:")));
    expect![[r#"
        exit 2
        --- stderr
        error: `workspace:/home/polis/no/file` was not copied
          caused by: there is no directory /home/polis/no
    "#]]
    .assert_eq(&seen(&cp(&world, "pipe", "file", "workspace:no/file")));
    expect![[r#"
        exit 2
        --- stderr
        error: `no/out` cannot be written
          caused by: there is no directory `no`
    "#]]
    .assert_eq(&seen(&cp(&world, "pipe", "workspace:out", "no/out")));

    // What was cut on its way.
    world.fault(Fault::of("transfer", Effect::Cut(700)));
    let ran = cp(&world, "pipe", "file", "workspace:");
    assert_eq!(ran.code, Some(10), "{}", ran.seen());
    let words = "did not arrive complete";
    assert!(ran.stderr.contains(words), "{}", ran.seen());
    // A full disk of the VM, and a transfer that fails.
    world.set(|state| state.disk_full = true);
    let ran = cp(&world, "pipe", "file", "workspace:");
    assert_eq!(ran.code, Some(10), "{}", ran.seen());
    world.set(|state| state.disk_full = false);
    for route in ["pipe", "file"] {
        for (source, to) in [("file", "workspace:"), ("workspace:out", "here")] {
            let stderr = "transfer failed: no\n".to_owned();
            world.fault(Fault::of("transfer", Effect::Exit { code: 2, stderr }));
            let ran = cp(&world, route, source, to);
            assert_eq!(ran.code, Some(10), "{}", ran.seen());
        }
    }
    assert_eq!(names(&home), [".local", "file"]);
    assert_eq!(names(&world.guest().path("/home/polis")), ["out"]);
    is_tidy(&world);

    world.set_instance(|instance| instance.power = Power::Stopped);
    let ran = cp(&world, "pipe", "file", "workspace:");
    assert_eq!(ran.code, Some(13), "{}", ran.seen());
    assert_eq!(world.power(), Some(Power::Stopped));
}

/// Whatever is told to end, and when, the destination is not there, and nothing is left beside it.
#[test]
fn a_copy_that_is_ended_in_the_middle_leaves_nothing() {
    for (route, windows) in ROUTES {
        let world = world(windows);
        let home = world.home();
        let config = home.join(".config/polis/config.toml");
        write(&config, format!("delivery = \"{route}\"").as_bytes(), 0o644);
        write(&home.join("file"), &vec![1; 1 << 20], 0o644);
        write(
            &world.guest().path("/home/polis/out"),
            &vec![1; 1 << 20],
            0o644,
        );
        for (source, to) in [("file", "workspace:in"), ("workspace:out", "here")] {
            for call in ["transfer", "exec"] {
                for killed in [false, true] {
                    world.fault(Fault::of(call, Effect::Hang));
                    let calls = world.calls_of(call).len();
                    let running = world.start_polis(&["cp", source, to]);
                    wait_until(|| world.calls_of(call).len() > calls);
                    match killed {
                        true => running.kill(),
                        false => running.terminate(),
                    }
                    let ran = running.wait();
                    let expected = if killed { None } else { Some(130) };
                    assert_eq!(ran.code, expected, "{call}: {}", ran.seen());
                    assert_eq!(names(&home), [".config", ".local", "file"]);
                    assert_eq!(names(&world.guest().path("/home/polis")), ["out"]);
                    let state = names(&home.join(".local/state/polis"));
                    // Multipass of Windows opens files by their names, so a kill leaves one, which a later copy removes.
                    assert!(state == ["lock"] || windows && killed, "{state:?}");
                    for name in state.iter().filter(|name| *name != "lock") {
                        fs::remove_file(home.join(".local/state/polis").join(name)).unwrap();
                    }
                }
            }
        }
    }
}
