//! Checks the fake against the rows of the contract, which a maintainer checks against the real program, and whether the check can
//! fail.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use fake_multipass::{Access, Ran, Sandbox};

/// Checks the rows of these groups in a sandbox.
fn conformance(sandbox: &Sandbox, groups: &[&str]) -> Ran {
    let options = ["--patience", "1", "--limit", "60"];
    let args = [&options[..], groups].concat();
    sandbox.run(Path::new(env!("CARGO_BIN_EXE_conformance")), &args)
}

/// The number of rows in a group.
fn rows(sandbox: &Sandbox, group: &str) -> usize {
    let listed = conformance(sandbox, &["--list", group]);
    assert_eq!(listed.code, Some(0), "{}", listed.seen());
    listed
        .stdout
        .lines()
        .filter(|line| !line.starts_with(' '))
        .count()
}

/// A sandbox arranged for the rows of a group.
fn arranged(group: &str) -> Sandbox {
    let sandbox = Sandbox::new().with_limit(Duration::from_secs(300));
    sandbox.set(|state| match group {
        // Long enough to detect a call that does not wait for it.
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
    sandbox
}

/// Asserts that the fake passes every row of a group.
fn holds(group: &str) {
    let sandbox = arranged(group);
    let ran = conformance(&sandbox, &[group]);
    let count = rows(&sandbox, group);
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    assert!(
        count > 0
            && ran
                .stdout
                .ends_with(&format!("{count} rows checked, 0 differ\n"))
    );
    assert_eq!(sandbox.state().instances, [], "it left an instance behind");
}

/// Asserts that every row of a group fails if the fake exits with another code.
fn detects_codes(group: &str) {
    assert_eq!(undetected(group, "exit 77"), [""; 0]);
}

/// Asserts that every row of a group fails if the fake prints something else.
fn detects_output(group: &str) {
    let wrong = "\"$fake\" \"$@\" >/dev/null 2>&1; code=$?; echo wrong; echo wrong >&2; exit $code";
    let mut undetected = undetected(group, wrong);
    // Rows that expect a hang compare no output.
    let endless = [
        "exec-code-4",
        "exec-closed-pipe",
        "exec-background",
        "stop-booting",
    ];
    undetected.retain(|row| !endless.contains(&row.as_str()));
    assert_eq!(undetected, [""; 0]);
}

/// The rows of a group that pass although the fake is wrong.
fn undetected(group: &str, wrong: &str) -> Vec<String> {
    let sandbox = arranged(group);
    mutate(&sandbox, wrong);
    let ran = conformance(&sandbox, &[group]);
    assert_eq!(ran.code, Some(1), "{}", ran.seen());
    let passed = ran
        .stdout
        .lines()
        .filter_map(|line| line.strip_prefix("ok "));
    passed.map(|row| row.trim().to_owned()).collect()
}

/// Replaces the fake's answer by a wrong one, but only in the call under test.
fn mutate(sandbox: &Sandbox, wrong: &str) {
    let bin = sandbox.dir().join("bin");
    let program = bin.join("multipass");
    let fake = bin.join("right/multipass");
    fs::create_dir(bin.join("right")).expect("a folder");
    fs::rename(&program, &fake).expect("the fake Multipass");
    let fake = fake.display();
    let script = format!(
        "#!/bin/sh\nfake='{fake}'\n[ \"$CONFORMANCE_ROW\" ] || exec \"$fake\" \"$@\"\n{wrong}\n"
    );
    fs::write(&program, script).expect("a script");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("a mode");
}

/// The tests of these groups: one for the fake as it is, and two for a wrong one. The rows mostly wait, so these run concurrently.
macro_rules! groups {
    ($($name:ident: $groups:expr,)*) => {$(
        mod $name {
            #[test]
            fn the_fake_conforms() {
                $groups.into_iter().for_each(super::holds);
            }

            #[test]
            fn a_wrong_exit_code_is_detected() {
                $groups.into_iter().for_each(super::detects_codes);
            }

            #[test]
            fn wrong_output_is_detected() {
                $groups.into_iter().for_each(super::detects_output);
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
fn existing_instances_are_not_touched() {
    for (name, group) in [("polis-conformance", "vm"), ("primary", "bare")] {
        let sandbox = Sandbox::new();
        let ran = sandbox.multipass(&["launch", "--name", name], b"");
        assert_eq!(ran.code, Some(0), "{}", ran.seen());
        sandbox.forget_calls();
        let ran = conformance(&sandbox, &[group]);
        let refused = ran.stderr.contains(&format!("an instance `{name}` exists"));
        assert!(ran.code == Some(2) && refused, "{}", ran.seen());
        assert_eq!(sandbox.mutations(), [""; 0]);
    }
}

#[test]
fn a_row_that_cannot_be_checked_is_2() {
    let sandbox = Sandbox::new();
    assert_eq!(conformance(&sandbox, &["frob"]).code, Some(2));
    assert_eq!(conformance(&sandbox, &["plain", "never-ran"]).code, Some(2));
    sandbox.uninstall();
    assert_eq!(conformance(&sandbox, &[]).code, Some(2));
}
