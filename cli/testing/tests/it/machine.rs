//! The container backend answers like the other one. A script replaces Docker, so that a test decides when the machine is up; the
//! stages of compose/proof use the real Docker.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use fake_multipass::{Access, Effect, Fault, Sandbox};

use crate::{run, until};

/// Keeps the container's status in a file; the guest is up once the file `up` exists.
const DOCKER: &str = r#"#!/bin/sh
cd "$FAKE_MULTIPASS/docker"
case $1 in
  ps) [ ! -e status ] || echo id ;;
  inspect) cat status ;;
  start) echo running >status ;;
  stop | kill) echo exited >status; rm -f up ;;
  rm) rm -f status up ;;
  exec)
    case $* in
      *timeout*nologin*) until [ -e up ]; do sleep 0.01; done ;;
      *nologin*) [ -e up ] ;;
      *)
        while [ "$1" != machine ]; do shift; done
        shift
        exec "$@"
        ;;
    esac
    ;;
esac
"#;

/// A sandbox whose machine is created but not started.
fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new().on_machine("machine");
    let docker = sandbox.dir().join("bin/docker");
    fs::write(&docker, DOCKER).expect("a script");
    fs::set_permissions(&docker, fs::Permissions::from_mode(0o755)).expect("a mode");
    fs::create_dir(sandbox.dir().join("docker")).expect("a folder");
    fs::write(sandbox.dir().join("docker/status"), "created\n").expect("a status");
    sandbox
}

/// Makes the machine finish its boot.
fn up(sandbox: &Sandbox) {
    fs::write(sandbox.dir().join("docker/up"), "").expect("a mark");
}

fn listed(sandbox: &Sandbox, state: &str) -> bool {
    let ran = run(sandbox, &["list", "--format", "json"]);
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    ran.stdout.contains(&format!("\"state\": \"{state}\""))
}

/// Exit code and standard error.
fn told(sandbox: &Sandbox, args: &[&str]) -> (Option<i32>, String) {
    let ran = run(sandbox, args);
    (ran.code, ran.stderr)
}

const EXEC: [&str; 5] = ["exec", "-n", "polis", "--", "true"];

#[test]
fn it_boots_like_the_other_backend() {
    let sandbox = sandbox();
    let launch = sandbox.start_multipass(&crate::LAUNCH, crate::CLOUD_INIT.as_bytes());
    until("it is on", || listed(&sandbox, "Unknown"));
    let words = "Cannot retrieve credentials in unknown state\n";
    assert_eq!(
        told(&sandbox, &EXEC),
        (Some(2), format!("exec failed: {words}"))
    );
    let transfer = told(&sandbox, &["transfer", "-", "polis:x"]);
    assert_eq!(transfer, (Some(2), format!("transfer failed: {words}")));
    assert_eq!(run(&sandbox, &["start", "polis"]).code, Some(2));
    up(&sandbox);
    let ran = launch.wait();
    assert!(
        ran.code == Some(0) && ran.stdout.ends_with("Launched: polis\n"),
        "{}",
        ran.seen()
    );
    assert!(listed(&sandbox, "Running"));
    let (code, words) = told(&sandbox, &["launch", "--name", "polis"]);
    assert!(
        code == Some(2) && words.ends_with("already exists\n"),
        "{words}"
    );

    assert_eq!(run(&sandbox, &["stop", "polis"]).code, Some(0));
    assert!(listed(&sandbox, "Stopped"));
    let exec = sandbox.start_multipass(&["exec", "-n", "polis", "--", "echo", "hello"], b"");
    until("it boots again", || listed(&sandbox, "Starting"));
    let (code, words) = told(&sandbox, &["stop", "polis"]);
    assert!(
        code == Some(2) && words.contains("while starting."),
        "{words}"
    );
    up(&sandbox);
    let ran = exec.wait();
    assert!(
        ran.code == Some(0) && ran.stdout.ends_with("hello\n"),
        "{}",
        ran.seen()
    );
}

#[test]
fn it_is_deleted_like_the_other_backend() {
    let sandbox = sandbox();
    let missing = "The following errors occurred:\ninstance \"polis\" does not exist\n";
    let absent = told(&sandbox, &EXEC);
    assert_eq!(absent, (Some(2), format!("exec failed: {missing}")));
    up(&sandbox);
    assert_eq!(run(&sandbox, &["launch", "--name", "polis"]).code, Some(0));
    assert_eq!(run(&sandbox, &["delete", "polis"]).code, Some(0));
    let deleted = missing.replace("does not exist", "is deleted");
    for (command, args) in [("exec", &EXEC[..]), ("stop", &["stop", "polis"])] {
        assert_eq!(
            told(&sandbox, args),
            (Some(2), format!("{command} failed: {deleted}"))
        );
    }
    let (code, words) = told(&sandbox, &["start", "polis"]);
    assert!(
        code == Some(2) && words.contains("Use 'recover' to recover it or 'purge'"),
        "{words}"
    );
    assert_eq!(run(&sandbox, &["delete", "--purge", "polis"]).code, Some(0));
    assert_eq!(told(&sandbox, &EXEC), absent);
}

#[test]
fn the_daemon_may_be_unreachable_or_busy() {
    let sandbox = sandbox();
    sandbox.fault(Fault::of("list", Effect::Access(Access::Down)));
    let words = "list failed: cannot connect to the multipass socket\n";
    assert_eq!(told(&sandbox, &["list"]), (Some(2), words.to_owned()));
    sandbox.set(|state| state.busy_until = u64::MAX);
    let mut list = sandbox.start_multipass(&["list"], b"");
    until("it has asked", || sandbox.calls_of("list").len() == 2);
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert!(list.runs());
    sandbox.set(|state| state.busy_until = 0);
    assert_eq!(list.wait().code, Some(0));
}
