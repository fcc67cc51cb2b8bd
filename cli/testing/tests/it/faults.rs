//! Faults that may strike any call, and the harness for the tests of `polis`, for which a shell script stands in here.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use fake_multipass::{Access, Effect, Fault, Power, Sandbox};

use crate::{CLOUD_INIT, LAUNCH, LONG, launch, launched, let_time_pass, run, until};

/// A sandbox whose `polis` is a script.
fn scripted(script: &str) -> Sandbox {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("polis");
    fs::write(&path, format!("#!/bin/bash\n{script}\n")).expect("a script");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a mode");
    let sandbox = Sandbox::of(path.clone());
    // In the sandbox's own directory, so that it is removed with it.
    let kept = sandbox.dir().join("polis");
    fs::copy(&path, &kept).expect("a copy");
    fs::remove_file(&path).expect("a script");
    std::os::unix::fs::symlink(&kept, &path).expect("a link");
    std::mem::forget(dir);
    sandbox
}

#[test]
fn polis_is_killed_before_or_after_a_call_takes_effect() {
    let script =
        "multipass launch --name polis --cloud-init /dev/stdin <\"$HOME/user-data\"; echo survived";
    for (effect, exists) in [(Effect::KillBefore, false), (Effect::KillAfter, true)] {
        let sandbox = scripted(&script.replace("/dev/stdin <", "").replace('"', ""));
        fs::write(sandbox.home().join("user-data"), CLOUD_INIT).expect("user-data");
        sandbox.fault(Fault::of("launch", effect));
        let ran = sandbox.polis(&[]);
        assert_eq!((ran.code, ran.signal), (None, Some(9)), "{}", ran.seen());
        assert!(!ran.stdout.contains("survived"));
        until("the call is recorded", || {
            sandbox
                .calls_of("launch")
                .iter()
                .any(|call| call.end.is_some())
        });
        assert_eq!(sandbox.instance().is_some(), exists);
        let mutated: Vec<bool> = sandbox.calls().iter().map(|call| call.mutated()).collect();
        assert_eq!(mutated, [exists]);
    }
}

#[test]
fn polis_is_killed_while_the_machine_is_prepared() {
    let sandbox = scripted("multipass launch --name polis --cloud-init user-data");
    fs::write(sandbox.home().join("user-data"), CLOUD_INIT).expect("user-data");
    sandbox.fault(Fault::of("launch", Effect::KillWhilePreparing(LONG)));
    assert_eq!(sandbox.polis(&[]).signal, Some(9));
    assert_eq!(sandbox.power(), None);
    let ran = launch(&sandbox);
    assert_eq!(
        (ran.code, ran.stderr.as_str()),
        (
            Some(2),
            "launch failed: instance \"polis\" is being prepared\n"
        )
    );
    let_time_pass(&sandbox);
    assert_eq!(sandbox.power(), Some(Power::Running));
    until("it is provisioned", || {
        sandbox.instance().is_some() && sandbox.guest_has("/var/lib/polis/provisioned.json")
    });
}

#[test]
fn the_test_itself_is_never_killed() {
    let sandbox = Sandbox::new();
    sandbox.fault(Fault::any(Effect::KillBefore));
    assert_eq!(run(&sandbox, &["list"]).code, Some(137));
}

#[test]
fn a_call_can_be_killed_alone() {
    let sandbox = launched();
    sandbox.fault(Fault::of("stop", Effect::DieAfter));
    assert_eq!(run(&sandbox, &["stop", "polis"]).signal, Some(9));
    assert_eq!(sandbox.power(), Some(Power::Stopped));
}

