//! `exec`, `shell`, `logs`, `stop` and `delete`.

use std::fs;

use expect_test::expect;
use fake_multipass::{Effect, Fault, Power};

use crate::support::{commands, document, running, sandbox, seen};

#[test]
fn every_exit_code_is_passed_through() {
    let sandbox = running();
    for code in [
        0, 1, 2, 3, 4, 5, 10, 42, 122, 123, 124, 126, 127, 137, 254, 255,
    ] {
        let command = format!("exit {code}");
        let ran = sandbox.polis(&["exec", "--vm", "--", "bash", "-c", &command]);
        assert_eq!(ran.code, Some(code), "{}", ran.seen());
    }
    // On code 4, the real Multipass would run the command again and again.
    let fours = sandbox.calls_of("exec");
    let fours = fours
        .iter()
        .filter(|call| call.args.iter().any(|arg| arg == "exit 4"));
    assert_eq!(fours.count(), 1);
}

#[test]
fn arguments_reach_the_command_unchanged() {
    let sandbox = running();
    let args = ["a b", "$HOME", "'", "\"", "*", "", "-n", "--", "ä\\"];
    for vm in [true, false] {
        let mut words = vec!["exec"];
        words.extend(vm.then_some("--vm"));
        words.extend(["--", "printf", "<%s>"]);
        words.extend(args);
        let ran = sandbox.polis(&words);
        let expected: String = args.iter().map(|arg| format!("<{arg}>")).collect();
        assert_eq!(
            (ran.code, ran.stdout.as_str()),
            (Some(0), expected.as_str()),
            "{}",
            ran.seen()
        );
    }
}

#[test]
fn commands_run_as_the_workspace_user_and_as_root_only_on_request() {
    let sandbox = running();
    let who = "echo $USER $LOGNAME; echo $HOME; pwd -P";
    for (flags, name, home) in [
        (&[][..], "polis", "/home/polis"),
        (&["--root"], "root", "/root"),
    ] {
        let words = [&["exec"], flags, &["--", "bash", "-c", who]].concat();
        let ran = sandbox.polis(&words);
        assert_eq!(ran.code, Some(0), "{}", ran.seen());
        let lines: Vec<&str> = ran.stdout.lines().collect();
        assert_eq!(lines[0], format!("{name} {name}"));
        assert!(
            lines[1].ends_with(home) && lines[1] == lines[2],
            "{lines:?}"
        );
        let entered = sandbox.all_calls().into_iter().rfind(|call| {
            let line = call.line();
            line.starts_with("docker compose exec") && line.contains(&format!("--user {name} "))
        });
        assert!(entered.is_some(), "{name}");
    }
    let ran = sandbox.polis(&["exec", "--vm", "--root", "--", "true"]);
    assert_eq!(ran.code, Some(2), "{}", ran.seen());
    assert_eq!(sandbox.refused(), [] as [String; 0]);
}

#[test]
fn a_shell_runs_as_the_workspace_user() {
    let sandbox = running();
    let ran = sandbox.polis_on_terminal(&["shell"], "echo I am $USER\nexit 7\n");
    assert_eq!(ran.code, Some(7), "{}", ran.seen());
    assert!(ran.stdout.contains("I am polis"), "{}", ran.seen());
    let ran = sandbox.polis_on_terminal(&["shell", "--root"], "echo I am $USER\nexit\n");
    assert!(ran.stdout.contains("I am root"), "{}", ran.seen());
}

