//! A compose project as it is on the guest's disk: the files merged, and of each service what its life depends on.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use polis_base::Digest;
use serde_json::{Map, Value};

use super::super::{Guest, yaml};
use super::flags::Parsed;
use super::interpolate::{self, Variables};

/// The files that Compose looks for.
const NAMES: [&str; 4] = [
    "compose.yaml",
    "compose.yml",
    "docker-compose.yml",
    "docker-compose.yaml",
];
/// The keys of a service that are not part of its hash, as in Compose's `ServiceHash`.
const NOT_HASHED: [&str; 5] = ["build", "depends_on", "profiles", "pull_policy", "scale"];
/// Lists that a later file replaces instead of extending.
const REPLACED: [&str; 3] = ["command", "entrypoint", "test"];

/// A project.
#[derive(Debug)]
pub(super) struct Project {
    pub(super) name: String,
    pub(super) services: BTreeMap<String, Spec>,
    /// The networks, each with the hash of its definition.
    pub(super) networks: BTreeMap<String, String>,
    /// The named volumes.
    pub(super) volumes: Vec<String>,
}

/// A service.
#[derive(Debug, Clone)]
pub(super) struct Spec {
    pub(super) image: String,
    pub(super) builds: bool,
    pub(super) restarts: bool,
    pub(super) checked: bool,
    pub(super) depends: Vec<(String, Condition)>,
    /// Files that must be there, and folders that Docker makes when they are not.
    pub(super) needs: Vec<PathBuf>,
    pub(super) makes: Vec<PathBuf>,
    /// Named volumes with where they are mounted.
    pub(super) volumes: Vec<(String, String)>,
    /// The networks that it is on.
    pub(super) networks: Vec<String>,
    /// Changes with the parts of its definition that a container is created from.
    pub(super) digest: String,
}

/// What a service waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Condition {
    Started,
    Healthy,
    Completed,
}

impl Project {
    /// Reads the project that the flags, the folder and the environment name.
    ///
    /// # Errors
    /// What Compose says.
    pub(super) fn load(guest: &Guest, global: &Parsed) -> Result<Self, String> {
        let here = std::env::current_dir().map_err(|error| error.to_string())?;
        let named: Vec<PathBuf> = global
            .all(&["file", "f"])
            .map(|file| here.join(file))
            .collect();
        let dir = match (global.value(&["project-directory"]), named.first()) {
            (Some(dir), _) => here.join(dir),
            (None, Some(file)) => file.parent().unwrap_or(&here).to_owned(),
            (None, None) => here,
        };
        let mut variables = dot_env(&dir.join(".env"));
        variables.extend(std::env::vars());
        let files = if named.is_empty() {
            found(&dir, &variables)?
        } else {
            named
        };
        let mut merged = Value::Object(Map::new());
        for file in &files {
            let text = fs::read_to_string(file)
                .map_err(|_| format!("open {}: no such file or directory", file.display()))?;
            let value = yaml::parse(&text).map_err(|why| format!("{}: {why}", file.display()))?;
            merged = merge(merged, interpolate::value(value, &variables)?, "");
        }
        Self::of(guest, &merged, &dir, global)
    }

    fn of(guest: &Guest, merged: &Value, dir: &Path, global: &Parsed) -> Result<Self, String> {
        let folder = dir
            .file_name()
            .map(|name| name.to_string_lossy().into_owned());
        let name = global
            .value(&["project-name", "p"])
            .or_else(|| merged.get("name").and_then(Value::as_str))
            .map_or(folder.unwrap_or_default(), str::to_owned);
        let Some(entries) = merged.get("services").and_then(Value::as_object) else {
            return Err("empty compose file".to_owned());
        };
        let mut services = BTreeMap::new();
        for (service, value) in entries {
            let spec = Spec::of(guest, (&name, service), value, merged, dir)?;
            services.insert(service.clone(), spec);
        }
        for (service, spec) in &services {
            for (on, _) in &spec.depends {
                if !services.contains_key(on) {
                    return Err(format!(
                        "service \"{service}\" depends on undefined service \"{on}\": invalid compose project"
                    ));
                }
            }
        }
        let top = |key: &str| merged.get(key).and_then(Value::as_object);
        let networks = top("networks").into_iter().flatten();
        let networks = networks
            .map(|(name, value)| (name.clone(), Digest::of(value.to_string().as_bytes()).hex()));
        let volumes = top("volumes").into_iter().flatten();
        let project = Self {
            name,
            services,
            networks: networks.collect(),
            volumes: volumes.map(|(name, _)| name.clone()).collect(),
        };
        project.in_order(&[])?;
        Ok(project)
    }

