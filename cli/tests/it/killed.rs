//! `polis` killed at every call that a first start makes, before and after the call takes effect: the
//! next start converges, and there is one launch.

use std::thread;
use std::time::{Duration, Instant};

use crate::support::{args, did, document, launches, planned, world};
use fake_multipass::{Effect, Fault, World};

/// A call of the plan: its step, and the fault that strikes it and no other.
struct Boundary {
    step: String,
    containing: String,
    nth: u32,
}

/// Every call that a first start makes, from its own plan.
fn boundaries() -> Vec<Boundary> {
    let plan = document(&world().polis(&["start", "--dry-run", "--json"]));
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

/// Waits until `there`, or for as long as a slow machine may take.
pub(crate) fn wait_until(there: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    while !there() && Instant::now() < end {
        thread::sleep(Duration::from_millis(10));
    }
}

fn kill_and_go_on(boundary: &Boundary, effect: Effect) {
    let world = world();
    let command = boundary.containing.split(' ').next().unwrap_or_default();
    let fault = Fault::of(command, effect.clone());
    world.fault(fault.containing(&boundary.containing).nth(boundary.nth));
    let ran = world.polis(&["start", "--quiet"]);
    let at = format!("{} {effect:?}: {}", boundary.step, ran.seen());
    assert_eq!(ran.signal, Some(9), "{at}");
    converges(&world, &at);
}

/// The next start completes the workspace, the one after that has nothing to do.
fn converges(world: &World, at: &str) {
    world.clear_faults();
    let ran = world.polis(&["start", "--quiet"]);
    assert_eq!(ran.code, Some(0), "{at}\nthen {}", ran.seen());
    assert_eq!(launches(world), 1, "{at}");
    assert_eq!(world.refused(), [] as [String; 0], "{at}");
    assert_eq!(did(world, &["start"]), [] as [&str; 0], "{at}");
}

#[test]
fn a_start_that_is_killed_at_any_call_is_gone_on_with() {
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
                    kill_and_go_on(boundary, Effect::KillBefore);
                    kill_and_go_on(boundary, Effect::KillAfter);
                }
            });
        }
    });
}

#[test]
fn a_start_that_is_killed_while_the_vm_is_prepared_waits_for_it() {
    let world = world();
    world.fault(Fault::of("launch", Effect::KillWhilePreparing(1500)));
    let ran = world.polis(&["start", "--quiet"]);
    assert_eq!(ran.signal, Some(9), "{}", ran.seen());
    converges(&world, "while being prepared");
}

#[test]
fn a_start_that_is_interrupted_says_how_to_go_on() {
    let world = world();
    world.set(|state| state.timing.provision = 60_000);
    let started = world.start_polis(&["start"]);
    wait_until(|| world.instance().is_some());
    started.interrupt();
    let ran = started.wait();
    assert_eq!(ran.code, Some(130), "{}", ran.seen());
    assert!(ran.stderr.contains("hint: polis start"), "{}", ran.seen());
}

#[test]
fn two_starts_at_once_are_one() {
    let world = world();
    world.set(|state| state.timing.provision = 3_000);
    let first = world.start_polis(&["start", "--quiet"]);
    wait_until(|| !world.calls_of("launch").is_empty());
    let second = world.polis(&["start"]);
    assert_eq!(second.code, Some(14), "{}", second.seen());
    let first = first.wait();
    assert_eq!(first.code, Some(0), "{}", first.seen());
    assert_eq!(launches(&world), 1);
}

#[test]
fn a_vm_that_goes_down_under_a_start_is_filled_all_the_same() {
    let world = world();
    world.set(|state| state.timing.pull = 1_000);
    let started = world.start_polis(&["start", "--quiet"]);
    wait_until(|| {
        let calls = world.all_calls();
        calls
            .iter()
            .any(|call| call.line() == "docker compose pull")
    });
    world.set(|state| state.timing.pull = 0);
    let stopped = world.multipass(&["stop", "polis"], b"");
    assert_eq!(stopped.code, Some(0), "{}", stopped.seen());
    let ran = started.wait();
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    assert_eq!(launches(&world), 1);
    assert_eq!(did(&world, &["start"]), [] as [&str; 0]);
}
