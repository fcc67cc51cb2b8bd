//! The sandbox of a test, the programs run in it, and what they left behind.

mod bridge;
mod build;
mod programs;
mod ran;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use build::exes;
pub use ran::{Ran, Running};
use tempfile::TempDir;

use crate::fault::{self, Fault};
use crate::guest::Guest;
use crate::process;
use crate::record::{self, Call};
use crate::store::Store;
use crate::store::state::{Access, Instance, Power, State};

/// The name of polis's instance.
const NAME: &str = "polis";
/// How long a program may take until its test fails.
const LIMIT: Duration = Duration::from_secs(60);

/// A fake Multipass, its guest, and the home of a user. Dropping it removes them, and kills everything that runs in it.
#[derive(Debug)]
pub struct Sandbox {
    /// Removed last.
    _dir: TempDir,
    store: Store,
    polis: Option<PathBuf>,
    /// The container that is the guest; `None` if the guest is a directory.
    machine: Option<String>,
    limit: Duration,
}

impl Default for Sandbox {
    fn default() -> Self {
        Self::new()
    }
}

impl Sandbox {
    /// A fresh sandbox with Multipass installed.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn new() -> Self {
        let dir = tempfile::Builder::new()
            .prefix("sandbox-")
            .tempdir()
            .expect("a temporary directory");
        // The canonical path: on macOS the temporary directory is behind a link, and the guest's paths are compared.
        let root = fs::canonicalize(dir.path()).expect("the directory exists");
        for folder in ["bin", "home", "tmp", "run"] {
            fs::create_dir(root.join(folder)).expect("a folder of the sandbox");
        }
        symlink(build::path(), root.join("bin/multipass")).expect("a link to the fake");
        let store = Store::new(root);
        Self {
            _dir: dir,
            store,
            polis: None,
            machine: None,
            limit: LIMIT,
        }
    }

    /// A fresh sandbox with the `polis` under test: `Sandbox::of(env!("CARGO_BIN_EXE_polis"))`.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn of(polis: impl Into<PathBuf>) -> Self {
        let mut sandbox = Self::new();
        sandbox.polis = Some(polis.into());
        sandbox
    }

    /// Makes a container of this machine's Docker engine the guest. The caller creates it without starting it, and removes it.
    #[must_use]
    pub fn on_machine(mut self, container: &str) -> Self {
        self.machine = Some(container.to_owned());
        self
    }

    /// Sets a limit for programs other than 60 s.
    #[must_use]
    pub fn with_limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// The directory of the sandbox.
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
    /// When it is already gone.
    pub fn uninstall(&self) {
        fs::remove_file(self.dir().join("bin/multipass")).expect("Multipass is installed");
    }

    // ---- the state ----

    /// The current state.
    ///
    /// # Panics
    /// When the sandbox cannot be read.
    pub fn state(&self) -> State {
        self.store.look().expect("a sandbox")
    }

    /// Changes the state.
    ///
    /// # Panics
    /// When the sandbox cannot be written.
    pub fn set<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        self.store.update(change).expect("a sandbox")
    }

    /// The instance `polis`, if the daemon lists it.
    pub fn instance(&self) -> Option<Instance> {
        self.state().find(NAME).cloned()
    }

    /// The state of `polis` as `list` prints it; `None` if it is not listed.
    pub fn power(&self) -> Option<Power> {
        self.instance()
            .map(|instance| instance.state(crate::store::now()))
    }

    /// Changes the instance `polis`.
    ///
    /// # Panics
    /// When it does not exist.
    pub fn set_instance(&self, change: impl FnOnce(&mut Instance)) {
        let changed = self.store.change(NAME, change).expect("a sandbox");
        changed.expect("an instance called polis");
    }

    /// Stops the daemon, which suspends running instances.
    ///
    /// # Panics
    /// When the sandbox cannot be written.
    pub fn stop_daemon(&self) {
        self.set(|state| state.daemon_goes(Access::Down, Power::Running, Power::Suspended));
    }

    /// Starts the daemon again, which resumes the instances that it suspended.
    ///
    /// # Panics
    /// When the sandbox cannot be written.
    pub fn start_daemon(&self) {
        self.set(|state| state.daemon_goes(Access::Up, Power::Suspended, Power::Running));
    }

    /// Adds a fault.
    ///
    /// # Panics
    /// When the sandbox cannot be written.
    pub fn fault(&self, fault: Fault) {
        fault::add(&self.store, fault).expect("a sandbox");
    }

    /// Removes all faults.
    ///
    /// # Panics
    /// When the sandbox cannot be written.
    pub fn clear_faults(&self) {
        fault::clear(&self.store).expect("a sandbox");
    }

    // ---- the guest ----

    /// The guest of `polis`.
    pub fn guest(&self) -> Guest {
        self.store.guest(NAME)
    }

    /// Whether `path` exists in the guest.
    pub fn guest_has(&self, path: &str) -> bool {
        self.guest().path(path).symlink_metadata().is_ok()
    }

    /// The text of a file of the guest.
    ///
    /// # Panics
    /// When it does not exist.
    pub fn read_guest(&self, path: &str) -> String {
        let bytes = self.guest().get(path).expect(path);
        let bytes = bytes.unwrap_or_else(|| panic!("{path} is not in the guest"));
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Writes a file of the guest, and creates the folders above it.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn write_guest(&self, path: &str, text: &str) {
        self.guest().put(path, text.as_bytes()).expect(path);
    }

    // ---- the calls ----

    /// All calls of `multipass` so far, in the order in which they started.
    ///
    /// # Panics
    /// When the record cannot be read.
    pub fn calls(&self) -> Vec<Call> {
        let mut calls = self.all_calls();
        calls.retain(|call| call.program == "multipass");
        calls
    }

    /// All calls, including those of the guest's tools.
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

    /// The command lines that the real programs would have refused, and those that the fake guest does not support.
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

    /// Removes the calls so far from the record.
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

impl Drop for Sandbox {
    fn drop(&mut self) {
        // Processes left by a killed call belong only to this sandbox.
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
