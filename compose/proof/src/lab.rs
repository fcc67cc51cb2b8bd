//! `cargo xtask lab`: the environment of the proof, started by hand and left running.
//!
//! A background process owns the [`Bench`], as a test does, and everything ends with it. The process holds a lock for as long as
//! it lives, which distinguishes a running lab from a killed one. `lab.json` describes the lab.

use std::fs::{self, File, TryLockError};
use std::io::{ErrorKind, Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;
use std::sync::mpsc::channel;
use std::time::Duration;

use cloud_init_proof::run::Run;
use cloud_init_proof::{engine, guest, runner};
use serde::{Deserialize, Serialize};
use serde_json::json;
use xtask_host::error::{Error, Result};
use xtask_host::report::Report;
use xtask_host::reports::release as reports;
use xtask_host::workspace::Workspace;

use crate::bench::{self, Bench};
use crate::internet;

/// How often the output of the process is passed on.
const GLANCE: Duration = Duration::from_millis(100);
const UP: &str = "cargo xtask lab up";
const DOWN: &str = "cargo xtask lab down";
const STATUS: &str = "cargo xtask lab status";

/// The lab of a checkout.
#[derive(Debug)]
pub struct Lab {
    /// Its files, and the program.
    dir: PathBuf,
    /// The directory of what does not change between labs, shared with the tests.
    kept: PathBuf,
    root: PathBuf,
}

/// The state of a lab.
#[derive(Debug)]
enum State {
    Down,
    /// Its process is setting it up.
    Starting(Facts),
    Up(Facts),
    /// Its process was killed, and left its parts behind.
    Killed(Facts),
}

/// The contents of `lab.json`.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Facts {
    /// Its process ID, once that is known.
    pid: Option<u32>,
    /// How to use it, once it is ready.
    ready: Option<Ready>,
}

/// The parts that a user needs.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Ready {
    /// The machine's container.
    machine: String,
    /// The directory of the fake Multipass: its programs, its record of calls, and the state of `polis`. The report calls it `world`.
    #[serde(rename = "world")]
    sandbox: PathBuf,
    /// A file for a shell to source.
    environment: PathBuf,
}

impl Lab {
    /// The lab of this checkout, whether or not it is running.
    pub fn of(workspace: &Workspace) -> Self {
        Self {
            dir: workspace.target.join("lab"),
            kept: workspace.target.join("proof"),
            root: workspace.root.clone(),
        }
    }

    /// Starts it, unless it is running, and explains how to use it. Prints progress on standard error, unless `quiet`.
    ///
    /// # Errors
    /// When this machine lacks something, or a part cannot be created.
    pub fn up(&self, quiet: bool) -> Result<Report> {
        let what = match self.state()? {
            State::Up(ready) => return Ok(self.report("lab up", &State::Up(ready))),
            State::Killed(_) => return Err(killed()),
            State::Starting(_) => None,
            State::Down => {
                self.requirements()?;
                Some(self.spawn()?)
            }
        };
        self.follow(what, quiet)?;
        Ok(self.report("lab up", &self.state()?))
    }

    /// Takes it down, with the machine and everything in it.
    ///
    /// # Errors
    /// When the remains of a killed lab cannot be removed.
    pub fn down(&self) -> Result<Report> {
        match self.state()? {
            State::Down => {}
            State::Starting(facts) | State::Up(facts) => {
                let pid = facts
                    .pid
                    .ok_or_else(|| Error::machine("the lab has only just started").hint(DOWN))?;
                // If it has ended meanwhile, it needs no signal.
                Run::new(&["kill", &pid.to_string()])
                    .ran()
                    .map_err(Error::machine)?;
                // It releases the lock last.
                self.wait_for_lock()?;
            }
            State::Killed(facts) => self.clear_away(&facts)?,
        }
        Ok(self.report("lab down", &self.state()?))
    }

