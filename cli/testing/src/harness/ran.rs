//! A started program, and its result.

use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::process;

/// The result of a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// Its exit code; `None` if a signal killed it.
    pub code: Option<i32>,
    /// The signal that killed it.
    pub signal: Option<i32>,
    /// Its standard output, with the sandbox's directory as `[SANDBOX]`.
    pub stdout: String,
    /// Its standard error, likewise.
    pub stderr: String,
}

impl Ran {
    /// Everything that the user sees, for a snapshot.
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

/// A running program; killed when dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    stdout: Reader,
    stderr: Reader,
    sandbox: PathBuf,
    deadline: Instant,
    done: bool,
}

impl Running {
    pub(super) fn start(
        mut command: Command,
        stdin: &[u8],
        sandbox: &Path,
        limit: Duration,
    ) -> Self {
        let mut child = process::spawn(&mut command)
            .unwrap_or_else(|error| panic!("{}: {error}", command.get_program().display()));
        if let Some(mut to) = child.stdin.take() {
            let stdin = stdin.to_vec();
            // In a thread: the program may fill its output before it reads, or never read.
            thread::spawn(move || {
                let _it_reads_no_more = to.write_all(&stdin);
            });
        }
        Self {
            stdout: Reader::new(child.stdout.take()),
            stderr: Reader::new(child.stderr.take()),
            child,
            sandbox: sandbox.to_owned(),
            deadline: Instant::now() + limit,
            done: false,
        }
    }

    /// Its process ID.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its standard error so far.
    pub fn stderr(&self) -> String {
        self.stderr.text(&self.sandbox)
    }

    /// Its standard output so far.
    pub fn stdout(&self) -> String {
        self.stdout.text(&self.sandbox)
    }

    /// Whether it is still running.
    ///
    /// # Panics
    /// When the system cannot say.
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_none()
    }

    /// Sends SIGINT to its process group, as a terminal does on Ctrl-C.
    pub fn interrupt(&self) {
        process::signal_group(self.child.id(), Signal::INT);
    }

    /// Sends SIGTERM to the process alone.
    pub fn terminate(&self) {
        process::signal(self.child.id(), Signal::TERM);
    }

    /// Sends SIGHUP to its process group, as a terminal does when it closes.
    pub fn hang_up(&self) {
        process::signal_group(self.child.id(), Signal::HUP);
    }

    /// Kills the process alone; its children keep running.
    pub fn kill(&self) {
        process::signal(self.child.id(), Signal::KILL);
    }

    /// Waits until it exits.
    ///
    /// # Panics
    /// When it takes longer than the limit of its sandbox.
    pub fn wait(mut self) -> Ran {
        let started = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                break status;
            }
            if Instant::now() > self.deadline {
                process::kill_group(self.child.id());
                panic!(
                    "still running after its limit; output so far:\n--- stdout\n{}\n--- stderr\n{}",
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

    /// Waits for the rest of the output, but not for children that outlive the program and keep it open.
    fn finish(&mut self) {
        let Some(thread) = self.thread.take() else {
            return;
        };
        let started = Instant::now();
        while !thread.is_finished() && started.elapsed() < Duration::from_millis(500) {
            thread::sleep(process::pause(started.elapsed()));
        }
    }

    fn text(&self, sandbox: &Path) -> String {
        let bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).replace(&*sandbox.to_string_lossy(), "[SANDBOX]")
    }
}
