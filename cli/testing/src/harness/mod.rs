//! What a test has in its hands: a world of its own, the programs run in it, and what they left behind.

mod bridge;
mod double;
mod ran;

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

pub use double::exes;
pub use ran::{Ran, Running};
use tempfile::TempDir;

use crate::commands::call::TEST;
use crate::fault::{self, Fault};
use crate::guest::Guest;
use crate::machine::MACHINE;
use crate::process;
use crate::record::{self, Call};
use crate::world::state::{Access, Instance, Power, State};
use crate::world::{DIRECTORY, Store};

/// The name of the one instance that `polis` has.
const NAME: &str = "polis";
/// How long a program may take before its test fails.
const LIMIT: Duration = Duration::from_secs(60);

/// A world of its own: Multipass, the guest, and the home of a user. Gone when dropped, with all that runs in it.
#[derive(Debug)]
pub struct World {
    /// Removed last.
    _dir: TempDir,
    store: Store,
    polis: Option<PathBuf>,
    /// The container that is the guest, where that is no directory.
    machine: Option<String>,
    limit: Duration,
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

impl World {
    /// A world in which Multipass is installed and nothing has happened.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn new() -> Self {
        let dir = tempfile::Builder::new()
            .prefix("world-")
            .tempdir()
            .expect("a temporary directory");
        // The real path: on macOS the temporary directory is behind a link, and names of the guest are compared.
        let root = fs::canonicalize(dir.path()).expect("the directory is there");
        for folder in ["bin", "home", "tmp", "run"] {
            fs::create_dir(root.join(folder)).expect("a folder of the world");
        }
        symlink(double::path(), root.join("bin/multipass")).expect("a link to the double");
        let store = Store::new(root);
        Self {
            _dir: dir,
            store,
            polis: None,
            machine: None,
            limit: LIMIT,
        }
    }