    /// Its state.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn status(&self) -> Result<Report> {
        Ok(self.report("lab status", &self.state()?))
    }

    /// Runs the lab in this process until SIGTERM or Ctrl-C.
    ///
    /// # Errors
    /// When it is already running, or a part cannot be created.
    pub fn serve(&self) -> Result<Report> {
        if let State::Starting(_) | State::Up(_) = self.state()? {
            return Err(Error::usage("the lab of this checkout is already running").hint(STATUS));
        }
        let _lock = self.wait_for_lock()?;
        let (over, end) = channel();
        ctrlc::set_handler(move || {
            // A second signal has no effect.
            let _ = over.send(());
        })
        .map_err(|error| Error::machine("cannot handle signals").because(error.to_string()))?;
        let mut facts = Facts {
            pid: Some(std::process::id()),
            ready: None,
        };
        self.write("lab.json", &json!(facts).to_string())?;
        let made = Bench::new(&self.kept, &self.dir)
            .map_err(|error| Error::machine("could not set up the lab").because(error));
        if let Ok(bench) = &made {
            facts.ready = Some(self.ready(bench)?);
            self.write("lab.json", &json!(facts).to_string())?;
            // An error would mean that the handler is gone, which cannot happen.
            let _ = end.recv();
        }
        let made = made.map(drop);
        let path = self.path("lab.json");
        fs::remove_file(&path).map_err(|error| Error::io("remove", &path, &error))?;
        made.map(|()| self.report("lab serve", &State::Down))
    }

    /// Writes the file for a shell.
    fn ready(&self, bench: &Bench) -> Result<Ready> {
        let sandbox = bench.sandbox.dir().to_owned();
        let quoted = |text: &str| format!("'{}'", text.replace('\'', "'\\''"));
        let mut text = format!(
            "# For a shell that uses the lab.\nexport PATH={}:{}:\"$PATH\"\n",
            quoted(&self.dir.display().to_string()),
            quoted(&sandbox.join("bin").display().to_string())
        );
        for (name, value) in bench.sandbox.environment() {
            if !matches!(
                name,
                "PATH" | "HOME" | "LANG" | "TMPDIR" | "FAKE_MULTIPASS_TEST"
            ) {
                let value = quoted(&value.to_string_lossy());
                text.push_str(&format!("export {name}={value}\n"));
            }
        }
        self.write("environment", &text)?;
        Ok(Ready {
            machine: bench.guest.name().to_owned(),
            sandbox,
            environment: self.path("environment"),
        })
    }

    fn requirements(&self) -> Result<()> {
        let missing = runner::missing_programs(&bench::PROGRAMS);
        let error = |what: String| Error::machine("this machine cannot run the lab").because(what);
        if !missing.is_empty() {
            let (programs, packages): (Vec<&str>, Vec<&str>) = missing.into_iter().unzip();
            let mut packages = packages;
            packages.sort_unstable();
            packages.dedup();
            return Err(error(format!("not installed: {}", programs.join(", ")))
                .hint(format!("as root: apt-get install {}", packages.join(" ")))
                .hint(format!("then, as root: {UP}")));
        }
        runner::missing(&bench::PROGRAMS).map_or(Ok(()), |what| {
            Err(error(what).hint(format!("as root, on amd64: {UP}")))
        })
    }

    /// Starts the background process, which outlives this one.
    fn spawn(&self) -> Result<std::process::Child> {
        let program = std::env::current_exe().map_err(|error| {
            Error::machine("cannot find the path of this program").because(error.to_string())
        })?;
        // Detached from the terminal's Ctrl-C; standard output goes to standard error.
        let (program, root) = (
            program.display().to_string(),
            self.root.display().to_string(),
        );
        let script = "exec setsid \"$0\" lab serve --root \"$1\" >&2";
        fs::create_dir_all(&self.dir).map_err(|error| Error::io("make", &self.dir, &error))?;
        Run::new(&["sh", "-c", script, &program, &root])
            .background(&self.path("log"))
            .map_err(Error::machine)
    }

    /// Passes on the output of the process until the lab is up.
    fn follow(&self, mut process: Option<std::process::Child>, quiet: bool) -> Result<()> {
        let path = self.path("log");
        let mut read = 0;
        loop {
            // Check this first, so that the last output is read after the end.
            let ended = match &mut process {
                Some(process) => !matches!(process.try_wait(), Ok(None)),
                None => !matches!(self.state()?, State::Starting(_)),
            };
            let mut text = String::new();
            let more = File::open(&path).and_then(|mut log| {
                log.seek(SeekFrom::Start(read))?;
                log.read_to_string(&mut text)
            });
            let more = more.map_err(|error| Error::io("read", &path, &error))?;
            read += u64::try_from(more).unwrap_or_default();
            if !quiet {
                eprint!("{text}");
            }
            if matches!(self.state()?, State::Up(_)) {
                return Ok(());
            }
            if ended {
                let log = fs::read_to_string(&path).unwrap_or_default();
                return Err(Error::machine("the lab did not come up")
                    .because(log.trim_end().to_owned())
                    .hint(UP));
            }
            std::thread::sleep(GLANCE);
        }
    }

    /// Removes what the killed process of a lab left behind.
    fn clear_away(&self, facts: &Facts) -> Result<()> {
        if engine::answers() {
            guest::sweep()
                .and_then(|()| internet::sweep())
                .map_err(Error::machine)?;
        }
        if let Some(ready) = &facts.ready {
            let _ = fs::remove_dir_all(&ready.sandbox);
        }
        let path = self.path("lab.json");
        fs::remove_file(&path).map_err(|error| Error::io("remove", &path, &error))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.path(name);
        let new = path.with_extension("new");
        fs::write(&new, text)
            .and_then(|()| fs::rename(&new, &path))
            .map_err(|error| Error::io("write", &path, &error))
    }

    /// The file that its process locks.
    fn lock_file(&self) -> Result<File> {
        let path = self.path("lock");
        let file = fs::create_dir_all(&self.dir).and_then(|()| File::create(&path));
        file.map_err(|error| Error::io("make", &path, &error))
    }

    fn wait_for_lock(&self) -> Result<File> {
        let file = self.lock_file()?;
        file.lock()
            .map_err(|error| Error::io("lock", &self.path("lock"), &error))?;
        Ok(file)
    }

    fn state(&self) -> Result<State> {
        // Shared, so that concurrent queries do not block each other.
        let free = match self.lock_file()?.try_lock_shared() {
            Ok(()) => true,
            Err(TryLockError::WouldBlock) => false,
            Err(TryLockError::Error(error)) => {
                return Err(Error::io("lock", &self.path("lock"), &error));
            }
        };
        let path = self.path("lab.json");
        let facts: Option<Facts> = match fs::read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(Error::io("read", &path, &error)),
            Ok(bytes) => Some(serde_json::from_slice(&bytes).map_err(|error| {
                Error::machine(format!("`{}` is not valid", path.display()))
                    .because(error.to_string())
                    .hint(format!("remove it, then: {UP}"))
            })?),
        };
        Ok(match (free, facts) {
            (true, None) => State::Down,
            (true, Some(facts)) => State::Killed(facts),
            (false, Some(facts)) if facts.ready.is_some() => State::Up(facts),
            (false, facts) => State::Starting(facts.unwrap_or_default()),
        })
    }

    fn report(&self, verb: &'static str, state: &State) -> Report {
        let (word, facts, text) = match state {
            State::Down => ("down", None, format!("the lab is down; to start it: {UP}")),
            State::Starting(facts) => (
                "starting",
                Some(facts),
                format!(
                    "the lab is starting; to wait for it: {UP}\nits log: {}",
                    self.path("log").display()
                ),
            ),
            State::Killed(facts) => (
                "killed",
                Some(facts),
                format!("the lab's process was killed; to remove what it left behind: {DOWN}"),
            ),
            State::Up(facts) => ("up", Some(facts), facts.usage()),
        };
        let ready = facts.and_then(|facts| facts.ready.as_ref());
        let data = reports::Lab {
            state: word,
            pid: facts.and_then(|facts| facts.pid),
            ready: ready.map(|ready| reports::LabReady {
                machine: ready.machine.clone(),
                world: ready.sandbox.display().to_string(),
                environment: ready.environment.display().to_string(),
            }),
        };
        Report::new(verb, data, text)
    }
}

impl Facts {
    /// How to use it.
    fn usage(&self) -> String {
        let Some(ready) = &self.ready else {
            return String::new();
        };
        let (machine, sandbox) = (&ready.machine, ready.sandbox.display());
        format!(
            "the lab is up: a machine, a registry with twins of the images, and a Multipass that launches it\n\
             \n  use it in a shell   . {}\n                      polis start\n  enter the machine   \
             docker exec -it {machine} bash\n  cut its power       docker kill {machine}\n  calls of multipass  \
             {sandbox}/calls.jsonl\n  take it down        {DOWN}",
            ready.environment.display()
        )
    }
}

fn killed() -> Error {
    Error::machine("the process of the last lab was killed, and left a machine behind")
        .hint(format!("{DOWN}, then: {UP}"))
}
