//! The Docker engine for the guests: the machine's own, or one that is started for the proof and stopped after it.

use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use crate::Result;
use crate::run::Run;

/// How long a Docker engine may take to answer.
const DEADLINE: Duration = Duration::from_secs(60);

/// A running engine; if we started it, dropping this stops it.
#[derive(Debug)]
pub struct Engine {
    ours: Option<Child>,
}

impl Engine {
    /// Uses the running engine, or starts one with its log below `dir`. Never starts a second one: both would manage the same bridge and
    /// the same state.
    ///
    /// # Errors
    /// When none is running and none starts.
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
            // SIGTERM, so that it also stops its containerd.
            let pid = dockerd.id().to_string();
            let _ = Run::new(&["kill", &pid]).ran();
            let _ = dockerd.wait();
        }
    }
}

/// Whether an engine is running on this machine.
pub fn answers() -> bool {
    let version = Run::new(&["docker", "version", "--format", "{{.Server.Version}}"]).ran();
    version.is_ok_and(|ran| ran.code == 0)
}