    /// The same, with the `polis` under test: `World::of(env!("CARGO_BIN_EXE_polis"))`.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn of(polis: impl Into<PathBuf>) -> Self {
        let mut world = Self::new();
        world.polis = Some(polis.into());
        world
    }

    /// The same, with a guest that is a container of this machine's Docker engine: made by the caller, not started, and
    /// removed by the caller.
    #[must_use]
    pub fn on_machine(mut self, container: &str) -> Self {
        self.machine = Some(container.to_owned());
        self
    }

    /// Gives programs another limit than 60 s.
    #[must_use]
    pub fn with_limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// The directory of the world.
    pub fn dir(&self) -> &Path {
        self.store.dir()
    }

    /// The user's home.
    pub fn home(&self) -> PathBuf {
        self.dir().join("home")
    }

    /// Removes Multipass from the PATH.
    ///
    /// # Panics
    /// When it is gone already.
    pub fn uninstall(&self) {
        fs::remove_file(self.dir().join("bin/multipass")).expect("Multipass is installed");
    }

    // ---- the state ----

    /// What is now.
    ///
    /// # Panics
    /// When the world cannot be read.
    pub fn state(&self) -> State {
        self.store.look().expect("a world")
    }

    /// Changes what is.
    ///
    /// # Panics
    /// When the world cannot be written.
    pub fn set<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        self.store.update(change).expect("a world")
    }

    /// The instance `polis`, if the daemon shows it.
    pub fn instance(&self) -> Option<Instance> {
        self.state().find(NAME).cloned()
    }

    /// The state of `polis` as `list` has it; `None` when that does not show it.
    pub fn power(&self) -> Option<Power> {
        self.instance()
            .map(|instance| instance.state(crate::world::now()))
    }

    /// Changes the instance `polis`.
    ///
    /// # Panics
    /// When there is none.
    pub fn set_instance(&self, change: impl FnOnce(&mut Instance)) {
        let changed = self.store.change(NAME, change).expect("a world");
        changed.expect("an instance called polis");
    }

    /// Stops the daemon, which suspends what runs.
    ///
    /// # Panics
    /// When the world cannot be written.
    pub fn stop_daemon(&self) {
        self.set(|state| state.daemon_goes(Access::Down, Power::Running, Power::Suspended));
    }

    /// Starts it again, and with it what it had suspended.
    ///
    /// # Panics
    /// When the world cannot be written.
    pub fn start_daemon(&self) {
        self.set(|state| state.daemon_goes(Access::Up, Power::Suspended, Power::Running));
    }

    /// Adds a fault.
    ///
    /// # Panics
    /// When the world cannot be written.
    pub fn fault(&self, fault: Fault) {
        fault::add(&self.store, fault).expect("a world");
    }

    /// Forgets all faults.
    ///
    /// # Panics
    /// When the world cannot be written.
    pub fn clear_faults(&self) {
        fault::clear(&self.store).expect("a world");
    }

    // ---- the guest ----

    /// The guest of `polis`.
    pub fn guest(&self) -> Guest {
        self.store.guest(NAME)
    }

    /// Whether the guest has something at `path`.
    pub fn guest_has(&self, path: &str) -> bool {
        self.guest().path(path).symlink_metadata().is_ok()
    }

    /// The text of a file of the guest.
    ///
    /// # Panics
    /// When it is not there.
    pub fn read_guest(&self, path: &str) -> String {
        let bytes = self.guest().get(path).expect(path);
        let bytes = bytes.unwrap_or_else(|| panic!("{path} is not in the guest"));
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Writes a file of the guest, with the folders above it.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn write_guest(&self, path: &str, text: &str) {
        self.guest().put(path, text.as_bytes()).expect(path);
    }

    // ---- the calls ----

    /// All calls of `multipass` so far, in the order of their starts.
    ///
    /// # Panics
    /// When the record cannot be read.
    pub fn calls(&self) -> Vec<Call> {
        let mut calls = self.all_calls();
        calls.retain(|call| call.program == "multipass");
        calls
    }

    /// The same with the calls of the guest's tools.
    ///
    /// # Panics
    /// When the record cannot be read.
    pub fn all_calls(&self) -> Vec<Call> {
        record::calls(&self.store).expect("a record")
    }

    /// The calls of one command of `multipass`.
    ///
    /// # Panics
    /// When the record cannot be read.
    pub fn calls_of(&self, command: &str) -> Vec<Call> {
        let mut calls = self.calls();
        calls.retain(|call| call.args.first().is_some_and(|arg| arg == command));
        calls
    }

    /// The command lines that the real programs would have refused, and those to which the guest has no answer.
    ///
    /// # Panics
    /// When the record cannot be read.
    pub fn refused(&self) -> Vec<String> {
        let calls = self.all_calls().into_iter();
        calls
            .filter(Call::refused)
            .map(|call| call.line())
            .collect()
    }

    /// The command lines that changed the machine or anything in it.
    ///
    /// # Panics
    /// When the record cannot be read.
    pub fn mutations(&self) -> Vec<String> {
        let calls = self.all_calls().into_iter();
        calls
            .filter(Call::mutated)
            .map(|call| call.line())
            .collect()
    }

    /// Forgets the calls so far.
    ///
    /// # Panics
    /// When the record cannot be removed.
    pub fn forget_calls(&self) {
        let record = self.dir().join("calls.jsonl");
        if record.exists() {
            fs::remove_file(record).expect("the record");
        }
    }

    // ---- the programs ----

    /// Runs `polis` with nothing to read.
    ///
    /// # Panics
    /// When it takes longer than the limit, with all that it said so far.
    pub fn polis(&self, args: &[&str]) -> Ran {
        self.start_polis(args).wait()
    }

    /// The same with more environment.
    ///
    /// # Panics
    /// When it takes longer than the limit.
    pub fn polis_with(&self, args: &[&str], env: &[(&str, &str)]) -> Ran {
        self.start(self.polis_path(), args, env, b"").wait()
    }

    /// Runs `polis` on a terminal without control sequences and types `typed`. All of its output is on standard output
    /// then.
    ///
    /// # Panics
    /// When it takes longer than the limit.
    pub fn polis_on_terminal(&self, args: &[&str], typed: &str) -> Ran {
        self.on_terminal("dumb", args, typed)
    }

    /// The same on a terminal as people have them, of 80 columns; types nothing.
    ///
    /// # Panics
    /// When it takes longer than the limit.
    pub fn polis_on_xterm(&self, args: &[&str]) -> Ran {
        self.on_terminal("xterm", args, "")
    }

    fn on_terminal(&self, term: &str, args: &[&str], typed: &str) -> Ran {
        let polis = self.polis_path().display();
        let command = format!("'{polis}' {}", args.join(" "));
        let words = ["--quiet", "--return", "--command", &command, "/dev/null"];
        let env = [("TERM", term), ("SHELL", "/bin/sh")];
        self.start(Path::new("/usr/bin/script"), &words, &env, typed.as_bytes())
            .wait()
    }

    /// Runs a script of bash that finds `polis`, as for a pipeline.
    ///
    /// # Panics
    /// When it takes longer than the limit.
    pub fn shell(&self, script: &str) -> Ran {
        let programs = self.polis_path().parent().unwrap_or(Path::new("/"));
        let bin = self.dir().join("bin");
        let path = format!("{}:{}:/usr/bin:/bin", bin.display(), programs.display());
        let words = ["-c", script];
        self.start(Path::new("/bin/bash"), &words, &[("PATH", &path)], b"")
            .wait()
    }

    /// Starts `polis` and does not wait.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start_polis(&self, args: &[&str]) -> Running {
        self.start(self.polis_path(), args, &[], b"")
    }

    /// Runs another program that finds `multipass` on its PATH.
    ///
    /// # Panics
    /// When it takes longer than the limit.
    pub fn run(&self, program: &Path, args: &[&str]) -> Ran {
        self.start(program, args, &[], b"").wait()
    }

    /// Runs `multipass` as `polis` does, with `stdin` to read.
    ///
    /// # Panics
    /// When it takes longer than the limit.
    pub fn multipass(&self, args: &[&str], stdin: &[u8]) -> Ran {
        self.start_multipass(args, stdin).wait()
    }

    /// Starts `multipass` and does not wait.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start_multipass(&self, args: &[&str], stdin: &[u8]) -> Running {
        self.start(&self.dir().join("bin/multipass"), args, &[], stdin)
    }

    /// Answers `multipass.exe` and `curl.exe` for as long as the test runs, and returns the address that it wants to have in
    /// `FAKE_MULTIPASS_BRIDGE`. Programs of Windows see `drive_c` as `C:\`, and all of this machine as `Z:\`.
    ///
    /// # Panics
    /// When no port can be had.
    pub fn bridge(&self, drive_c: &Path) -> String {
        self.set(|state| state.windows = true);
        let bin = self.dir().join("bin");
        let (home, environment) = (self.home(), self.environment());
        let command = move |program: &str| {
            let program = match program {
                "curl" => "/usr/bin/curl".into(),
                own => bin.join(own),
            };
            let mut command = process::group(program);
            command.env_clear().current_dir(&home);
            command.envs(environment.iter().cloned());
            command
        };
        bridge::serve(command, drive_c)
    }

    fn polis_path(&self) -> &Path {
        self.polis
            .as_deref()
            .expect("a world made with World::of has a polis")
    }

    /// Starts any program with more environment and does not wait.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(
        &self,
        program: &Path,
        args: &[&str],
        env: &[(&str, &str)],
        stdin: &[u8],
    ) -> Running {
        let mut command = process::group(program);
        command.args(args);
        self.dress(&mut command);
        command.envs(env.iter().copied());
        let input = if stdin.is_empty() {
            Stdio::null()
        } else {
            Stdio::piped()
        };
        command
            .stdin(input)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Running::start(command, stdin, self.dir(), self.limit)
    }

    /// Starts a program with an environment that has nothing of the test's own.
    fn dress(&self, command: &mut Command) {
        command
            .env_clear()
            .current_dir(self.home())
            .envs(self.environment());
    }

    /// What a program of this world has in its environment, and nothing else.
    pub fn environment(&self) -> Vec<(&'static str, OsString)> {
        let home = self.home();
        let path = format!("{}:/usr/bin:/bin", self.dir().join("bin").display());
        let mut environment: Vec<(&str, OsString)> = vec![
            ("PATH", path.into()),
            ("HOME", home.clone().into()),
            ("XDG_CONFIG_HOME", home.join(".config").into()),
            ("XDG_STATE_HOME", home.join(".local/state").into()),
            ("XDG_CACHE_HOME", home.join(".cache").into()),
            ("XDG_DATA_HOME", home.join(".local/share").into()),
            ("XDG_RUNTIME_DIR", self.dir().join("run").into()),
            ("TMPDIR", self.dir().join("tmp").into()),
            ("LANG", "C.UTF-8".into()),
            (DIRECTORY, self.dir().into()),
            (TEST, std::process::id().to_string().into()),
        ];
        environment.extend(self.machine.as_ref().map(|it| (MACHINE, it.into())));
        environment
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // What a killed call left running belongs to this world alone.
        for call in record::calls(&self.store).unwrap_or_default() {
            if call.end.is_none() && call.pid != std::process::id() {
                process::signal(call.pid, rustix::process::Signal::KILL);
            }
        }
        let guests = fs::read_dir(self.dir()).into_iter().flatten().flatten();
        for entry in guests {
            let name = entry.file_name().to_string_lossy().into_owned();
            let instance = match name.strip_prefix("guest") {
                Some("") => NAME,
                Some(other) => other.trim_start_matches('-'),
                None => continue,
            };
            let _nothing_left_to_end = self.store.guest(instance).shut_down();
        }
    }
}
