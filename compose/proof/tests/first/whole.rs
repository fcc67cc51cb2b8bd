//! From nothing to all containers healthy in one `polis start`, and where its time goes.

use std::time::Instant;

use polis_stack_proof::Result;
use polis_stack_proof::bench::Bench;
use polis_stack_proof::health::all_are_well;

use crate::{ensure, recorded};

/// Seconds from the start of the first process to the stage of cloud-init that installs packages, and the duration of that.
const BOOT: &str = "begin=$(awk '{print $22 / 100}' /proc/1/stat); \
    jq --argjson begin \"$begin\" '.v1[\"modules-final\"].start - $begin' /run/cloud-init/status.json";
const PACKAGES: &str = "cloud-init analyze show | \
    sed -n 's/.*config-package-update-upgrade-install .* took \\([0-9.]*\\) seconds.*/\\1/p'";

/// Runs `polis start` on a terminal, on a fresh machine. Afterwards, each service of the compose file is healthy or has finished,
/// and the terminal shows the session in README.md.
pub(crate) fn from_nothing_in_one_start(bench: &mut Bench) -> Result<()> {
    let start = Instant::now();
    let ran = bench.sandbox.polis_on_xterm(&["start"]);
    let took = start.elapsed();
    let screen = recorded::screen(&ran.stdout);
    ensure(ran.code == Some(0), || {
        format!("exit {:?}\n{screen}\n{}", ran.code, bench.guest.story())
    })?;
    all_are_well(&bench.guest)?;
    let launches = bench.sandbox.calls_of("launch").len();
    ensure(launches == 1, || format!("{launches} launches"))?;
    let refused = bench.sandbox.refused();
    ensure(refused.is_empty(), || format!("refused: {refused:?}"))?;
    phases(bench, &screen)?;
    println!(
        "{:7.1} s  .       polis start, as a whole",
        took.as_secs_f64()
    );
    recorded::compare(&screen)
}

/// Prints the phases: in the machine, as reported by cloud-init and our script, then as reported by `polis`. Some overlap.
fn phases(bench: &Bench, screen: &str) -> Result<()> {
    let print = |seconds: f64, what: &str| println!("{seconds:7.1} s  .       {what}");
    for (what, script) in [("boot", BOOT), ("packages", PACKAGES)] {
        let said = bench.guest.output(script)?;
        let seconds = said.parse::<f64>();
        print(
            seconds.map_err(|error| format!("{script}: {error}: `{said}`"))?,
            &format!("machine: {what}"),
        );
    }
    let report = bench.guest.json("/var/lib/polis/provision.json")?;
    let steps = report["steps"]
        .as_array()
        .ok_or("provision.json has no steps")?;
    for step in steps {
        let name = step["name"].as_str().unwrap_or_default();
        let seconds = step["seconds"].as_f64();
        let seconds = seconds.ok_or_else(|| format!("the step {name} has no time"))?;
        print(seconds, &format!("machine: {name}"));
    }
    let told: Vec<(&str, f64)> = screen.lines().filter_map(recorded::timed).collect();
    ensure(told.len() > 5, || {
        format!("polis tells no phases:\n{screen}")
    })?;
    for (title, seconds) in told {
        print(seconds, &format!("polis: {title}"));
    }
    Ok(())
}
