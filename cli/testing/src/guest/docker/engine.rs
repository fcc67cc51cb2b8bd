//! What Docker's engine remembers: `docker.json` in the guest. What containers write is in folders next to it: a
//! container's layer is removed with it, volumes stay.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;

use serde::{Deserialize, Serialize};

use super::super::Guest;
use super::container::Container;
use super::project::Project;
use crate::world::replace;

const FILE: &str = "docker.json";
/// Where the guest keeps what containers write.
const STORE: &str = "/var/lib/docker";

/// Where in the guest the content of a volume is.
pub(super) fn volume(name: &str) -> String {
    format!("{STORE}/volumes/{name}/_data")
}

/// Where in the guest a container's own layer is.
pub(super) fn layer(container: &Container) -> String {
    format!("{STORE}/overlay2/{}/diff", container.id)
}

/// Removes a container's layer, as its removal does.
pub(super) fn forget_layer(guest: &Guest, container: &Container) -> io::Result<()> {
    match fs::remove_dir_all(guest.path(&layer(container))) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Images and containers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Engine {
    /// The references that were pulled.
    pub(super) images: BTreeSet<String>,
    /// The containers by their names.
    pub(super) containers: BTreeMap<String, Container>,
    /// The networks that Compose made, each with the hash of its definition.
    pub(super) networks: BTreeMap<String, String>,
    /// The volumes that Compose made.
    pub(super) volumes: BTreeSet<String>,
}

impl Engine {
    /// As it is.
    pub(super) fn look(guest: &Guest) -> io::Result<Self> {
        let _lock = guest.store.lock()?;
        Self::read(guest)
    }

    /// Changes it under the world's lock.
    pub(super) fn update<T>(guest: &Guest, change: impl FnOnce(&mut Self) -> T) -> io::Result<T> {
        let _lock = guest.store.lock()?;
        let before = Self::read(guest)?;
        let mut engine = before.clone();
        let result = change(&mut engine);
        if engine != before {
            replace(
                &guest.root().join(FILE),
                &serde_json::to_vec_pretty(&engine)?,
            )?;
        }
        Ok(result)
    }

    fn read(guest: &Guest) -> io::Result<Self> {
        match fs::read(guest.root().join(FILE)) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error),
        }
    }

    /// The container of this name, or of an ID that begins so.
    pub(super) fn find(&self, name: &str) -> Option<(&String, &Container)> {
        let is = |(found, container): &(&String, &Container)| {
            *found == name || (name.len() >= 12 && container.id.starts_with(name))
        };
        self.containers.iter().find(is)
    }

    /// The containers of a project.
    pub(super) fn of<'a>(&'a self, project: &'a Project) -> impl Iterator<Item = &'a Container> {
        self.containers
            .values()
            .filter(|container| container.project == project.name)
    }
}
