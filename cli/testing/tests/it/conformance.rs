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

/// Every row of a group is as the double has it.
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
    assert_eq!(world.state().instances, [], "it left an instance behind");
}

/// Every row of a group differs if the double ends with another code.
fn notices_codes(group: &str) {
    assert_eq!(unnoticed(group, "exit 77"), [""; 0]);
}

/// Every row of a group differs if the double prints other words.
fn notices_words(group: &str) {
    let wrong =
        "\"$double\" \"$@\" >/dev/null 2>&1; code=$?; echo wrong; echo wrong >&2; exit $code";
    let mut unnoticed = unnoticed(group, wrong);
    // Rows that expect a hang compare no output.
    let endless = [
        "exec-code-4",
        "exec-closed-pipe",
        "exec-background",
        "stop-booting",
    ];
    unnoticed.retain(|row| !endless.contains(&row.as_str()));
    assert_eq!(unnoticed, [""; 0]);
}

/// The rows of a group that a wrong double passes.
fn unnoticed(group: &str, wrong: &str) -> Vec<String> {
    let world = arranged(group);
    mutate(&world, wrong);
    let ran = conformance(&world, &[group]);
    assert_eq!(ran.code, Some(1), "{}", ran.seen());
    let passed = ran
        .stdout
        .lines()
        .filter_map(|line| line.strip_prefix("ok "));
    passed.map(|row| row.trim().to_owned()).collect()
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

/// The tests of these groups: one each for the double as it is, and for two that are wrong. The rows mostly wait, so
/// these run at the same time.
macro_rules! groups {
    ($($name:ident: $groups:expr,)*) => {$(
        mod $name {
            #[test]
            fn the_double_conforms() {
                $groups.into_iter().for_each(super::holds);
            }

            #[test]
            fn a_wrong_exit_code_is_noticed() {
                $groups.into_iter().for_each(super::notices_codes);
            }

            #[test]
            fn wrong_output_is_noticed() {
                $groups.into_iter().for_each(super::notices_words);
            }
        }
    )*};
}

groups! {
    without_an_instance: ["plain"],
    through_the_states_of_an_instance: ["vm"],
    through_a_first_boot: ["boot"],
    without_a_name: ["bare"],
    in_conditions_of_the_client: ["daemon-down", "no-access", "unauthenticated", "never-ran"],
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
