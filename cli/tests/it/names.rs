//! Several workspaces: each has its VM, state and settings, and no message points from one to another.

use std::fs;

use expect_test::expect;
use fake_multipass::{Access, Effect, Fault, Power, Ran, Sandbox};

use crate::support::{document, running, sandbox, seen};

/// A sandbox whose only workspace is called `two`. Renames the VM of a running one.
fn two() -> Sandbox {
    let sandbox = running();
    sandbox.set(|state| state.instances[0].name = "polis-two".to_owned());
    let guest = sandbox.dir().join("guest");
    fs::rename(guest, sandbox.dir().join("guest-polis-two")).expect("a guest");
    sandbox
}

/// Asserts that every command proposed by a message names the workspace `two`. Text in backticks quotes user input.
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
fn each_name_has_its_own_vm_and_state() {
    let sandbox = running();
    let ran = sandbox.polis(&["--name", "two", "start", "--quiet"]);
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    let names: Vec<String> = sandbox
        .state()
        .instances
        .iter()
        .map(|it| it.name.clone())
        .collect();
    assert_eq!(names, ["polis", "polis-two"]);
    let state = sandbox.home().join(".local/state/polis");
    assert!(state.join("workspaces/two/lock").exists());
    assert_eq!(sandbox.refused(), [""; 0]);

    // Every command reaches that VM and no other.
    sandbox.forget_calls();
    for args in [
        &["status"][..],
        &["exec", "--", "true"],
        &["logs", "state"],
        &["agent", "list"],
        &["stop"],
        &["delete", "--purge", "--yes"],
    ] {
        let ran = sandbox.polis(&[&["--name", "two"], args].concat());
        assert_eq!(ran.code, Some(0), "{}", ran.seen());
        names_two(&ran);
    }
    for call in sandbox.calls() {
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
    let names: Vec<String> = sandbox
        .state()
        .instances
        .iter()
        .map(|it| it.name.clone())
        .collect();
    assert_eq!(names, ["polis"]);
    assert_eq!(sandbox.power(), Some(Power::Running));
}

#[test]
fn workspaces_do_not_block_each_other() {
    let sandbox = running();
    let held = sandbox.home().join(".local/state/polis/lock");
    let lock = fs::File::options().write(true).open(held).expect("a lock");
    lock.lock().expect("the lock is free");
    assert_eq!(sandbox.polis(&["stop"]).code, Some(14));
    let ran = sandbox.polis(&["stop", "--name", "two"]);
    assert_eq!(ran.code, Some(13), "{}", ran.seen());
}

#[test]
fn list_shows_only_workspaces() {
    let sandbox = running();
    sandbox.set(|state| {
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
    let ran = sandbox.polis_with(&["list"], &[("POLIS_NAME", "two")]);
    expect![[r#"
        exit 0
        --- stdout
          a        Deleted
          default  Running
        * two      Stopped
    "#]]
    .assert_eq(&seen(&ran));
    let listed = document(&sandbox.polis(&["list", "--json"]));
    let first = &listed["result"]["workspaces"][1];
    assert_eq!(
        (&first["vm"], &first["current"]),
        (&"polis".into(), &true.into())
    );
    assert_eq!(sandbox.mutations(), [""; 0]);
    let calls: Vec<String> = sandbox.calls().iter().map(|call| call.line()).collect();
    assert_eq!(calls.len(), 2, "one call each: {calls:?}");
    let none = crate::support::sandbox();
    let ran = none.polis(&["list", "--name", "two"]);
    assert_eq!(
        ran.stdout,
        "There is no workspace. Next: polis --name two start\n"
    );
}

#[test]
fn a_name_is_set_by_flag_environment_and_file() {
    let sandbox = sandbox();
    let config = sandbox.home().join(".config/polis");
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
        let ran = sandbox.polis_with(&[args, &["--json"]].concat(), &env);
        assert_eq!(document(&ran)["error"]["next"][0], next, "{vm}");
    }
    let plan = sandbox.polis(&["start", "--dry-run", "--name", "flag"]);
    assert!(
        plan.stdout
            .contains("launch 24.04 --name polis-flag --cpus 3 "),
        "{}",
        plan.seen()
    );
    for bad in ["", "Two", "a/b", "../x", "-x", "a b", "polis.two"] {
        let ran = sandbox.polis(&["status", &format!("--name={bad}")]);
        assert_eq!(ran.code, Some(2), "{}", ran.seen());
    }
}

/// In every state, and for every way in which Multipass refuses.
#[test]
fn every_proposed_command_names_the_workspace() {
    let words = |sandbox: &Sandbox, verb: &[&str]| {
        names_two(&sandbox.polis(&[&["--name", "two"], verb].concat()));
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
        let sandbox = two();
        sandbox.set(|state| state.instances[0].power = power);
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
            words(&sandbox, verb);
        }
    }
    for access in [Access::Down, Access::Denied, Access::Unauthenticated] {
        let sandbox = two();
        sandbox.set(|state| state.access = access);
        for verb in [
            &["start"][..],
            &["stop"],
            &["status"],
            &["doctor"],
            &["list"],
        ] {
            words(&sandbox, verb);
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
