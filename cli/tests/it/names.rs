//! Several workspaces: each with its VM, its state and its settings, and no message that leads from one to another.

use std::fs;

use expect_test::expect;
use fake_multipass::{Access, Effect, Fault, Power, Ran, World};

use crate::support::{document, running, seen, world};

/// A world whose only workspace is called `two`, made by renaming the VM of a running one.
fn two() -> World {
    let world = running();
    world.set(|state| state.instances[0].name = "polis-two".to_owned());
    let guest = world.dir().join("guest");
    fs::rename(guest, world.dir().join("guest-polis-two")).expect("a guest");
    world
}

/// Every command that a message proposes names the workspace `two`; between backticks stands what was typed.
fn names_two(ran: &Ran) {
    let all = format!("{}{}", ran.stdout, ran.stderr);
    let proposals = all.match_indices("polis ").filter(|(at, _)| {
        let before = all[..*at].chars().next_back();
        before.is_none_or(|c| c.is_whitespace() || c == '"')
    });
    for (at, _) in proposals {
        let verb = &all[at + "polis ".len()..];
        let is_verb = [
            "start",
            "stop",
            "delete",
            "status",
            "shell",
            "exec",
            "doctor",
            "agent",
            "logs",
            "security",
            "ssh-config",
            "connect",
            "sync",
            "cp",
            "port",
            "snapshot",
        ]
        .iter()
        .any(|known| verb.starts_with(known));
        assert!(!is_verb, "polis {verb}\n--- in\n{}", ran.seen());
    }
}

#[test]
fn a_name_is_another_vm_and_another_state() {
    let world = running();
    let ran = world.polis(&["--name", "two", "start", "--quiet"]);
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    let names: Vec<String> = world
        .state()
        .instances
        .iter()
        .map(|it| it.name.clone())
        .collect();
    assert_eq!(names, ["polis", "polis-two"]);
    let state = world.home().join(".local/state/polis");
    assert!(state.join("workspaces/two/lock").exists());
    assert_eq!(world.refused(), [""; 0]);

    // Every command reaches that VM, and none the other.
    world.forget_calls();
    for args in [
        &["status"][..],
        &["exec", "--", "true"],
        &["logs", "state"],
        &["agent", "list"],
        &["stop"],
        &["delete", "--purge", "--yes"],
    ] {
        let ran = world.polis(&[&["--name", "two"], args].concat());
        assert_eq!(ran.code, Some(0), "{}", ran.seen());
        names_two(&ran);
    }
    for call in world.calls() {
        let line = call.line();
        assert!(
            !call
                .args
                .iter()
                .any(|arg| arg == "polis" || arg.starts_with("polis:"))
                || line.contains("-n polis-two"),
            "{line}"
        );
    }
    let names: Vec<String> = world
        .state()
        .instances
        .iter()
        .map(|it| it.name.clone())
        .collect();
    assert_eq!(names, ["polis"]);
    assert_eq!(world.power(), Some(Power::Running));
}

#[test]
fn two_workspaces_do_not_wait_for_each_other() {
    let world = running();
    let held = world.home().join(".local/state/polis/lock");
    let lock = fs::File::options().write(true).open(held).expect("a lock");
    lock.lock().expect("nobody else holds it");
    assert_eq!(world.polis(&["stop"]).code, Some(14));
    let ran = world.polis(&["stop", "--name", "two"]);
    assert_eq!(ran.code, Some(13), "{}", ran.seen());
}

