//! Kills `polis` at every call of a first start, before and after the call takes effect. The next start converges, and the
//! VM is launched only once.

use std::thread;
use std::time::{Duration, Instant};

use crate::support::{args, did, document, launches, planned, sandbox};
use fake_multipass::{Effect, Fault, Sandbox};

/// A call of the plan: its step, and a fault that strikes only this call.
struct Boundary {
    step: String,
    containing: String,
    nth: u32,
}

/// Every call of a first start, according to its own plan.
fn boundaries() -> Vec<Boundary> {
    let plan = document(&sandbox().polis(&["start", "--dry-run", "--json"]));
    let mut found: Vec<Boundary> = Vec::new();
    for (step, call) in planned(&plan) {
        let containing = args(&call).join(" ");
        let same = found.iter().filter(|known| known.containing == containing);
        let nth = same.count() as u32 + 1;
        found.push(Boundary {
            step,
            nth,
            containing,
        });
    }
    found
}

/// Waits until `there`, with a timeout generous enough for a slow machine.
pub(crate) fn wait_until(there: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    while !there() && Instant::now() < end {
        thread::sleep(Duration::from_millis(10));
    }
}

fn kill_and_resume(boundary: &Boundary, effect: Effect) {
    let sandbox = sandbox();
    let command = boundary.containing.split(' ').next().unwrap_or_default();
    let fault = Fault::of(command, effect.clone());
    sandbox.fault(fault.containing(&boundary.containing).nth(boundary.nth));
    let ran = sandbox.polis(&["start", "--quiet"]);
    let at = format!("{} {effect:?}: {}", boundary.step, ran.seen());
    assert_eq!(ran.signal, Some(9), "{at}");
    converges(&sandbox, &at);
}

/// Asserts that the next start completes the workspace, and that the one after it has nothing to do.
fn converges(sandbox: &Sandbox, at: &str) {
    sandbox.clear_faults();
    let ran = sandbox.polis(&["start", "--quiet"]);
    assert_eq!(ran.code, Some(0), "{at}\nthen {}", ran.seen());
    assert_eq!(launches(sandbox), 1, "{at}");
    assert_eq!(sandbox.refused(), [] as [String; 0], "{at}");
    assert_eq!(did(sandbox, &["start"]), [] as [&str; 0], "{at}");
}

#[test]
fn a_start_killed_at_any_call_is_resumed() {
    let boundaries = boundaries();
    let steps: Vec<&str> = boundaries
        .iter()
        .map(|boundary| boundary.step.as_str())
        .collect();
    for step in [
        "look",
        "launch",
        "await-provisioning",
        "install-bundle",
        "make-secrets",
        "pull",
        "start-services",
        "await-health",
        "mark-ready",
    ] {
        assert!(steps.contains(&step), "{steps:?}");
    }
    let next = std::sync::atomic::AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                while let Some(boundary) =
                    boundaries.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
                {
                    kill_and_resume(boundary, Effect::KillBefore);
                    kill_and_resume(boundary, Effect::KillAfter);
                }
            });
        }
    });
}

#[test]
fn a_start_after_a_kill_waits_for_the_vm_being_prepared() {
    let sandbox = sandbox();
    sandbox.fault(Fault::of("launch", Effect::KillWhilePreparing(1500)));
    let ran = sandbox.polis(&["start", "--quiet"]);
    assert_eq!(ran.signal, Some(9), "{}", ran.seen());
    converges(&sandbox, "while being prepared");
}

#[test]
fn an_interrupted_start_says_how_to_resume() {
    let sandbox = sandbox();
    sandbox.set(|state| state.timing.provision = 60_000);
    let started = sandbox.start_polis(&["start"]);
    wait_until(|| sandbox.instance().is_some());
    started.interrupt();
    let ran = started.wait();
    assert_eq!(ran.code, Some(130), "{}", ran.seen());
    assert!(ran.stderr.contains("hint: polis start"), "{}", ran.seen());
}

#[test]
fn concurrent_starts_launch_one_vm() {
    let sandbox = sandbox();
    sandbox.set(|state| state.timing.provision = 3_000);
    let first = sandbox.start_polis(&["start", "--quiet"]);
    wait_until(|| !sandbox.calls_of("launch").is_empty());
    let second = sandbox.polis(&["start"]);
    assert_eq!(second.code, Some(14), "{}", second.seen());
    let first = first.wait();
    assert_eq!(first.code, Some(0), "{}", first.seen());
    assert_eq!(launches(&sandbox), 1);
}

#[test]
fn a_vm_that_shuts_down_during_a_start_is_still_set_up() {
    let sandbox = sandbox();
    sandbox.set(|state| state.timing.pull = 1_000);
    let started = sandbox.start_polis(&["start", "--quiet"]);
    wait_until(|| {
        let calls = sandbox.all_calls();
        calls
            .iter()
            .any(|call| call.line() == "docker compose pull")
    });
    sandbox.set(|state| state.timing.pull = 0);
    let stopped = sandbox.multipass(&["stop", "polis"], b"");
    assert_eq!(stopped.code, Some(0), "{}", stopped.seen());
    let ran = started.wait();
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    assert_eq!(launches(&sandbox), 1);
    assert_eq!(did(&sandbox, &["start"]), [] as [&str; 0]);
}
