//! `cargo xtask lab`: the world of the proof, started by hand and left running.
//!
//! A process in the background holds the [`Bench`], as a test does, and everything ends with that. The process holds a lock
//! for as long as it lives, which tells a lab that runs from one that was killed. `lab.json` says what is known of it.

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

/// How often what the process prints is passed on.
const GLANCE: Duration = Duration::from_millis(100);
const UP: &str = "cargo xtask lab up";
const DOWN: &str = "cargo xtask lab down";
const STATUS: &str = "cargo xtask lab status";

/// The lab of a checkout.
#[derive(Debug)]
pub struct Lab {
    /// Its files, and the program.
    dir: PathBuf,
    /// What does not change between labs, shared with the tests.
    kept: PathBuf,
    root: PathBuf,
}

/// How a lab is.
#[derive(Debug)]
enum State {
    Down,
    /// Its process is making it.
    Starting(Facts),
    Up(Facts),
    /// Its process was killed, and left things behind.
    Killed(Facts),
}

/// What is known of a lab.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Facts {
    /// Its process; none before it could say so.
    pid: Option<u32>,
    /// What it has once it is ready.
    ready: Option<Ready>,
}

/// What a user needs.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Ready {
    /// The container that is the machine.
    machine: String,
    /// The directory of the double: its programs, its record of calls, and what `polis` keeps.
    world: PathBuf,
    /// A file for a shell to read.
    environment: PathBuf,
}

impl Lab {
    /// The lab of this checkout, whether or not it runs.
    pub fn of(workspace: &Workspace) -> Self {
        Self {
            dir: workspace.target.join("lab"),
            kept: workspace.target.join("proof"),
            root: workspace.root.clone(),
        }
    }

    /// Starts it, unless it runs, and says how to use it. What is made is told on standard error, unless `quiet`.
    ///
    /// # Errors
    /// When this machine lacks something, or a part cannot be made.
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

    /// Takes it down, with the machine and all that is in it.
    ///
    /// # Errors
    /// When what a killed one has left behind cannot be removed.
    pub fn down(&self) -> Result<Report> {
        match self.state()? {
            State::Down => {}
            State::Starting(facts) | State::Up(facts) => {
                let pid = facts.pid.ok_or_else(|| {
                    Error::machine("the lab has only just begun to start").hint(DOWN)
                })?;
                // One that has ended meanwhile needs no signal.
                Run::new(&["kill", &pid.to_string()])
                    .ran()
                    .map_err(Error::machine)?;
                // Which it lets go of last.
                self.wait_for_lock()?;
            }
            State::Killed(facts) => self.clear_away(&facts)?,
        }
        Ok(self.report("lab down", &self.state()?))
    }

    /// How it is.
    ///
    /// # Errors
    /// When that cannot be read.
    pub fn status(&self) -> Result<Report> {
        Ok(self.report("lab status", &self.state()?))
    }

    /// Is the lab, until SIGTERM or Ctrl-C.
    ///
    /// # Errors
    /// When another one is, or a part cannot be made.
    pub fn serve(&self) -> Result<Report> {
        if let State::Starting(_) | State::Up(_) = self.state()? {
            return Err(Error::usage("the lab of this checkout runs already").hint(STATUS));
        }
        let _lock = self.wait_for_lock()?;
        let (over, end) = channel();
        ctrlc::set_handler(move || {
            // A second signal has nobody left to tell.
            let _ = over.send(());
        })
        .map_err(|error| Error::machine("cannot handle signals").because(error.to_string()))?;
        let mut facts = Facts {
            pid: Some(std::process::id()),
            ready: None,
        };
        self.write("lab.json", &json!(facts).to_string())?;
        let made = Bench::new(&self.kept, &self.dir)
            .map_err(|error| Error::machine("the lab cannot be made").because(error));
        if let Ok(bench) = &made {
            facts.ready = Some(self.ready(bench)?);
            self.write("lab.json", &json!(facts).to_string())?;
            // An error means that the handler is gone, which it never is.
            let _ = end.recv();
        }
        let made = made.map(drop);
        let path = self.path("lab.json");
        fs::remove_file(&path).map_err(|error| Error::io("remove", &path, &error))?;
        made.map(|()| self.report("lab serve", &State::Down))
    }

    /// Writes the file that a shell reads.
    fn ready(&self, bench: &Bench) -> Result<Ready> {
        let world = bench.world.dir().to_owned();
        let quoted = |text: &str| format!("'{}'", text.replace('\'', "'\\''"));
        let mut text = format!(
            "# For a shell that uses the lab.\nexport PATH={}:{}:\"$PATH\"\n",
            quoted(&self.dir.display().to_string()),
            quoted(&world.join("bin").display().to_string())
        );
        for (name, value) in bench.world.environment() {
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
            world,
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

    /// Starts the process; it goes on when this one ends.
    fn spawn(&self) -> Result<std::process::Child> {
        let program = std::env::current_exe()
            .map_err(|error| Error::machine("who am I?").because(error.to_string()))?;
        // Away from the terminal's Ctrl-C; what it prints goes where its errors go.
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

    /// Passes on what the process prints, until the lab is up.
    fn follow(&self, mut process: Option<std::process::Child>, quiet: bool) -> Result<()> {
        let path = self.path("log");
        let mut read = 0;
        loop {
            // Asked first, so that the last words are read after the end.
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

    /// Removes what the killed process of a lab could not.
    fn clear_away(&self, facts: &Facts) -> Result<()> {
        if engine::answers() {
            guest::sweep()
                .and_then(|()| internet::sweep())
                .map_err(Error::machine)?;
        }
        if let Some(ready) = &facts.ready {
            let _ = fs::remove_dir_all(&ready.world);
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

    /// The file that its process holds a lock on.
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
        // Shared, so that those who only ask are not in each other's way.
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
                Error::machine(format!("`{}` is broken", path.display()))
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
            State::Down => ("down", None, format!("the lab is down; start it: {UP}")),
            State::Starting(facts) => (
                "starting",
                Some(facts),
                format!(
                    "the lab is being made; wait for it: {UP}\nwhat it does: {}",
                    self.path("log").display()
                ),
            ),
            State::Killed(facts) => (
                "killed",
                Some(facts),
                format!("the lab's process was killed; clear away what it left: {DOWN}"),
            ),
            State::Up(facts) => ("up", Some(facts), facts.usage()),
        };
        let ready = facts.and_then(|facts| facts.ready.as_ref());
        let data = reports::Lab {
            state: word,
            pid: facts.and_then(|facts| facts.pid),
            ready: ready.map(|ready| reports::LabReady {
                machine: ready.machine.clone(),
                world: ready.world.display().to_string(),
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
        let (machine, world) = (&ready.machine, ready.world.display());
        format!(
            "the lab is up: a machine, a registry with twins of the images, and a Multipass that launches it\n\
             \n  use it in a shell   . {}\n                      polis start\n  enter the machine   \
             docker exec -it {machine} bash\n  cut its power       docker kill {machine}\n  calls of multipass  \
             {world}/calls.jsonl\n  take it down        {DOWN}",
            ready.environment.display()
        )
    }
}

fn killed() -> Error {
    Error::machine("the process of the last lab was killed, and has left a machine behind")
        .hint(format!("{DOWN}, then: {UP}"))
}
