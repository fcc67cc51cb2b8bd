//! The health of the services, according to Docker in the machine, not to `polis`.

use std::collections::BTreeMap;

use cloud_init_proof::guest::Guest;
use serde_json::Value;

use crate::Result;

/// Returns an error unless each service of the compose file is healthy or, if it only prepares others, has exited with 0.
///
/// # Errors
/// When one is not, or Docker does not answer.
pub fn all_are_well(guest: &Guest) -> Result<()> {
    let expected = guest.output("cd /opt/polis && docker compose config --services")?;
    let states = states(guest)?;
    for service in expected.lines() {
        let state = states.get(service).map_or("no container", String::as_str);
        let well = match service.ends_with("-init") {
            true => state == "exited 0",
            false => state == "running healthy",
        };
        if !well {
            return Err(format!("{service} is {state}"));
        }
    }
    let services = expected.lines().count();
    if services != states.len() || services <= 10 {
        return Err(format!(
            "{services} services in the compose file, containers: {states:?}"
        ));
    }
    Ok(())
}

/// The state of each service's container in Docker's words.
fn states(guest: &Guest) -> Result<BTreeMap<String, String>> {
    let said = guest.output("cd /opt/polis && docker compose ps --all --format json")?;
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
