//! The state of the Docker engine, in the guest's `docker.json`.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use serde::{Deserialize, Serialize};

use crate::guest::Guest;
use crate::store::files::{lock, now, replace};
use crate::store::state::{Fate, State};
use crate::tools::tool::Tool;

const FILE: &str = "/docker.json";

/// The images, and the containers by service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Engine {
    pub(super) images: BTreeSet<String>,
    pub(super) containers: BTreeMap<String, Container>,
}

/// A container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Container {
    /// The unique ID, which differs from that of the container it replaced.
    pub(super) id: String,
    pub(super) image: String,
    /// The definition that it was created from.
    pub(super) definition: String,
    pub(super) once: bool,
    /// Its mounts, each with its target.
    #[serde(default)]
    pub(super) mounts: Vec<[String; 2]>,
    /// When it was started; `None` if it was only created, or is stopped.
    pub(super) started: Option<u64>,
}

/// The state, the health and the exit code of a container, as `ps` shows them.
pub(super) type Status = (&'static str, &'static str, i32);

impl Engine {
    /// As it is.
    pub(super) fn look(guest: &Guest) -> io::Result<Self> {
        let _lock = lock(guest.sandbox())?;
        Self::read(guest)
    }

    /// Changes it under the sandbox's lock, and records whether the call changed anything.
    pub(super) fn update(tool: &mut Tool, change: impl FnOnce(&mut Self)) -> io::Result<()> {
        tool.call.end.changed_guest |= Self::change(&tool.guest, change)?;
        Ok(())
    }

    /// Changes it outside any call.
    pub(super) fn change(guest: &Guest, change: impl FnOnce(&mut Self)) -> io::Result<bool> {
        let _lock = lock(guest.sandbox())?;
        let before = Self::read(guest)?;
        let mut engine = before.clone();
        change(&mut engine);
        if engine != before {
            replace(&guest.path(FILE), &serde_json::to_vec_pretty(&engine)?)?;
        }
        Ok(engine != before)
    }

    fn read(guest: &Guest) -> io::Result<Self> {
        let bytes = guest.get(FILE)?;
        Ok(match bytes {
            Some(bytes) => serde_json::from_slice(&bytes)?,
            None => Self::default(),
        })
    }

    /// The service and the container behind an ID.
    pub(super) fn find(&self, id: &str) -> Option<(&String, &Container)> {
        let mut containers = self.containers.iter();
        containers.find(|(_, container)| container.id == id)
    }
}

impl Container {
    /// Its current status, if it belongs to `service`.
    pub(super) fn status(&self, state: &State, service: &str) -> Status {
        let service = state.service(service);
        let Some(started) = self.started else {
            return ("created", "", 0);
        };
        match service.fate {
            _ if now() < started + service.after && self.once => ("running", "", 0),
            _ if now() < started + service.after => ("running", "starting", 0),
            // `ps` shows an exit code only for a container that has stopped for good.
            Fate::Exits(code) if self.once => ("exited", "", code),
            Fate::Exits(_) => ("restarting", "", 0),
            _ if self.once => ("exited", "", 0),
            Fate::Well => ("running", "healthy", 0),
            Fate::Unhealthy => ("running", "unhealthy", 0),
            Fate::Starting => ("running", "starting", 0),
        }
    }
}

/// Whether a container is running.
pub(super) fn runs((state, ..): Status) -> bool {
    matches!(state, "running" | "restarting")
}
