//! The first start of everything, and the second one that has nothing to do.

use std::collections::BTreeMap;

use polis_stack_proof::Result;
use polis_stack_proof::bench::Bench;
use serde_json::Value;

use crate::ensure;

/// `polis start` on a machine where nothing is: when it ends, each service of the compose file is as it should be.
pub(crate) fn everything_is_well(bench: &mut Bench) -> Result<()> {
    bench.polis("polis start, from nothing", &["start"])?;
    all_are_well(bench)
}

/// Asks Docker, not `polis`.
pub(crate) fn all_are_well(bench: &Bench) -> Result<()> {
    let expected = bench
        .guest
        .output("cd /opt/polis && docker compose config --services")?;
    let states = states(bench)?;
    for service in expected.lines() {
        let state = states.get(service).map_or("no container", String::as_str);
        let well = match service.ends_with("-init") {
            true => state == "exited 0",
            false => state == "running healthy",
        };
        ensure(well, || format!("{service} is {state}"))?;
    }
    let services = expected.lines().count();
    ensure(services == states.len() && services > 10, || {
        format!("{services} services in the compose file, containers: {states:?}")
    })
}

/// The state of each service's container in Docker's words.
fn states(bench: &Bench) -> Result<BTreeMap<String, String>> {
    let said = bench
        .guest
        .output("cd /opt/polis && docker compose ps --all --format json")?;
    let mut states = BTreeMap::new();
    for line in said.lines() {
        let container: Value =
            serde_json::from_str(line).map_err(|error| format!("{line}: {error}"))?;
        let text = |key: &str| container[key].as_str().unwrap_or_default().to_owned();
        let state = match text("State").as_str() {
            "exited" => format!("exited {}", container["ExitCode"]),
            state => format!("{state} {}", text("Health")),
        };
        states.insert(text("Service"), state);
    }
    Ok(states)
}

/// A start when all is well changes nothing, in the machine or in any container.
pub(crate) fn a_second_start_does_nothing(bench: &mut Bench) -> Result<()> {
    const CONTAINERS: &str = "docker ps --all --quiet --no-trunc | xargs docker inspect \
        --format '{{.Name}} {{.Id}} {{.State.StartedAt}} {{.RestartCount}}' | sort";
    const FILES: &str = "find /opt/polis -printf '%p %T@ %m %U\\n' | sort";
    let look = |bench: &Bench| bench.guest.outputs(&[CONTAINERS, FILES]);
    let before = look(bench)?;
    bench.polis("polis start, all is well", &["start"])?;
    let after = look(bench)?;
    ensure(before == after, || {
        format!("before:\n{before:#?}\nafter:\n{after:#?}")
    })
}
