//! The first launch on a real machine: from nothing to all containers healthy with one `polis start`, and again with that start
//! killed, cut off from the network and powered off in each of its phases.
//!
//! Has its own runner, like the stack's, because the interruptions hit the same machine one after the other, and each continues
//! where the previous one stopped. Arguments that are not options select the checks whose names contain them.

mod approvals;
mod interrupted;
mod phase;
mod recorded;
mod signals;
mod ssh;
mod whole;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use cloud_init_proof::runner::{self, Arguments};
use polis_stack_proof::Result;
use polis_stack_proof::bench::{self, Bench};

/// A claim: its name and the check for it.
type Check = (&'static str, fn(&mut Bench) -> Result<()>);

/// The checks on the first machine, then those on the second one.
const CHECKS: [Check; 17] = [
    ("from_nothing", whole::from_nothing_in_one_start),
    ("approvals", approvals::approvals),
    ("ssh", ssh::ssh),
    ("signals", signals::signals),
    ("killed_booting", interrupted::killed_booting),
    (
        "killed_installing_packages",
        interrupted::killed_installing_packages,
    ),
    (
        "killed_installing_docker",
        interrupted::killed_installing_docker,
    ),
    (
        "powered_off_installing_sysbox",
        interrupted::powered_off_installing_sysbox,
    ),
    (
        "killed_provisioning_again",
        interrupted::killed_provisioning_again,
    ),
    ("killed_transferring", interrupted::killed_transferring),
    (
        "killed_creating_secrets",
        interrupted::killed_creating_secrets,
    ),
    ("killed_pulling", interrupted::killed_pulling),
    ("network_cut_pulling", interrupted::network_cut_pulling),
    ("killed_starting", interrupted::killed_starting),
    ("powered_off_starting", interrupted::powered_off_starting),
    (
        "killed_waiting_for_health",
        interrupted::killed_waiting_for_health,
    ),
    ("converged", interrupted::converged),
];

/// The checks on the first machine.
const WHOLE: [&str; 4] = [CHECKS[0].0, CHECKS[1].0, CHECKS[2].0, CHECKS[3].0];

fn main() -> ExitCode {
    let arguments = Arguments::read();
    let mut checks = CHECKS.to_vec();
    checks.retain(|(name, _)| arguments.choose(name));
    let names: Vec<&str> = checks.iter().map(|(name, _)| *name).collect();
    let missing = || runner::missing(&bench::PROGRAMS);
    arguments.main("checks of the first launch", &names, missing, || {
        run(&checks)
    })
}

/// Runs the checks and returns how many failed.
fn run(checks: &[Check]) -> Result<usize> {
    let start = Instant::now();
    let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let mut bench = Bench::new(
        &target.with_file_name("proof"),
        &target.with_file_name("first"),
    )?;
    let mut failed = 0;
    for (at, (name, check)) in checks.iter().enumerate() {
        let on_second = !WHOLE.contains(name);
        if on_second && at > 0 && WHOLE.contains(&checks[at - 1].0) {
            bench.renew()?;
        }
        let begin = Instant::now();
        let result = check(&mut bench);
        let seconds = begin.elapsed().as_secs_f64();
        match &result {
            Ok(()) => println!("{seconds:7.1} s  ok      {name}"),
            Err(error) => println!("{seconds:7.1} s  FAILED  {name}\n{error}\n"),
        }
        failed += usize::from(result.is_err());
    }
    println!("{:7.1} s  total", start.elapsed().as_secs_f64());
    Ok(failed)
}

/// Returns an error unless `holds`.
fn ensure(holds: bool, what: impl FnOnce() -> String) -> Result<()> {
    if holds { Ok(()) } else { Err(what()) }
}
