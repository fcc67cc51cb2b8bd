//! Agents: packs a user's directory into an archive for the VM, together with the generated files that add it to the stack.

mod description;
mod directory;
mod keys;
mod manifest;
mod overlay;
mod text;
mod unit;

use std::path::Path;

use polis_base::Digest;
use polis_base::archive::{Files, PLAIN};

use crate::error::{Error, Kind, Result};
use crate::multipass::call::Payload;

pub(crate) use description::Description;
pub(crate) use keys::Keys;
pub(crate) use manifest::Manifest;

/// The user's own Compose file, which may request anything.
const COMPOSE: &str = "compose.yaml";

/// An agent, ready to be transferred.
#[derive(Debug, Clone)]
pub(crate) struct Agent {
    pub(crate) name: String,
    pub(crate) archive: Payload,
    /// Its manifest; none if it has its own Compose file.
    pub(crate) manifest: Option<Manifest>,
    /// The text of its custom Compose file.
    pub(crate) compose: Option<String>,
    /// The keys given to it.
    pub(crate) keys: Keys,
}

/// Reads the agent in `dir`.
///
/// # Errors
/// Of kind `Usage`, if it is not a valid agent, or has its own Compose file without `trust`.
pub(crate) fn read(dir: &Path, trust: bool) -> Result<Agent> {
    let read = directory::read(dir)?;
    let mut files = read.files;
    let manifest = match files.get(manifest::FILE) {
        None => None,
        Some(bytes) => Some(parsed(&dir.join(manifest::FILE), bytes)?),
    };
    let compose = match files.get(COMPOSE) {
        None => None,
        Some(bytes) => Some(trusted(&dir.join(COMPOSE), bytes, trust)?),
    };
    let refused = |reason: String| directory::refused(dir, reason);
    let name = match (&manifest, &compose) {
        (Some(manifest), None) => {
            generate(manifest, &mut files).map_err(refused)?;
            manifest.metadata.name.0.clone()
        }
        (None, Some(_)) => text::Name::try_from(read.name).map_err(refused)?.0,
        (None, None) => return Err(refused(format!("it has no {}", manifest::FILE))),
        (Some(_), Some(_)) => {
            return Err(refused(format!(
                "it has both {} and {COMPOSE}",
                manifest::FILE
            )));
        }
    };
    let archive = files.to_tar().map_err(|error| refused(error.to_string()))?;
    Ok(Agent {
        name,
        archive: Payload::new("agent.tar", archive),
        manifest,
        compose,
        keys: Keys::default(),
    })
}

fn parsed(path: &Path, bytes: &[u8]) -> Result<Manifest> {
    Manifest::parse(&String::from_utf8_lossy(bytes)).map_err(|wrong| {
        let place = match wrong.at {
            Some((line, column)) => format!("{}:{line}:{column}", path.display()),
            None => path.display().to_string(),
        };
        Error::new(Kind::Usage, format!("{place}: {}", wrong.reason))
            .next("correct it, then: polis agent check DIR")
    })
}

/// The maximum size of a Compose file, which a person has to read.
const MOST_COMPOSE: usize = 64 << 10;

fn trusted(path: &Path, bytes: &[u8], trust: bool) -> Result<String> {
    let refused = |what: &str| Error::new(Kind::Usage, format!("`{}` {what}", path.display()));
    if !trust {
        return Err(refused("is a custom Compose file")
            .because("it can remove every protection of the VM and of the services: privileges, mounts, networks")
            .next(format!("read it; if you trust it, add --trust-compose (better: describe the agent in {})", manifest::FILE)));
    }
    match std::str::from_utf8(bytes) {
        Ok(text) if bytes.len() <= MOST_COMPOSE => Ok(text.to_owned()),
        Ok(_) => Err(refused(
            "is larger than 64 KiB, too much for a person to read",
        )),
        Err(_) => Err(refused("is not UTF-8")),
    }
}

/// Adds the files generated from the manifest.
fn generate(manifest: &Manifest, files: &mut Files) -> std::result::Result<(), String> {
    if files
        .paths()
        .any(|path| path.split('/').next() == Some(overlay::GENERATED))
    {
        return Err(format!(
            "its directory `{}` would be overwritten",
            overlay::GENERATED
        ));
    }
    for (key, path) in manifest.files() {
        if files.get(path).is_none() {
            return Err(format!("{key} names `{path}`, which does not exist"));
        }
    }
    let name = &manifest.metadata.name.0;
    let unit = unit::unit(manifest);
    let boot = boot(manifest, &Digest::of(unit.as_bytes()));
    for (file, text) in [
        ("compose.json".to_owned(), overlay::overlay(manifest)),
        (format!("{name}.service"), unit),
        ("boot".to_owned(), boot),
        ("claims".to_owned(), claims(manifest)),
        (
            "agent.json".to_owned(),
            Description::from(manifest).to_json(),
        ),
    ] {
        files.add(
            &format!("{}/{file}", overlay::GENERATED),
            PLAIN,
            text.into_bytes(),
        );
    }
    Ok(())
}

/// The Compose file and the unit generated from a manifest.
pub(crate) fn generated(manifest: &Manifest) -> (String, String) {
    (overlay::overlay(manifest), unit::unit(manifest))
}

/// The lines `KEY=VALUE` for `config/workspace/agents.sh`.
fn boot(manifest: &Manifest, unit: &Digest) -> String {
    let spec = &manifest.spec;
    let mut text = format!("unit={}\nuser={}\n", unit.hex(), spec.runtime.user.0);
    if let Some(install) = &spec.install {
        text.push_str(&format!("install={}\n", install.0));
    }
    for kept in &spec.persistence {
        text.push_str(&format!("volume={}\n", kept.container_path.0));
    }
    if let Some(health) = &spec.health {
        text.push_str(&format!(
            "health={}\ninterval={}\ntimeout={}\nretries={}\nstart={}\n",
            health.command.0,
            health.interval.0,
            health.timeout.0,
            health.retries,
            health.start_period.0
        ));
    }
    text
}

/// The ports and paths that no other agent may use, the memory by which `scripts/agents.sh` sorts agents, and the targets of
/// ports for `scripts/ports.sh`; one per line.
fn claims(manifest: &Manifest) -> String {
    let spec = &manifest.spec;
    let mut text = format!("memory {}\n", overlay::memory(manifest).unwrap_or_default());
    for port in &spec.ports {
        let (vm, workspace) = (port.outside().0, port.container.0);
        text.push_str(&format!("port {vm}\nforward {vm} {workspace}\n"));
    }
    for kept in &spec.persistence {
        text.push_str(&format!("path {}\n", kept.container_path.0));
    }
    text
}

#[cfg(test)]
mod tests;
