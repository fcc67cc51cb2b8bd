//! The Compose file that adds an agent to the stack. It changes only the workspace and its volumes.

use serde_json::{Map, Value, json};

use super::manifest::Manifest;

/// The directory in the archive for generated files.
pub(super) const GENERATED: &str = ".polis";

/// The memory in MiB that the stack gives the workspace; an agent can only request more.
const MEMORY: u32 = 4096;

/// The text of the Compose file; JSON is YAML.
pub(crate) fn overlay(manifest: &Manifest) -> String {
    let name = &manifest.metadata.name.0;
    let here = format!("./agents/{name}");
    let mut mounts = vec![
        bind(&here, &format!("/opt/agents/{name}")),
        bind(
            &format!("{here}/{GENERATED}/{name}.service"),
            &format!("/etc/systemd/system/{name}.service"),
        ),
    ];
    if manifest.spec.requirements.keys().next().is_some() {
        // The directory, so that new files in it are visible.
        mounts.push(bind(
            &format!("./agent-keys/{name}"),
            &format!("/run/polis-agent-keys/{name}"),
        ));
    }
    let mut volumes = Map::new();
    for kept in &manifest.spec.persistence {
        let volume = format!("polis-agent-{name}-{}", kept.name.0);
        mounts.push(json!({"type": "volume", "source": volume, "target": kept.container_path.0}));
        volumes.insert(volume.clone(), json!({"name": volume}));
    }
    let mut workspace = json!({"volumes": mounts});
    if let Some(resources) = resources(manifest) {
        workspace["deploy"] = json!({"resources": resources});
    }
    let overlay = json!({"services": {"workspace": workspace}, "volumes": volumes});
    format!("{overlay:#}\n")
}

/// A read-only mount of a directory or file of the VM, which has to exist.
fn bind(source: &str, target: &str) -> Value {
    json!({
        "type": "bind", "source": source, "target": target, "read_only": true,
        "bind": {"create_host_path": false},
    })
}

/// `deploy.resources`, as in the stack; Compose cannot merge the other spelling with it.
fn resources(manifest: &Manifest) -> Option<Value> {
    let mut resources = Map::new();
    if let Some(limit) = memory(manifest) {
        resources.insert("limits".to_owned(), json!({"memory": format!("{limit}m")}));
    }
    if let Some(least) = &manifest.spec.resources.memory_reservation {
        let least = json!({"memory": format!("{}m", least.0)});
        resources.insert("reservations".to_owned(), least);
    }
    (!resources.is_empty()).then_some(Value::Object(resources))
}

/// The limit in MiB, if it exceeds the stack's.
pub(crate) fn memory(manifest: &Manifest) -> Option<u32> {
    let limit = manifest.spec.resources.memory_limit.as_ref()?.0;
    (limit > MEMORY).then_some(limit)
}
