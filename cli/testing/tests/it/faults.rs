//! Faults that may strike any call, and the harness that the tests of `polis` use: here a shell script stands for it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use fake_multipass::{Access, Effect, Fault, Power, World};

use crate::{CLOUD_INIT, LAUNCH, LONG, launch, launched, let_time_pass, run, until};

/// A world whose `polis` is this script.
fn scripted(script: &str) -> World {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("polis");
    fs::write(&path, format!("#!/bin/bash\n{script}\n")).expect("a script");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a mode");
    let world = World::of(path.clone());
    // Into the world's own directory, so that it lives as long.
    let kept = world.dir().join("polis");
    fs::copy(&path, &kept).expect("a copy");
    fs::remove_file(&path).expect("a script");
    std::os::unix::fs::symlink(&kept, &path).expect("a link");
    std::mem::forget(dir);
    world
}

#[test]
fn polis_is_killed_before_or_after_a_call_takes_effect() {
    let script =
        "multipass launch --name polis --cloud-init /dev/stdin <\"$HOME/user-data\"; echo survived";
    for (effect, exists) in [(Effect::KillBefore, false), (Effect::KillAfter, true)] {
        let world = scripted(&script.replace("/dev/stdin <", "").replace('"', ""));
        fs::write(world.home().join("user-data"), CLOUD_INIT).expect("user-data");
        world.fault(Fault::of("launch", effect));
        let ran = world.polis(&[]);
        assert_eq!((ran.code, ran.signal), (None, Some(9)), "{}", ran.seen());
        assert!(!ran.stdout.contains("survived"));
        until("the call is recorded", || {
            world
                .calls_of("launch")
                .iter()
                .any(|call| call.end.is_some())
        });
        assert_eq!(world.instance().is_some(), exists);
        let mutated: Vec<bool> = world.calls().iter().map(|call| call.mutated()).collect();
        assert_eq!(mutated, [exists]);
    }
}

#[test]
fn polis_is_killed_while_the_machine_is_prepared() {
    let world = scripted("multipass launch --name polis --cloud-init user-data");
    fs::write(world.home().join("user-data"), CLOUD_INIT).expect("user-data");
    world.fault(Fault::of("launch", Effect::KillWhilePreparing(LONG)));
    assert_eq!(world.polis(&[]).signal, Some(9));
    assert_eq!(world.power(), None);
    let ran = launch(&world);
    assert_eq!(
        (ran.code, ran.stderr.as_str()),
        (
            Some(2),
            "launch failed: instance \"polis\" is being prepared\n"
        )
    );
    let_time_pass(&world);
    assert_eq!(world.power(), Some(Power::Running));
    until("it is provisioned", || {
        world.instance().is_some() && world.guest_has("/var/lib/polis/provisioned.json")
    });
}

#[test]
fn a_test_itself_is_never_killed() {
    let world = World::new();
    world.fault(Fault::any(Effect::KillBefore));
    assert_eq!(run(&world, &["list"]).code, Some(137));
}

#[test]
fn a_call_alone_can_die() {
    let world = launched();
    world.fault(Fault::of("stop", Effect::DieAfter));
    assert_eq!(run(&world, &["stop", "polis"]).signal, Some(9));
    assert_eq!(world.power(), Some(Power::Stopped));
}

#[test]
fn calls_hang_and_are_slow() {
    let world = launched();
    world.fault(Fault::of("list", Effect::Hang));
    world.fault(Fault::of("stop", Effect::HangAfter));
    world.fault(Fault::of("version", Effect::Slow(300)));
    let mut list = world.start_multipass(&["list"], b"");
    let mut stop = world.start_multipass(&["stop", "polis"], b"");
    let start = Instant::now();
    assert_eq!(run(&world, &["version"]).code, Some(0));
    assert!(start.elapsed() >= Duration::from_millis(300));
    until("it is stopped", || world.power() == Some(Power::Stopped));
    assert!(list.runs() && stop.runs());
    assert_eq!(list.stdout(), "");
}

#[test]
fn what_hangs_ends_with_its_parent() {
    let world = scripted("multipass list & wait");
    world.fault(Fault::of("list", Effect::Hang));
    let polis = world.start_polis(&[]);
    until("the call has started", || !world.calls().is_empty());
    polis.kill();
    until("the call has ended", || {
        world.calls().iter().all(|call| call.end.is_some())
    });
}

#[test]
fn the_nth_call_alone_is_struck() {
    let world = World::new();
    world.fault(Fault::of("list", Effect::Access(Access::Down)).nth(2));
    world.fault(
        Fault::of(
            "list",
            Effect::Exit {
                code: 7,
                stderr: "odd\n".into(),
            },
        )
        .nth(3)
        .times(2),
    );
    let codes: Vec<Option<i32>> = (0..5).map(|_| run(&world, &["list"]).code).collect();
    assert_eq!(codes, [0, 2, 7, 7, 0].map(Some));
    world.fault(Fault::of("info", Effect::Access(Access::Denied)).always());
    for _ in 0..3 {
        assert_eq!(
            run(&world, &["info"]).stderr,
            "info failed: multipass socket access denied\n"
        );
    }
    world.clear_faults();
    assert_eq!(run(&world, &["info"]).code, Some(0));
}

#[test]
fn streams_can_be_noisy() {
    let world = World::new();
    world.fault(Fault::of("info", Effect::DoubledStderr));
    let words = "info failed: The following errors occurred:\ninstance \"polis\" does not exist\n";
    assert_eq!(run(&world, &["info", "polis"]).stderr, words.repeat(2));
    world.fault(Fault::of("list", Effect::AnsiNoise));
    let noisy = run(&world, &["list", "--format", "json"]).stdout;
    assert!(
        noisy.starts_with('\u{1b}') && noisy.ends_with("{\n  \"list\": []\n}\n"),
        "{noisy:?}"
    );
}

#[test]
fn polis_runs_in_an_environment_of_its_own() {
    let world = scripted("env | sort; cat; pwd; echo \"$@\" >&2; multipass version");
    let ran = world.polis_with(&["a", "b"], &[("EXTRA", "1")]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), "a b\n"));
    let ours = std::process::id().to_string();
    for line in ran.stdout.lines().filter_map(|line| line.split_once('=')) {
        let world_s = line.1.starts_with("[WORLD]") || line.1 == ours;
        let known = matches!(line.0, "LANG" | "EXTRA" | "SHLVL" | "_" | "PWD" | "OLDPWD");
        assert!(world_s || known, "{line:?}");
    }
    assert!(
        ran.stdout.contains("multipassd  1.16.3\n"),
        "{}",
        ran.seen()
    );
    assert_eq!(world.calls_of("version").len(), 1);
    world.uninstall();
    assert!(
        world
            .polis(&[])
            .stderr
            .contains("multipass: command not found")
    );
}

#[test]
fn ctrl_c_reaches_polis_and_its_call() {
    let world = World::new();
    world.set(|state| state.timing.provision = 60_000);
    let child = world.start_multipass(&LAUNCH, CLOUD_INIT.as_bytes());
    until("it runs", || world.power() == Some(Power::Running));
    child.interrupt();
    assert_eq!(child.wait().signal, Some(2));
    assert_eq!(world.power(), Some(Power::Running));
}
