//! What a first start does beside the launch: never needed, never in the way.

use std::thread;
use std::time::{Duration, Instant};

use crate::support::{args, did, document, launches, world};
use fake_multipass::{Effect, Fault, World};
use serde_json::Value;

/// A provisioning that lasts longer than everything beside it, in milliseconds.
const LONG: u64 = 120_000;

/// The calls that the plan of a first start names as made beside the launch.
fn ahead() -> Vec<String> {
    let plan = document(&world().polis(&["start", "--dry-run", "--json"]));
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

/// Lets the provisioning end now.
fn provisioned(world: &World) {
    world.set_instance(|instance| {
        if let Some(run) = &mut instance.provision {
            run.takes = 0;
        }
    });
}

/// The next start completes the workspace, the one after that has nothing to do.
fn converges(world: &World, at: &str) {
    provisioned(world);
    let ran = world.polis(&["start", "--quiet"]);
    assert_eq!(ran.code, Some(0), "{at}\nthen {}", ran.seen());
    assert_eq!(launches(world), 1, "{at}");
    assert_eq!(world.refused(), [] as [String; 0], "{at}");
    assert_eq!(did(world, &["start"]), [] as [&str; 0], "{at}");
}

fn pulls(world: &World) -> usize {
    let calls = world.all_calls().into_iter();
    calls
        .filter(|call| call.line() == "docker compose pull")
        .count()
}

#[test]
fn images_are_pulled_while_the_launch_waits() {
    let world = world();
    world.set(|state| state.timing.provision = LONG / 4);
    let started = world.start_polis(&["start", "--quiet"]);
    wait_until(|| pulls(&world) > 0);
    assert_eq!(pulls(&world), 1);
    let launch = world.calls_of("launch").remove(0);
    assert!(launch.end.is_none(), "the launch has not ended: {launch:?}");
    started.interrupt();
    let ran = started.wait();
    assert_eq!(ran.code, Some(130), "{}", ran.seen());
    converges(&world, "interrupted");
}

#[test]
fn a_start_that_is_killed_beside_its_launch_is_gone_on_with() {
    let calls = ahead();
    assert_eq!(calls.len(), 4, "{calls:#?}");
    thread::scope(|scope| {
        for call in &calls {
            for effect in [Effect::KillBefore, Effect::KillAfter] {
                scope.spawn(move || {
                    let world = world();
                    world.set(|state| state.timing.provision = LONG);
                    let command = call.split(' ').next().unwrap_or_default();
                    world.fault(Fault::of(command, effect.clone()).containing(call));
                    let ran = world.polis(&["start", "--quiet"]);
                    let at = format!("{effect:?}: {call}: {}", ran.seen());
                    assert_eq!(ran.signal, Some(9), "{at}");
                    world.clear_faults();
                    converges(&world, &at);
                });
            }
        }
    });
}

#[test]
fn what_fails_or_hangs_beside_a_launch_does_not_fail_the_start() {
    let refused = Effect::Exit {
        code: 2,
        stderr: "transfer failed: ssh connection failed: 'Connection refused'\n".to_owned(),
    };
    thread::scope(|scope| {
        for effect in [refused, Effect::Hang, Effect::HangAfter, Effect::Cut(10)] {
            scope.spawn(move || {
                let world = world();
                world.set(|state| state.timing.provision = 8_000);
                world.fault(Fault::of("transfer", effect.clone()).times(1));
                let ran = world.polis(&["start", "--quiet"]);
                assert_eq!(ran.code, Some(0), "{effect:?}: {}", ran.seen());
                assert_eq!(launches(&world), 1);
                let transfers = world.calls_of("transfer");
                assert!(transfers.len() > 1, "{effect:?}: {transfers:?}");
            });
        }
    });
}
