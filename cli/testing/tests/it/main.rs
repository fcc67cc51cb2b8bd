//! The fake behaves as the contract with Multipass says, seen from outside: exit codes, streams, messages, and state.

mod conformance;
mod exec;
mod faults;
mod guest;
mod launch;
mod life;
mod machine;
mod power;
mod query;
mod transfer;

use std::time::{Duration, Instant};

use fake_multipass::{Ran, Sandbox};

const CLOUD_INIT: &str = include_str!("../../../../cloud-init/cloud-init.yaml");
const LAUNCH: [&str; 5] = ["launch", "--name", "polis", "--cloud-init", "-"];

/// A sandbox with a provisioned machine.
fn launched() -> Sandbox {
    let sandbox = Sandbox::new();
    let ran = launch(&sandbox);
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    sandbox.forget_calls();
    sandbox
}

/// Launches our machine.
fn launch(sandbox: &Sandbox) -> Ran {
    sandbox.multipass(&LAUNCH, CLOUD_INIT.as_bytes())
}

/// Runs `multipass` with empty standard input.
fn run(sandbox: &Sandbox, args: &[&str]) -> Ran {
    sandbox.multipass(args, b"")
}

/// Runs a script in the guest, as `polis` does.
fn sh(sandbox: &Sandbox, script: &str) -> Ran {
    run(
        sandbox,
        &["exec", "-n", "polis", "--", "bash", "-c", script],
    )
}

/// The output of a script in the guest, which must succeed.
fn guest(sandbox: &Sandbox, script: &str) -> String {
    let ran = sh(sandbox, script);
    assert_eq!(ran.code, Some(0), "{script}: {}", ran.seen());
    ran.stdout
}

/// Longer than any test takes, so that a process that depends on the clock ends only when the test says so.
const LONG: u64 = 600_000;

/// Ends every process of the machine `polis` that depends on the clock.
fn let_time_pass(sandbox: &Sandbox) {
    sandbox.set(|state| {
        for instance in &mut state.instances {
            instance.prepared_at = 0;
            instance.booted_at = 0;
            if let Some(run) = &mut instance.provision {
                run.takes = 0;
                run.starts_at = run.starts_at.min(fake_multipass::store::now());
            }
        }
    });
}

/// Waits until a condition holds.
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < end, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The last exit code and standard error, and whether the record says that the call was refused or changed anything.
fn refused(sandbox: &Sandbox, args: &[&str]) -> (Option<i32>, String, bool) {
    let ran = run(sandbox, args);
    let call = sandbox.calls().pop().expect("a call");
    (ran.code, ran.stderr, call.refused() && !call.mutated())
}
