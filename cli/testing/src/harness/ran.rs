//! A program that was started, and what it did.

use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::process;

/// What a program did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// Its exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// What it printed on standard output, with the world's directory as `[WORLD]`.
    pub stdout: String,
    /// The same of standard error.
    pub stderr: String,
}

impl Ran {
    /// Everything that a user sees, for a snapshot.
    pub fn seen(&self) -> String {
        let mut seen = match (self.code, self.signal) {
            (Some(code), _) => format!("exit {code}\n"),
            (None, signal) => format!("signal {}\n", signal.unwrap_or(0)),
        };
        for (name, text) in [("stdout", &self.stdout), ("stderr", &self.stderr)] {
            if !text.is_empty() {
                seen.push_str(&format!("--- {name}\n{}\n", text.trim_end()));
            }
        }
        seen
    }
}

/// A program under way; killed when dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    stdout: Reader,
    stderr: Reader,
    world: PathBuf,
    deadline: Instant,
    done: bool,
}

impl Running {
    pub(super) fn start(mut command: Command, stdin: &[u8], world: &Path, limit: Duration) -> Self {
        let mut child = process::spawn(&mut command)
            .unwrap_or_else(|error| panic!("{}: {error}", command.get_program().display()));
        if let Some(mut to) = child.stdin.take() {
            let stdin = stdin.to_vec();
            // From a thread: the program may fill its output first. It may also read none of it.
            thread::spawn(move || {
                let _it_reads_no_more = to.write_all(&stdin);
            });
        }
        Self {
            stdout: Reader::new(child.stdout.take()),
            stderr: Reader::new(child.stderr.take()),
            child,
            world: world.to_owned(),
            deadline: Instant::now() + limit,
            done: false,
        }
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has printed on standard error so far.
    pub fn stderr(&self) -> String {
        self.stderr.text(&self.world)
    }

    /// What it has printed on standard output so far.
    pub fn stdout(&self) -> String {
        self.stdout.text(&self.world)
    }

    /// Whether it is still there.
    ///
    /// # Panics
    /// When the system cannot say.
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_none()
    }

    /// Sends the signal of Ctrl-C to its group, as a terminal does.
    pub fn interrupt(&self) {
        process::signal_group(self.child.id(), Signal::INT);
    }

    /// Sends SIGTERM to it alone.
    pub fn terminate(&self) {
        process::signal(self.child.id(), Signal::TERM);
    }

    /// Sends SIGHUP to its group, as a terminal does that is closed.
    pub fn hang_up(&self) {
        process::signal_group(self.child.id(), Signal::HUP);
    }

    /// Kills it alone; what it has started goes on.
    pub fn kill(&self) {
        process::signal(self.child.id(), Signal::KILL);
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it takes longer than the limit of its world.
    pub fn wait(mut self) -> Ran {
        let started = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                break status;
            }
            if Instant::now() > self.deadline {
                process::kill_group(self.child.id());
                panic!(
                    "still running after its limit; so far it said\n--- stdout\n{}\n--- stderr\n{}",
                    self.stdout(),
                    self.stderr()
                );
            }
            thread::sleep(process::pause(started.elapsed()));
        };
        self.done = true;
        self.stdout.finish();
        self.stderr.finish();
        Ran {
            code: status.code(),
            signal: status.signal(),
            stdout: self.stdout(),
            stderr: self.stderr(),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.done && matches!(self.child.try_wait(), Ok(None)) {
            process::kill_group(self.child.id());
            let _ended = self.child.wait();
        }
    }
}

/// Collects what a program prints while it runs.
#[derive(Debug)]
struct Reader {
    bytes: Arc<Mutex<Vec<u8>>>,
    thread: Option<JoinHandle<()>>,
}

impl Reader {
    fn new(from: Option<impl Read + Send + 'static>) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::clone(&bytes);
        let thread = from.map(|mut from| {
            thread::spawn(move || {
                let mut buffer = [0; 4096];
                while let Ok(count @ 1..) = from.read(&mut buffer) {
                    let mut bytes = shared.lock().unwrap_or_else(PoisonError::into_inner);
                    bytes.extend_from_slice(&buffer[..count]);
                }
            })
        });
        Self { bytes, thread }
    }

    /// Waits for the rest. Children that outlive the program may keep its output open: nobody waits for those.
    fn finish(&mut self) {
        let Some(thread) = self.thread.take() else {
            return;
        };
        let started = Instant::now();
        while !thread.is_finished() && started.elapsed() < Duration::from_millis(500) {
            thread::sleep(process::pause(started.elapsed()));
        }
    }

    fn text(&self, world: &Path) -> String {
        let bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).replace(&*world.to_string_lossy(), "[WORLD]")
    }
}