#[test]
fn calls_can_hang_or_be_slow() {
    let sandbox = launched();
    sandbox.fault(Fault::of("list", Effect::Hang));
    sandbox.fault(Fault::of("stop", Effect::HangAfter));
    sandbox.fault(Fault::of("version", Effect::Slow(300)));
    let mut list = sandbox.start_multipass(&["list"], b"");
    let mut stop = sandbox.start_multipass(&["stop", "polis"], b"");
    let start = Instant::now();
    assert_eq!(run(&sandbox, &["version"]).code, Some(0));
    assert!(start.elapsed() >= Duration::from_millis(300));
    until("it is stopped", || sandbox.power() == Some(Power::Stopped));
    assert!(list.runs() && stop.runs());
    assert_eq!(list.stdout(), "");
}

#[test]
fn a_hanging_call_ends_with_its_parent() {
    let sandbox = scripted("multipass list & wait");
    sandbox.fault(Fault::of("list", Effect::Hang));
    let polis = sandbox.start_polis(&[]);
    until("the call has started", || !sandbox.calls().is_empty());
    polis.kill();
    until("the call has ended", || {
        sandbox.calls().iter().all(|call| call.end.is_some())
    });
}

#[test]
fn only_the_nth_call_is_struck() {
    let sandbox = Sandbox::new();
    sandbox.fault(Fault::of("list", Effect::Access(Access::Down)).nth(2));
    sandbox.fault(
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
    let codes: Vec<Option<i32>> = (0..5).map(|_| run(&sandbox, &["list"]).code).collect();
    assert_eq!(codes, [0, 2, 7, 7, 0].map(Some));
    sandbox.fault(Fault::of("info", Effect::Access(Access::Denied)).always());
    for _ in 0..3 {
        assert_eq!(
            run(&sandbox, &["info"]).stderr,
            "info failed: multipass socket access denied\n"
        );
    }
    sandbox.clear_faults();
    assert_eq!(run(&sandbox, &["info"]).code, Some(0));
}

#[test]
fn streams_can_be_noisy() {
    let sandbox = Sandbox::new();
    sandbox.fault(Fault::of("info", Effect::DoubledStderr));
    let words = "info failed: The following errors occurred:\ninstance \"polis\" does not exist\n";
    assert_eq!(run(&sandbox, &["info", "polis"]).stderr, words.repeat(2));
    sandbox.fault(Fault::of("list", Effect::AnsiNoise));
    let noisy = run(&sandbox, &["list", "--format", "json"]).stdout;
    assert!(
        noisy.starts_with('\u{1b}') && noisy.ends_with("{\n  \"list\": []\n}\n"),
        "{noisy:?}"
    );
}

#[test]
fn polis_runs_in_its_own_environment() {
    let sandbox = scripted("env | sort; cat; pwd; echo \"$@\" >&2; multipass version");
    let ran = sandbox.polis_with(&["a", "b"], &[("EXTRA", "1")]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), "a b\n"));
    let ours = std::process::id().to_string();
    for line in ran.stdout.lines().filter_map(|line| line.split_once('=')) {
        let is_sandbox = line.1.starts_with("[SANDBOX]") || line.1 == ours;
        let known = matches!(line.0, "LANG" | "EXTRA" | "SHLVL" | "_" | "PWD" | "OLDPWD");
        assert!(is_sandbox || known, "{line:?}");
    }
    assert!(
        ran.stdout.contains("multipassd  1.16.3\n"),
        "{}",
        ran.seen()
    );
    assert_eq!(sandbox.calls_of("version").len(), 1);
    sandbox.uninstall();
    assert!(
        sandbox
            .polis(&[])
            .stderr
            .contains("multipass: command not found")
    );
}

#[test]
fn ctrl_c_reaches_polis_and_its_call() {
    let sandbox = Sandbox::new();
    sandbox.set(|state| state.timing.provision = 60_000);
    let child = sandbox.start_multipass(&LAUNCH, CLOUD_INIT.as_bytes());
    until("it runs", || sandbox.power() == Some(Power::Running));
    child.interrupt();
    assert_eq!(child.wait().signal, Some(2));
    assert_eq!(sandbox.power(), Some(Power::Running));
}