    /// The name that Compose gives a volume or a network of this project.
    pub(super) fn full(&self, name: &str) -> String {
        format!("{}_{name}", self.name)
    }

    /// The services that `words` name with all that they depend on, dependencies first; without words all.
    ///
    /// # Errors
    /// When one is not there, or they wait for each other.
    pub(super) fn in_order(&self, words: &[String]) -> Result<Vec<&str>, String> {
        let mut order: Vec<&str> = Vec::new();
        let wanted: Vec<&String> = match words {
            [] => self.services.keys().collect(),
            words => words.iter().collect(),
        };
        for service in wanted {
            self.visit(service, &mut order, &mut Vec::new())?;
        }
        Ok(order)
    }

    fn visit<'a>(
        &'a self,
        service: &str,
        order: &mut Vec<&'a str>,
        path: &mut Vec<String>,
    ) -> Result<(), String> {
        let Some((name, spec)) = self.services.get_key_value(service) else {
            return Err(format!("no such service: {service}"));
        };
        if order.contains(&name.as_str()) {
            return Ok(());
        }
        if path.contains(name) {
            return Err(format!(
                "dependency cycle detected: {} -> {name}",
                path.join(" -> ")
            ));
        }
        path.push(name.clone());
        for (on, _) in &spec.depends {
            self.visit(on, order, path)?;
        }
        path.pop();
        order.push(name);
        Ok(())
    }
}

impl Spec {
    fn of(
        guest: &Guest,
        (name, service): (&str, &str),
        value: &Value,
        project: &Value,
        dir: &Path,
    ) -> Result<Self, String> {
        let text = |key: &str| value.get(key).and_then(Value::as_str);
        let builds = value.get("build").is_some();
        let image = match text("image") {
            Some(image) => image.to_owned(),
            None if builds => format!("{name}-{service}"),
            None => {
                return Err(format!(
                    "service \"{service}\" has neither an image nor a build context specified: invalid compose project"
                ));
            }
        };
        let mut spec = Self {
            image,
            builds,
            restarts: !matches!(text("restart"), None | Some("no")),
            checked: value.get("healthcheck").is_some(),
            depends: depends(value),
            needs: Vec::new(),
            makes: Vec::new(),
            volumes: Vec::new(),
            networks: keys_or_words(value, "networks"),
            digest: hash(value),
        };
        let at = |path: &str| {
            if path.starts_with('/') {
                guest.path(path)
            } else {
                dir.join(path.trim_start_matches("./"))
            }
        };
        spec.mount_volumes(value, &at);
        spec.mount_files(service, value, project, &at)?;
        Ok(spec)
    }

    /// The folders and files of the guest under `volumes`.
    fn mount_volumes(&mut self, value: &Value, at: &dyn Fn(&str) -> PathBuf) {
        for volume in list(value, "volumes") {
            match volume {
                Value::String(short) => {
                    let mut parts = short.split(':');
                    let source = parts.next().unwrap_or_default();
                    match parts.next() {
                        _ if source.starts_with(['.', '/']) => self.makes.push(at(source)),
                        Some(target) => self.volumes.push((source.to_owned(), target.to_owned())),
                        None => {}
                    }
                }
                long if long["type"] == "volume" => {
                    let text = |key: &str| long[key].as_str().unwrap_or_default().to_owned();
                    self.volumes.push((text("source"), text("target")));
                }
                long if long["type"] == "bind" => {
                    let source = at(long["source"].as_str().unwrap_or_default());
                    if long["bind"]["create_host_path"] == false {
                        self.needs.push(source);
                    } else {
                        self.makes.push(source);
                    }
                }
                _ => {}
            }
        }
    }

