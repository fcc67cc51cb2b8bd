//! The backend that is a container: it says what the other one says. A script stands for Docker, so that a test decides
//! when the machine is up; the stages of compose/proof use the real one.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use fake_multipass::{Access, Effect, Fault, World};

use crate::{run, until};

/// Keeps the container's status in a file; its guest is up once `up` is there.
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

/// A world whose machine is made and not started.
fn world() -> World {
    let world = World::new().on_machine("machine");
    let docker = world.dir().join("bin/docker");
    fs::write(&docker, DOCKER).expect("a script");
    fs::set_permissions(&docker, fs::Permissions::from_mode(0o755)).expect("a mode");
    fs::create_dir(world.dir().join("docker")).expect("a folder");
    fs::write(world.dir().join("docker/status"), "created\n").expect("a status");
    world
}

/// The machine has booted.
fn up(world: &World) {
    fs::write(world.dir().join("docker/up"), "").expect("a mark");
}

fn listed(world: &World, state: &str) -> bool {
    let ran = run(world, &["list", "--format", "json"]);
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    ran.stdout.contains(&format!("\"state\": \"{state}\""))
}

/// Exit code and standard error.
fn told(world: &World, args: &[&str]) -> (Option<i32>, String) {
    let ran = run(world, args);
    (ran.code, ran.stderr)
}

const EXEC: [&str; 5] = ["exec", "-n", "polis", "--", "true"];

#[test]
fn it_boots_as_the_other_one_does() {
    let world = world();
    let launch = world.start_multipass(&crate::LAUNCH, crate::CLOUD_INIT.as_bytes());
    until("it is on", || listed(&world, "Unknown"));
    let words = "Cannot retrieve credentials in unknown state\n";
    assert_eq!(
        told(&world, &EXEC),
        (Some(2), format!("exec failed: {words}"))
    );
    let transfer = told(&world, &["transfer", "-", "polis:x"]);
    assert_eq!(transfer, (Some(2), format!("transfer failed: {words}")));
    assert_eq!(run(&world, &["start", "polis"]).code, Some(2));
    up(&world);
    let ran = launch.wait();
    assert!(
        ran.code == Some(0) && ran.stdout.ends_with("Launched: polis\n"),
        "{}",
        ran.seen()
    );
    assert!(listed(&world, "Running"));
    let (code, words) = told(&world, &["launch", "--name", "polis"]);
    assert!(
        code == Some(2) && words.ends_with("already exists\n"),
        "{words}"
    );

    assert_eq!(run(&world, &["stop", "polis"]).code, Some(0));
    assert!(listed(&world, "Stopped"));
    let exec = world.start_multipass(&["exec", "-n", "polis", "--", "echo", "hello"], b"");
    until("it boots again", || listed(&world, "Starting"));
    let (code, words) = told(&world, &["stop", "polis"]);
    assert!(
        code == Some(2) && words.contains("while starting."),
        "{words}"
    );
    up(&world);
    let ran = exec.wait();
    assert!(
        ran.code == Some(0) && ran.stdout.ends_with("hello\n"),
        "{}",
        ran.seen()
    );
}

#[test]
fn it_is_deleted_as_the_other_one_is() {
    let world = world();
    let missing = "The following errors occurred:\ninstance \"polis\" does not exist\n";
    let absent = told(&world, &EXEC);
    assert_eq!(absent, (Some(2), format!("exec failed: {missing}")));
    up(&world);
    assert_eq!(run(&world, &["launch", "--name", "polis"]).code, Some(0));
    assert_eq!(run(&world, &["delete", "polis"]).code, Some(0));
    let deleted = missing.replace("does not exist", "is deleted");
    for (command, args) in [("exec", &EXEC[..]), ("stop", &["stop", "polis"])] {
        assert_eq!(
            told(&world, args),
            (Some(2), format!("{command} failed: {deleted}"))
        );
    }
    let (code, words) = told(&world, &["start", "polis"]);
    assert!(
        code == Some(2) && words.contains("Use 'recover' to recover it or 'purge'"),
        "{words}"
    );
    assert_eq!(run(&world, &["delete", "--purge", "polis"]).code, Some(0));
    assert_eq!(told(&world, &EXEC), absent);
}

#[test]
fn the_daemon_may_be_out_of_reach_or_busy() {
    let world = world();
    world.fault(Fault::of("list", Effect::Access(Access::Down)));
    let words = "list failed: cannot connect to the multipass socket\n";
    assert_eq!(told(&world, &["list"]), (Some(2), words.to_owned()));
    world.set(|state| state.busy_until = u64::MAX);
    let mut list = world.start_multipass(&["list"], b"");
    until("it has asked", || world.calls_of("list").len() == 2);
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert!(list.runs());
    world.set(|state| state.busy_until = 0);
    assert_eq!(list.wait().code, Some(0));
}
