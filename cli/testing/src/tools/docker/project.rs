//! The services of the compose files: their names, images, and a digest of their definitions. `compose/proof` tests everything
//! else with the real Compose.

use std::collections::BTreeMap;
use std::fs;

use polis_base::Digest;
use serde_json::Value;

use crate::guest::Guest;
use crate::yaml;

/// The directory of the project, and its name.
const DIRECTORY: &str = "/opt/polis";
const NAME: &str = "polis";

/// Where the guest keeps the files of containers.
pub(super) const STORE: &str = "/var/lib/docker";
/// A project.
#[derive(Debug, Default)]
pub(super) struct Project {
    pub(super) services: BTreeMap<String, Service>,
    /// The volumes: their names in the compose file, each with its name in Docker.
    pub(super) volumes: BTreeMap<String, String>,
}

/// A service.
#[derive(Debug, Clone, Default)]
pub(super) struct Service {
    pub(super) image: String,
    /// The digest of its definition.
    pub(super) definition: String,
    /// Whether it does one task and exits.
    pub(super) once: bool,
    /// Its mounts in the long form, each with its target.
    pub(super) mounts: Vec<[String; 2]>,
    /// The services that must be healthy, or have exited, before it starts.
    pub(super) depends: Vec<String>,
}

impl Project {
    /// Reads the files that `.env` names, each layered on the previous ones.
    pub(super) fn read(guest: &Guest) -> Result<Self, String> {
        let env = fs::read_to_string(guest.path("/opt/polis/.env")).unwrap_or_default();
        let files = env
            .lines()
            .find_map(|line| line.strip_prefix("COMPOSE_FILE="));
        let mut project = Self::default();
        for file in files.unwrap_or("docker-compose.yml").split(':') {
            let path = format!("{DIRECTORY}/{file}");
            let text = fs::read_to_string(guest.path(&path))
                .map_err(|_| "no configuration file provided: not found")?;
            project.layer(&yaml::parse(&text).map_err(|why| format!("{path}: {why}"))?);
        }
        Ok(project)
    }

    fn layer(&mut self, file: &Value) {
        for (name, value) in entries(file, "services") {
            let service = self.services.entry(name.clone()).or_default();
            if let Some(image) = value["image"].as_str() {
                image.clone_into(&mut service.image);
                service.once = value["healthcheck"].is_null() && value["restart"] == "no";
            }
            let both = format!("{}{value}", service.definition);
            service.definition = Digest::of(both.as_bytes()).hex();
            let mounts = value["volumes"].as_array().into_iter().flatten();
            service.mounts.extend(mounts.filter_map(|mount| {
                let source = mount["source"].as_str()?.replacen("./", "/opt/polis/", 1);
                Some([source, mount["target"].as_str()?.to_owned()])
            }));
            let depends = entries(value, "depends_on").map(|(on, _)| on.clone());
            service.depends.extend(depends);
        }
        let volumes = entries(file, "volumes").map(|(name, value)| {
            let own = value["name"].as_str().map(str::to_owned);
            (
                name.clone(),
                own.unwrap_or_else(|| format!("{NAME}_{name}")),
            )
        });
        self.volumes.extend(volumes);
    }
}

/// The entries of a mapping of mappings.
fn entries<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    let map = value.get(key).and_then(Value::as_object);
    map.into_iter().flatten()
}

/// The name of a service's container.
pub(super) fn container(service: &str) -> String {
    format!("{NAME}-{service}")
}

/// The directory of a volume, given its name in Docker.
pub(super) fn volume(name: &str) -> String {
    format!("{STORE}/volumes/{name}/_data")
}
