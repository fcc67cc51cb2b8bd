//! The whole stack on a real Docker Engine, driven by the real `polis`: one machine, started once, and every claim that
//! the documents make about it.
//!
//! A runner of its own instead of the usual test harness, because all checks look at one machine, in an order in which
//! the later ones need what the earlier ones left. Arguments that are no options choose the checks whose names contain
//! them; the start always runs.

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

use cloud_init_proof::run::{Run, on_path};
use polis_stack_proof::Result;
use polis_stack_proof::bench::Bench;

/// A claim: its name and what shows it.
type Check = (&'static str, fn(&mut Bench) -> Result<()>);

/// The checks in their order. Nothing of what follows means anything without the first.
const CHECKS: [Check; 18] = [
    ("start", start::everything_is_well),
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
    ("reboot_closed", boot::a_reboot_is_closed),
    ("reboot_in_order", boot::a_reboot_is_in_order),
    ("stop", boot::it_stops_in_time),
];

/// What a run needs, each with its Debian package.
const PROGRAMS: [(&str, &str); 4] = [
    ("docker-registry", "docker-registry"),
    ("skopeo", "skopeo"),
    ("nsenter", "util-linux"),
    ("ip", "iproute2"),
];

fn main() -> ExitCode {
    let (options, wanted): (Vec<String>, Vec<String>) = std::env::args()
        .skip(1)
        .partition(|argument| argument.starts_with('-'));
    let chosen = |name: &str| {
        name == CHECKS[0].0 || wanted.is_empty() || wanted.iter().any(|part| name.contains(part))
    };
    let checks: Vec<Check> = CHECKS
        .into_iter()
        .filter(|(name, _)| chosen(name))
        .collect();
    if options.iter().any(|option| option == "--list") {
        for (name, _) in &checks {
            println!("{name}: test");
        }
        return ExitCode::SUCCESS;
    }
    if let Some(missing) = missing() {
        println!("skipped: {missing}");
        let required = std::env::var_os("POLIS_REQUIRE_REAL_PARTS").is_some();
        return if required {
            ExitCode::FAILURE
        } else {
            ExitCode::SUCCESS
        };
    }
    match run(&checks) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(failed) => {
            println!("{failed} of {} checks of the stack failed", checks.len());
            ExitCode::FAILURE
        }
        Err(error) => {
            println!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// What this machine lacks.
fn missing() -> Option<String> {
    let mut programs = cloud_init_proof::PROGRAMS.iter().chain(&PROGRAMS);
    if let Some((program, package)) = programs.find(|(program, _)| !on_path(program)) {
        return Some(format!("{program} is not installed (package {package})"));
    }
    let root = Run::new(&["id", "--user"])
        .output()
        .is_ok_and(|id| id == "0");
    if !root {
        return Some("root is needed to start a Docker engine and to enter namespaces".to_owned());
    }
    let amd64 = std::env::consts::ARCH == "x86_64";
    (!amd64).then(|| "the images are for amd64".to_owned())
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
            return Err("without a stack there is nothing to look at".to_owned());
        }
    }
    println!("\nTimes");
    for (what, took) in &bench.times {
        println!("{:8.2} s  {what}", took.as_secs_f64());
    }
    println!("{:8.2} s  in all", start.elapsed().as_secs_f64());
    Ok(failed)
}

/// An error unless `holds`.
fn ensure(holds: bool, what: impl FnOnce() -> String) -> Result<()> {
    if holds { Ok(()) } else { Err(what()) }
}