    /// The files behind `secrets` and `configs`.
    fn mount_files(
        &mut self,
        service: &str,
        value: &Value,
        project: &Value,
        at: &dyn Fn(&str) -> PathBuf,
    ) -> Result<(), String> {
        for kind in ["secrets", "configs"] {
            for used in list(value, kind) {
                let source = used.as_str().or_else(|| used["source"].as_str());
                let name = source.unwrap_or_default();
                let Some(defined) = project.get(kind).and_then(|all| all.get(name)) else {
                    return Err(format!(
                        "service \"{service}\" refers to undefined {} {name}: invalid compose project",
                        kind.trim_end_matches('s')
                    ));
                };
                self.needs.extend(defined["file"].as_str().map(at));
            }
        }
        Ok(())
    }
}

/// The hash by which Compose notices that a service's definition changed.
fn hash(service: &Value) -> String {
    let mut hashed = service.clone();
    if let Some(map) = hashed.as_object_mut() {
        for key in NOT_HASHED {
            map.remove(key);
        }
    }
    Digest::of(hashed.to_string().as_bytes()).hex()
}

/// The keys of a mapping, or the words of a list.
fn keys_or_words(value: &Value, key: &str) -> Vec<String> {
    match value.get(key) {
        Some(Value::Object(map)) => map.keys().cloned().collect(),
        Some(Value::Array(words)) => {
            let words = words.iter().filter_map(Value::as_str);
            words.map(str::to_owned).collect()
        }
        _ => Vec::new(),
    }
}

/// The items of a list; none when there is no list.
fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    let items = value.get(key).and_then(Value::as_array);
    items.map_or(&[], Vec::as_slice)
}

fn depends(service: &Value) -> Vec<(String, Condition)> {
    match service.get("depends_on") {
        Some(Value::Array(names)) => names
            .iter()
            .filter_map(Value::as_str)
            .map(|name| (name.to_owned(), Condition::Started))
            .collect(),
        Some(Value::Object(map)) => map
            .iter()
            .map(|(name, value)| {
                let condition = match value["condition"].as_str() {
                    Some("service_healthy") => Condition::Healthy,
                    Some("service_completed_successfully") => Condition::Completed,
                    _ => Condition::Started,
                };
                (name.clone(), condition)
            })
            .collect(),
        _ => Vec::new(),
    }
}

/// The project's files when none is named.
fn found(dir: &Path, variables: &Variables) -> Result<Vec<PathBuf>, String> {
    if let Some(list) = variables.get("COMPOSE_FILE") {
        return Ok(list.split(':').map(|file| dir.join(file)).collect());
    }
    // Compose looks in the folders above as well.
    let files = dir
        .ancestors()
        .flat_map(|above| NAMES.map(|name| above.join(name)))
        .find(|file| file.is_file());
    let file = files.ok_or("no configuration file provided: not found")?;
    let mut files = vec![file];
    for name in ["compose.override.yml", "docker-compose.override.yml"] {
        let file = dir.join(name);
        if file.is_file() {
            files.push(file);
        }
    }
    Ok(files)
}

fn dot_env(path: &Path) -> Variables {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| {
            let value = value.trim().trim_matches(['"', '\'']);
            (name.trim().to_owned(), value.to_owned())
        })
        .collect()
}

/// `over` laid over `base`, as Compose lays one file over another.
fn merge(base: Value, over: Value, key: &str) -> Value {
    match (base, over) {
        (Value::Object(mut base), Value::Object(over)) => {
            for (key, value) in over {
                let merged = match base.remove(&key) {
                    Some(found) => merge(found, value, &key),
                    None => value,
                };
                base.insert(key, merged);
            }
            Value::Object(base)
        }
        (Value::Array(mut base), Value::Array(over)) if !REPLACED.contains(&key) => {
            base.extend(
                over.into_iter()
                    .filter(|item| !base.contains(item))
                    .collect::<Vec<_>>(),
            );
            Value::Array(base)
        }
        (_, over) => over,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn files_are_laid_over_each_other() {
        let base = json!({"s": {"command": ["a"], "volumes": ["x"], "image": "1"}});
        let over = json!({"s": {"command": ["b"], "volumes": ["y"], "image": "2"}, "t": {}});
        let expected =
            json!({"s": {"command": ["b"], "volumes": ["x", "y"], "image": "2"}, "t": {}});
        assert_eq!(merge(base, over, ""), expected);
    }
}
