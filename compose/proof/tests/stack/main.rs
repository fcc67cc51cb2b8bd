//! Checks the stack on a real Docker Engine, driven by the real `polis`: one machine, started once, and the claims that the
//! documents make about it.
//!
//! Has its own runner instead of the usual test harness, because all checks use one machine, and later checks rely on the state
//! that earlier ones leave. Arguments that are not options select the checks whose names contain them; the start always runs.

mod agents;
mod boot;
mod data;
mod faults;
mod holes;
mod probe;
mod reach;
mod start;
mod traffic;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use cloud_init_proof::runner::{self, Arguments};
use polis_stack_proof::Result;
use polis_stack_proof::bench::{self, Bench};

/// A claim: its name and the check for it.
type Check = (&'static str, fn(&mut Bench) -> Result<()>);

/// The checks in order. The first one, the start, is the precondition of all others.
const CHECKS: [Check; 20] = [
    ("start", start::everything_is_healthy),
    ("warm_start", start::a_second_start_does_nothing),
    (
        "original_destination",
        traffic::gate_sees_the_original_destination,
    ),
    ("reach", reach::the_workspace_reaches_what_the_documents_say),
    ("holes_raw_tcp", holes::raw_tcp_is_refused),
    (
        "holes_machine_over_ipv6",
        holes::the_machine_is_silent_over_ipv6,
    ),
    (
        "holes_around_gate",
        holes::no_neighbour_is_a_way_around_gate,
    ),
    ("credentials", traffic::credentials_are_refused),
    (
        "names",
        traffic::names_that_could_carry_data_are_not_forwarded,
    ),
    ("load", traffic::no_request_is_lost),
    ("speed", traffic::speed),
    ("wrong_configuration", faults::a_wrong_c_icap_conf_is_told),
    ("tampered_image", data::a_tampered_image_is_refused),
    ("data_upgrade", data::an_upgrade_keeps_the_workspace),
    (
        "data_other_workspace",
        data::another_workspace_keeps_the_volumes,
    ),
    ("data_other_agent", data::another_agent_keeps_the_volumes),
    ("agents", agents::an_agent_is_run),
    ("reboot_closed", boot::a_reboot_is_closed),
    ("reboot_in_order", boot::a_reboot_is_in_order),
    ("stop", boot::it_stops_in_time),
];

fn main() -> ExitCode {
    let arguments = Arguments::read();
    let checks: Vec<Check> = CHECKS
        .into_iter()
        .filter(|(name, _)| *name == CHECKS[0].0 || arguments.choose(name))
        .collect();
    let names: Vec<&str> = checks.iter().map(|(name, _)| *name).collect();
    let missing = || runner::missing(&bench::PROGRAMS);
    arguments.main("checks of the stack", &names, missing, || run(&checks))
}

/// Runs the checks and returns how many failed.
fn run(checks: &[Check]) -> Result<usize> {
    let start = Instant::now();
    let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let mut bench = Bench::new(
        &target.with_file_name("proof"),
        &target.with_file_name("stack"),
    )?;
    let mut failed = 0;
    for (name, check) in checks {
        let begin = Instant::now();
        let result = check(&mut bench);
        let seconds = begin.elapsed().as_secs_f64();
        match &result {
            Ok(()) => println!("{seconds:7.1} s  ok      {name}"),
            Err(error) => println!("{seconds:7.1} s  FAILED  {name}\n{error}\n"),
        }
        failed += usize::from(result.is_err());
        if result.is_err() && *name == CHECKS[0].0 {
            return Err("the stack did not start, so nothing else was checked".to_owned());
        }
    }
    println!("\nTimes");
    for (what, took) in &bench.times {
        println!("{:8.2} s  {what}", took.as_secs_f64());
    }
    println!("{:8.2} s  total", start.elapsed().as_secs_f64());
    Ok(failed)
}

/// Returns an error unless `holds`.
fn ensure(holds: bool, what: impl FnOnce() -> String) -> Result<()> {
    if holds { Ok(()) } else { Err(what()) }
}
