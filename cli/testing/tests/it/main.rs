//! The double behaves as the contract with Multipass says, seen from outside: exit codes, streams, words, and the world.

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

use fake_multipass::{Ran, World};

const CLOUD_INIT: &str = include_str!("../../../../cloud-init/cloud-init.yaml");
const LAUNCH: [&str; 5] = ["launch", "--name", "polis", "--cloud-init", "-"];

/// A world with a machine that is provisioned.
fn launched() -> World {
    let world = World::new();
    let ran = launch(&world);
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    world.forget_calls();
    world
}

/// Launches our machine.
fn launch(world: &World) -> Ran {
    world.multipass(&LAUNCH, CLOUD_INIT.as_bytes())
}

/// Runs `multipass` with nothing to read.
fn run(world: &World, args: &[&str]) -> Ran {
    world.multipass(args, b"")
}

/// Runs a script in the guest, as `polis` does.
fn sh(world: &World, script: &str) -> Ran {
    run(world, &["exec", "-n", "polis", "--", "bash", "-c", script])
}

/// What a script in the guest prints; it must succeed.
fn guest(world: &World, script: &str) -> String {
    let ran = sh(world, script);
    assert_eq!(ran.code, Some(0), "{script}: {}", ran.seen());
    ran.stdout
}

/// Longer than any test takes, so that what goes on by the clock ends only when a test says so.
const LONG: u64 = 600_000;

/// Ends everything that goes on by the clock in the machine `polis`.
fn let_time_pass(world: &World) {
    world.set(|state| {
        for instance in &mut state.instances {
            instance.prepared_at = 0;
            instance.booted_at = 0;
            if let Some(run) = &mut instance.provision {
                run.takes = 0;
                run.starts_at = run.starts_at.min(fake_multipass::world::now());
            }
        }
    });
}

/// Waits until something holds.
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < end, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The last exit code, standard error, and what the record says of refusal and change.
fn refused(world: &World, args: &[&str]) -> (Option<i32>, String, bool) {
    let ran = run(world, args);
    let call = world.calls().pop().expect("a call");
    (ran.code, ran.stderr, call.refused() && !call.mutated())
}
