//! What a test has in its hands: a world of its own, the programs run in it, and what they left behind.

mod bridge;
mod double;
mod programs;
mod ran;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use double::exes;
pub use ran::{Ran, Running};
use tempfile::TempDir;

use crate::fault::{self, Fault};
use crate::guest::Guest;
use crate::process;
use crate::record::{self, Call};
use crate::world::Store;
use crate::world::state::{Access, Instance, Power, State};

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
