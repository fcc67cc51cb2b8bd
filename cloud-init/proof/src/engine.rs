//! The Docker engine that the guests run on: the machine's own, or one started for the proof and stopped after it.

use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use crate::Result;
use crate::run::Run;

/// How long a Docker engine may take to answer.
const DEADLINE: Duration = Duration::from_secs(60);

/// An engine that answers; one that we started ends with this value.
#[derive(Debug)]
pub struct Engine {
    ours: Option<Child>,
}

impl Engine {
    /// Uses the engine that runs, or starts one whose log goes below `dir`. Never a second one beside a running one:
    /// both would manage the same bridge and the same state.
    ///
    /// # Errors
    /// When none runs and none starts.
    pub fn new(dir: &Path) -> Result<Self> {
        if answers() {
            return Ok(Self { ours: None });
        }
        let log = dir.join("dockerd.log");
        let ours = Run::new(&["dockerd"]).background(&log)?;
        let engine = Self { ours: Some(ours) };
        let start = Instant::now();
        while !answers() {
            if start.elapsed() > DEADLINE {
                let log = std::fs::read_to_string(&log).unwrap_or_default();
                return Err(format!("dockerd does not answer:\n{log}"));
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        Ok(engine)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if let Some(dockerd) = &mut self.ours {
            // SIGTERM, so that it takes its own containerd with it.
            let pid = dockerd.id().to_string();
            let _ = Run::new(&["kill", &pid]).ran();
            let _ = dockerd.wait();
        }
    }
}

/// Whether an engine runs on this machine.
pub fn answers() -> bool {
    let version = Run::new(&["docker", "version", "--format", "{{.Server.Version}}"]).ran();
    version.is_ok_and(|ran| ran.code == 0)
}