#[test]
fn no_command_starts_a_stopped_vm() {
    let sandbox = running();
    sandbox.set_instance(|instance| instance.power = Power::Stopped);
    for args in [
        &["exec", "--", "true"][..],
        &["shell"],
        &["exec", "--vm", "--", "true"],
    ] {
        let ran = sandbox.polis(args);
        assert_eq!(ran.code, Some(125), "{}", ran.seen());
    }
    let ran = sandbox.polis(&["logs"]);
    expect![[r#"
        exit 13
        --- stderr
        error: the workspace is not running
          caused by: the VM is Stopped
          hint: polis start
    "#]]
    .assert_eq(&seen(&ran));
    assert_eq!(sandbox.power(), Some(Power::Stopped));
}

#[test]
fn logs_shows_the_logs_of_a_service() {
    let sandbox = running();
    let ran = sandbox.polis(&["logs", "gate", "-n", "5"]);
    expect![[r#"
        exit 0
        --- stdout
        gate-1  | gate started
    "#]]
    .assert_eq(&seen(&ran));
    for bad in ["-x", "a b", "a;b"] {
        let ran = sandbox.polis(&["logs", "--", bad]);
        assert_eq!(ran.code, Some(2), "{}", ran.seen());
    }
    let ran = sandbox.polis(&["logs", "none"]);
    assert_eq!(ran.code, Some(1), "{}", ran.seen());
}

#[test]
fn stop_is_idempotent() {
    let sandbox = running();
    expect![[r#"
        exit 0
        --- stdout
        The VM is stopped. Next: polis start
    "#]]
    .assert_eq(&seen(&sandbox.polis(&["stop", "--quiet"])));
    sandbox.forget_calls();
    expect![[r#"
        exit 0
        --- stdout
        The VM is already stopped.
    "#]]
    .assert_eq(&seen(&sandbox.polis(&["stop"])));
    assert_eq!(commands(&sandbox), ["list"]);
    let ran = crate::support::sandbox().polis(&["stop"]);
    assert_eq!(ran.code, Some(13), "{}", ran.seen());
}

#[test]
fn delete_needs_confirmation_and_touches_no_other_vm() {
    let sandbox = running();
    expect![[r#"
        exit 2
        --- stderr
        error: `polis delete` needs confirmation
          caused by: polis asks only on a terminal, and not with `--json`
          hint: polis delete --yes
    "#]]
    .assert_eq(&seen(&sandbox.polis(&["delete"])));
    assert_eq!(sandbox.power(), Some(Power::Running));

    let deleted = document(&sandbox.polis(&["delete", "--yes", "--json"]));
    assert_eq!(deleted["result"]["changed"], true);
    assert_eq!(sandbox.power(), Some(Power::Deleted));
    let ran = sandbox.polis(&["start"]);
    expect![[r#"
        exit 7
        --- stderr
        error: the VM `polis` is deleted, and its name is still taken
          tried: multipass list --format json --no-ipv4
          hint: multipass recover polis, then: polis start   (recovers it)
          hint: polis delete --purge, then: polis start   (to start over; everything in it is lost)
    "#]]
    .assert_eq(&seen(&ran));
    assert_eq!(sandbox.polis(&["delete", "--yes"]).code, Some(0));

    let ran = sandbox.polis(&["delete", "--purge", "--yes"]);
    assert_eq!((ran.code, sandbox.instance()), (Some(0), None));
    assert!(!commands(&sandbox).contains(&"purge".to_owned()));
    assert_eq!(sandbox.polis(&["delete", "--yes"]).code, Some(0));
}

#[test]
fn verbose_output_goes_to_standard_error() {
    let sandbox = sandbox();
    let ran = sandbox.polis(&["status", "--json", "--verbose"]);
    document(&ran);
    assert!(
        ran.stderr.contains("polis: multipass list"),
        "{}",
        ran.seen()
    );
}

/// 20,000 bytes of binary output, a line on standard error, and an exit code that a failed cleanup does not replace.
#[test]
fn binary_output_is_unchanged_without_pipes() {
    let sandbox = running();
    sandbox.set(|state| state.windows = true);
    let full = Effect::Exit {
        code: 10,
        stderr: "no space left".into(),
    };
    sandbox.fault(Fault::of("exec", full).containing("-mmin").always());
    let ran = sandbox.shell(
        r#"export POLIS_DELIVERY=file
        script='for i in {1..5000}; do printf "\377\r\n\0"; done; printf "\200" >&2; exit 7'
        polis --quiet exec --vm -- bash -c "$script" >out 2>err
        echo $?
        wc -c <out; bash -c "$script" 2>/dev/null | cmp - out && echo same
        od -An -tx1 err"#,
    );
    assert_eq!(ran.stdout, "7\n20000\nsame\n 80\n", "{}", ran.seen());
}

/// Binary input arrives unchanged, and the transferred file is removed.
#[test]
fn standard_input_is_passed_on_without_pipes() {
    let sandbox = running();
    sandbox.set(|state| state.windows = true);
    let ran = sandbox.shell(
        r#"export POLIS_DELIVERY=file
        for i in {1..5000}; do printf '\377\r\n\0'; done >in
        for place in "" --vm; do polis exec $place -- cat <in >out; echo $?; cmp in out && echo same; done
        polis exec --vm -- wc -c </dev/null | cat
        { sleep 7; echo late; } | polis exec --vm -- cat | cat"#,
    );
    assert_eq!(ran.stdout, "0\nsame\n0\nsame\n0\nlate\n", "{}", ran.seen());
    expect![[r#"
        note: waiting for the end of standard input; the command starts then
    "#]]
    .assert_eq(&ran.stderr);
    let runs = fs::read_dir(sandbox.guest().path("/home/ubuntu/.polis-runs"));
    assert_eq!(runs.map_or(0, Iterator::count), 0);
    assert!(!sandbox.home().join(".local/state/polis/stdin").exists());

    sandbox.forget_calls();
    let ran = sandbox.shell("export POLIS_DELIVERY=file; head -c 67108865 /dev/zero | polis exec -- cat | cat; echo ${PIPESTATUS[1]}");
    assert_eq!(ran.stdout, "125\n");
    expect![[r#"
        error: the command's input is larger than 64.0 MiB
          caused by: Multipass cannot pipe it here, so it is transferred into the VM as a file
          hint: multipass transfer FILE polis:   (then pass its name to the command)
    "#]]
    .assert_eq(&ran.stderr);
    assert_eq!(commands(&sandbox), ["list"]);
}

/// polis can be interrupted while it reads endless input. `logs` reads no input.
#[test]
fn reading_endless_input_can_be_interrupted() {
    let sandbox = running();
    sandbox.set(|state| state.windows = true);
    let ran = sandbox.shell(
        r#"export POLIS_DELIVERY=file
        mkfifo in; exec 9<>in
        polis logs gate <in >out; echo $?
        polis exec --vm -- cat <in >out & sleep 1; kill -TERM $!; wait $!; echo $?"#,
    );
    assert_eq!(ran.stdout, "0\n125\n", "{}", ran.seen());
}

#[test]
fn long_output_is_complete_without_pipes() {
    let sandbox = running();
    sandbox.set(|state| state.windows = true);
    let file = [("POLIS_DELIVERY", "file")];
    let script = "seq 1 5000; echo told >&2; exit 4";
    let ran = sandbox.polis_with(&["exec", "--vm", "--", "bash", "-c", script], &file);
    assert_eq!(ran.code, Some(4), "{}", ran.stderr);
    assert_eq!(ran.stdout.lines().count(), 5000);
    assert_eq!(ran.stderr, "told\n");
    let ran = sandbox.polis_with(&["logs", "--follow"], &file);
    assert_eq!(ran.code, Some(2), "{}", ran.seen());
}
