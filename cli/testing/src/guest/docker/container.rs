//! A container: when it was started, and what has become of it since.

use std::collections::BTreeSet;

use polis_base::Digest;
use serde::{Deserialize, Serialize};

use super::project::{Project, Spec};
use crate::world::now;
use crate::world::state::{Fate, State};

/// An entry of the engine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Container {
    pub(super) project: String,
    pub(super) service: String,
    pub(super) image: String,
    /// The hash of what it was made from, to see when that changes.
    pub(super) config: String,
    /// Tells it from one of the same name that was there before.
    pub(super) id: String,
    /// The named volumes with where they are mounted.
    pub(super) volumes: Vec<(String, String)>,
    /// The networks that it is on, by their full names.
    pub(super) networks: BTreeSet<String>,
    /// When it was started; `None` is created and never started.
    pub(super) started: Option<u64>,
    /// The exit code after it was stopped from outside.
    pub(super) ended: Option<i32>,
    /// Whether it ended because the machine went down.
    pub(super) went_down: bool,
    /// Whether Docker starts it again when it ends.
    pub(super) restarts: bool,
    /// Whether its health is checked.
    pub(super) checked: bool,
}

/// What `ps` shows of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Status {
    pub(super) state: &'static str,
    pub(super) health: &'static str,
    pub(super) code: i32,
}

impl Container {
    /// A container of a service, not started.
    pub(super) fn create(project: &Project, service: &str, spec: &Spec) -> Self {
        let named = format!("{} {service} {}", project.name, now());
        let volumes = spec.volumes.iter();
        let networks = spec.networks.iter();
        Self {
            id: Digest::of(named.as_bytes()).hex(),
            volumes: volumes
                .map(|(volume, target)| (project.full(volume), target.clone()))
                .collect(),
            networks: networks.map(|network| project.full(network)).collect(),
            project: project.name.clone(),
            service: service.to_owned(),
            image: spec.image.clone(),
            config: spec.digest.clone(),
            started: None,
            ended: None,
            went_down: false,
            restarts: spec.restarts,
            checked: spec.checked,
        }
    }

    /// Starts it, or starts it again.
    pub(super) fn start(&mut self, now: u64) {
        self.started = Some(now);
        self.ended = None;
        self.went_down = false;
    }

    /// What it is at `now`.
    pub(super) fn status(&self, state: &State, now: u64) -> Status {
        let status = |state, health, code| Status {
            state,
            health,
            code,
        };
        let Some(started) = self.started else {
            return status("created", "", 0);
        };
        if let Some(code) = self.ended {
            return status("exited", "", code);
        }
        let service = state.service(&self.service);
        let shows = now >= started + service.after;
        match service.fate {
            // `ps` has an exit code only of what is down for good.
            Fate::Exits(_) if shows && self.restarts => status("restarting", "", 0),
            Fate::Exits(code) if shows => status("exited", "", code),
            _ if !self.restarts && !self.checked && shows => status("exited", "", 0),
            _ if !self.checked => status("running", "", 0),
            Fate::Well if shows => status("running", "healthy", 0),
            Fate::Unhealthy if shows => status("running", "unhealthy", 0),
            _ => status("running", "starting", 0),
        }
    }
}

impl Status {
    /// Whether there is a process.
    pub(super) fn runs(&self) -> bool {
        matches!(self.state, "running" | "restarting")
    }
}

/// The name that Compose gives a container.
pub(super) fn name(project: &str, service: &str) -> String {
    format!("{project}-{service}-1")
}