#[test]
fn list_shows_the_workspaces_and_no_other_vm() {
    let world = running();
    world.set(|state| {
        for (name, power) in [
            ("polis-two", Power::Stopped),
            ("polis-default", Power::Running),
            ("primary", Power::Running),
            ("polisher", Power::Running),
            ("polis-a", Power::Deleted),
        ] {
            let mut instance = state.instances[0].clone();
            instance.name = name.to_owned();
            instance.power = power;
            state.instances.push(instance);
        }
    });
    let ran = world.polis_with(&["list"], &[("POLIS_NAME", "two")]);
    expect![[r#"
        exit 0
        --- stdout
          a        Deleted
          default  Running
        * two      Stopped
    "#]]
    .assert_eq(&seen(&ran));
    let listed = document(&world.polis(&["list", "--json"]));
    let first = &listed["result"]["workspaces"][1];
    assert_eq!(
        (&first["vm"], &first["current"]),
        (&"polis".into(), &true.into())
    );
    assert_eq!(world.mutations(), [""; 0]);
    let calls: Vec<String> = world.calls().iter().map(|call| call.line()).collect();
    assert_eq!(calls.len(), 2, "one call each: {calls:?}");
    let none = crate::support::world();
    let ran = none.polis(&["list", "--name", "two"]);
    assert_eq!(
        ran.stdout,
        "There is no workspace. Next: polis --name two start\n"
    );
}

#[test]
fn a_name_is_set_by_flag_environment_and_file() {
    let world = world();
    let config = world.home().join(".config/polis");
    fs::create_dir_all(&config).unwrap();
    let text = "name = \"filed\"\n[workspace.flag]\ncpus = 3\n";
    fs::write(config.join("config.toml"), text).unwrap();
    for (args, env, vm, next) in [
        (&["stop"][..], None, "polis-filed", "polis start"),
        (
            &["stop"],
            Some("env"),
            "polis-env",
            "polis --name env start",
        ),
        (
            &["stop", "--name", "flag"],
            Some("env"),
            "polis-flag",
            "polis --name flag start",
        ),
        (
            &["--name", "default", "stop"],
            None,
            "polis",
            "polis --name default start",
        ),
    ] {
        let env: Vec<_> = env.map(|name| ("POLIS_NAME", name)).into_iter().collect();
        let ran = world.polis_with(&[args, &["--json"]].concat(), &env);
        assert_eq!(document(&ran)["error"]["next"][0], next, "{vm}");
    }
    let plan = world.polis(&["start", "--dry-run", "--name", "flag"]);
    assert!(
        plan.stdout
            .contains("launch 24.04 --name polis-flag --cpus 3 "),
        "{}",
        plan.seen()
    );
    for bad in ["", "Two", "a/b", "../x", "-x", "a b", "polis.two"] {
        let ran = world.polis(&["status", &format!("--name={bad}")]);
        assert_eq!(ran.code, Some(2), "{}", ran.seen());
    }
}

/// In every state, and for every refusal of Multipass.
#[test]
fn every_proposed_command_names_the_workspace() {
    let words = |world: &World, verb: &[&str]| {
        names_two(&world.polis(&[&["--name", "two"], verb].concat()));
    };
    for power in [
        Power::Running,
        Power::Stopped,
        Power::Deleted,
        Power::DelayedShutdown,
        Power::Suspending,
        Power::Unknown,
        Power::Unavailable,
    ] {
        let world = two();
        world.set(|state| state.instances[0].power = power);
        for verb in [
            &["status"][..],
            &["doctor"],
            &["exec", "--", "true"],
            &["logs"],
            &["security", "status"],
            &["security", "pending"],
            &["port", "list"],
            &["port", "add", "8080"],
            &["port", "remove", "8080"],
            &["snapshot", "list"],
            &["snapshot", "restore", "none"],
            &["agent", "list"],
            &["agent", "show", "none"],
            &["agent", "remove", "none", "--purge"],
            &["ssh-config"],
            &["connect"],
            &["sync", "."],
            &["cp", "a", "b"],
            &["delete"],
            &["start", "--dry-run", "-e", "X"],
        ] {
            words(&world, verb);
        }
    }
    for access in [Access::Down, Access::Denied, Access::Unauthenticated] {
        let world = two();
        world.set(|state| state.access = access);
        for verb in [
            &["start"][..],
            &["stop"],
            &["status"],
            &["doctor"],
            &["list"],
        ] {
            words(&world, verb);
        }
    }
    let full = two();
    full.set(|state| state.disk_used = (96, 3));
    words(&full, &["status"]);
    words(&full, &["doctor"]);
    let lost = two();
    lost.fault(Fault::of(
        "exec",
        Effect::Exit {
            code: 255,
            stderr: String::new(),
        },
    ));
    words(&lost, &["start"]);
    for verb in [
        &["start", "--quiet"][..],
        &["stop"],
        &["delete", "--yes"],
        &["delete", "--yes"],
    ] {
        words(&two(), verb);
    }
}
