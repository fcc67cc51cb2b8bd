//! The double against the rows of the contract, which a maintainer asks of the real program, and whether asking can fail.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use fake_multipass::{Access, Ran, World};

/// Asks the rows of these groups in a world.
fn conformance(world: &World, groups: &[&str]) -> Ran {
    let options = ["--patience", "1", "--limit", "60"];
    let args = [&options[..], groups].concat();
    world.run(Path::new(env!("CARGO_BIN_EXE_conformance")), &args)
}

/// The rows of a group.
fn rows(world: &World, group: &str) -> usize {
    let listed = conformance(world, &["--list", group]);
    assert_eq!(listed.code, Some(0), "{}", listed.seen());
    listed
        .stdout
        .lines()
        .filter(|line| !line.starts_with(' '))
        .count()
}

/// A world in which the rows of a group can be asked.
fn arranged(group: &str) -> World {
    let world = World::new().with_limit(Duration::from_secs(300));
    world.set(|state| match group {
        // Long enough that a call which does not wait for it is seen.
        "vm" => state.timing.shutdown = 2_000,
        "boot" => {
            state.timing.boot_lists = 100_000;
            state.timing.lost_button = 2_000;
        }
        "daemon-down" => state.access = Access::Down,
        "no-access" => state.access = Access::Denied,
        "unauthenticated" => state.access = Access::Unauthenticated,
        "never-ran" => state.access = Access::NeverRan,
        _ => {}
    });
    world
}

/// Whether every row of a group is as the double has it, and each one is missed in doubles that are wrong.
fn holds(group: &str) {
    let world = arranged(group);
    let ran = conformance(&world, &[group]);
    let count = rows(&world, group);
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    assert!(
        count > 0
            && ran
                .stdout
                .ends_with(&format!("{count} rows asked, 0 differ\n"))
    );
    assert_eq!(world.state().instances, [], "what it made is gone");

    let endless = [
        "exec-code-4",
        "exec-closed-pipe",
        "exec-background",
        "stop-booting",
    ];
    let wrong_code = "exit 77";
    let wrong_words =
        "\"$double\" \"$@\" >/dev/null 2>&1; code=$?; echo wrong; echo wrong >&2; exit $code";
    for wrong in [wrong_code, wrong_words] {
        let world = arranged(group);
        mutate(&world, wrong);
        let ran = conformance(&world, &[group]);
        assert_eq!(ran.code, Some(1), "{}", ran.seen());
        let missed = ran
            .stdout
            .lines()
            .filter_map(|line| line.strip_prefix("ok "));
        let missed: Vec<&str> = missed
            .map(str::trim)
            // What must not end has no words.
            .filter(|row| wrong == wrong_code || !endless.contains(row))
            .collect();
        assert_eq!(missed, [""; 0], "{wrong}: {}", ran.seen());
    }
}

/// Puts a wrong answer in the place of the double's, but only where a row is asked.
fn mutate(world: &World, wrong: &str) {
    let bin = world.dir().join("bin");
    let program = bin.join("multipass");
    let double = bin.join("right/multipass");
    fs::create_dir(bin.join("right")).expect("a folder");
    fs::rename(&program, &double).expect("the double");
    let double = double.display();
    let script = format!(
        "#!/bin/sh\ndouble='{double}'\n[ \"$CONFORMANCE_ROW\" ] || exec \"$double\" \"$@\"\n{wrong}\n"
    );
    fs::write(&program, script).expect("a script");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("a mode");
}

#[test]
fn without_an_instance() {
    holds("plain");
}

#[test]
fn through_the_states_of_an_instance() {
    holds("vm");
}

#[test]
fn through_a_first_boot() {
    holds("boot");
}

#[test]
fn without_a_name() {
    holds("bare");
}

#[test]
fn in_conditions_of_the_client() {
    for group in ["daemon-down", "no-access", "unauthenticated", "never-ran"] {
        holds(group);
    }
}

#[test]
fn nobody_s_instance_is_touched() {
    for (name, group) in [("polis-conformance", "vm"), ("primary", "bare")] {
        let world = World::new();
        let ran = world.multipass(&["launch", "--name", name], b"");
        assert_eq!(ran.code, Some(0), "{}", ran.seen());
        world.forget_calls();
        let ran = conformance(&world, &[group]);
        let refused = ran.stderr.contains(&format!("an instance `{name}` exists"));
        assert!(ran.code == Some(2) && refused, "{}", ran.seen());
        assert_eq!(world.mutations(), [""; 0]);
    }
}

#[test]
fn what_cannot_be_asked_is_2() {
    let world = World::new();
    assert_eq!(conformance(&world, &["frob"]).code, Some(2));
    assert_eq!(conformance(&world, &["plain", "never-ran"]).code, Some(2));
    world.uninstall();
    assert_eq!(conformance(&world, &[]).code, Some(2));
}
