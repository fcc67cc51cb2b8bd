//! The work that a first start does while the launch runs. It is an optimization: if it fails, the start still succeeds.

use std::thread;
use std::time::{Duration, Instant};

use crate::support::{args, did, document, launches, sandbox};
use fake_multipass::{Effect, Fault, Sandbox};
use serde_json::Value;

/// How long the provisioning takes, in milliseconds: longer than all the work done meanwhile.
const LONG: u64 = 120_000;

/// The calls that the plan of a first start makes while the launch runs.
fn ahead() -> Vec<String> {
    let plan = document(&sandbox().polis(&["start", "--dry-run", "--json"]));
    let launch = &plan["result"]["plan"][0];
    assert_eq!(launch["step"], "launch");
    let calls = launch["calls"].as_array().cloned().unwrap_or_default();
    let calls = calls.iter().filter(|call| call["times"] == "ahead");
    calls.map(|call: &Value| args(call).join(" ")).collect()
}

fn wait_until(there: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(50);
    while !there() && Instant::now() < end {
        thread::sleep(Duration::from_millis(20));
    }
}

/// Ends the provisioning now.
fn provisioned(sandbox: &Sandbox) {
    sandbox.set_instance(|instance| {
        if let Some(run) = &mut instance.provision {
            run.takes = 0;
        }
    });
}

/// Asserts that the next start completes the workspace, and that the one after it has nothing to do.
fn converges(sandbox: &Sandbox, at: &str) {
    provisioned(sandbox);
    let ran = sandbox.polis(&["start", "--quiet"]);
    assert_eq!(ran.code, Some(0), "{at}\nthen {}", ran.seen());
    assert_eq!(launches(sandbox), 1, "{at}");
    assert_eq!(sandbox.refused(), [] as [String; 0], "{at}");
    assert_eq!(did(sandbox, &["start"]), [] as [&str; 0], "{at}");
}

fn pulls(sandbox: &Sandbox) -> usize {
    let calls = sandbox.all_calls().into_iter();
    calls
        .filter(|call| call.line() == "docker compose pull")
        .count()
}

#[test]
fn images_are_pulled_while_the_launch_waits() {
    let sandbox = sandbox();
    sandbox.set(|state| state.timing.provision = LONG / 4);
    let started = sandbox.start_polis(&["start", "--quiet"]);
    wait_until(|| pulls(&sandbox) > 0);
    assert_eq!(pulls(&sandbox), 1);
    let launch = sandbox.calls_of("launch").remove(0);
    assert!(launch.end.is_none(), "the launch has not ended: {launch:?}");
    started.interrupt();
    let ran = started.wait();
    assert_eq!(ran.code, Some(130), "{}", ran.seen());
    converges(&sandbox, "interrupted");
}

#[test]
fn a_start_killed_during_its_launch_is_resumed() {
    let calls = ahead();
    assert_eq!(calls.len(), 4, "{calls:#?}");
    thread::scope(|scope| {
        for call in &calls {
            for effect in [Effect::KillBefore, Effect::KillAfter] {
                scope.spawn(move || {
                    let sandbox = sandbox();
                    sandbox.set(|state| state.timing.provision = LONG);
                    let command = call.split(' ').next().unwrap_or_default();
                    sandbox.fault(Fault::of(command, effect.clone()).containing(call));
                    let ran = sandbox.polis(&["start", "--quiet"]);
                    let at = format!("{effect:?}: {call}: {}", ran.seen());
                    assert_eq!(ran.signal, Some(9), "{at}");
                    sandbox.clear_faults();
                    converges(&sandbox, &at);
                });
            }
        }
    });
}

#[test]
fn a_call_that_fails_or_hangs_during_the_launch_does_not_fail_the_start() {
    let refused = Effect::Exit {
        code: 2,
        stderr: "transfer failed: ssh connection failed: 'Connection refused'\n".to_owned(),
    };
    thread::scope(|scope| {
        for effect in [refused, Effect::Hang, Effect::HangAfter, Effect::Cut(10)] {
            scope.spawn(move || {
                let sandbox = sandbox();
                sandbox.set(|state| state.timing.provision = 8_000);
                sandbox.fault(Fault::of("transfer", effect.clone()).times(1));
                let ran = sandbox.polis(&["start", "--quiet"]);
                assert_eq!(ran.code, Some(0), "{effect:?}: {}", ran.seen());
                assert_eq!(launches(&sandbox), 1);
                let transfers = sandbox.calls_of("transfer");
                assert!(transfers.len() > 1, "{effect:?}: {transfers:?}");
            });
        }
    });
}
