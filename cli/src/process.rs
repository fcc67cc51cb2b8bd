//! The only place that starts programs. Each has a deadline, and leaves no process behind.
//!
//! Calls of Multipass can hang (on a guest that is gone, on a daemon that waits), so every call has a watchdog. Dropping a
//! call kills it.

use std::io::{self, Read, Write};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::signals;
use crate::store::Written;

/// The exit code of a program that Windows ended at a Ctrl-C: STATUS_CONTROL_C_EXIT.
const CONTROL_C_EXIT: i32 = 0xC000_013A_u32.cast_signed();
/// How long to keep reading once the program has ended: another process may hold its pipe open.
pub(crate) const AFTERGLOW: Duration = Duration::from_secs(1);
/// How often to check for an ended program, a signal and the deadline.
pub(crate) const TICK: Duration = Duration::from_millis(20);
/// The maximum output that is kept; no program whose output is parsed prints as much.
const MOST_OUTPUT: usize = 16 << 20;

/// Variables that no child process needs, and that may hold a password.
const SECRETS: [&str; 2] = ["POLIS_HTTP_PROXY", "POLIS_HTTPS_PROXY"];

/// Why there is no output.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The program could not be started.
    Start(io::Error),
    /// It exceeded this limit, and was killed.
    TimedOut(Duration),
    /// It printed more than this many bytes, and was killed.
    TooMuch(usize),
    /// Its output could not be stored; it was killed.
    Lost(io::Error),
    /// A signal arrived; the program was killed.
    Interrupted,
}

/// The pipes of a program.
#[derive(Default)]
pub(crate) struct Streams {
    /// The null device if none, never the terminal.
    pub(crate) stdin: Option<Box<dyn Read + Send>>,
    /// Captured if none.
    pub(crate) stdout: Option<Box<dyn Write + Send>>,
}

/// The exit code and the output of a program.
#[derive(Debug, Clone, Default)]
pub(crate) struct Output {
    /// The exit code; none if a signal killed it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Output {
    /// How the program ended, such as `exit code 3`.
    pub(crate) fn ended(&self) -> String {
        let code = self.code.map(|code| format!("exit code {code}"));
        code.unwrap_or_else(|| "killed by a signal".to_owned())
    }
}

/// A running program whose output is captured.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    chunks: Receiver<Chunk>,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    open: usize,
    ended: Option<(ExitStatus, Instant)>,
    /// A file that it reads, removed when the program is dropped.
    _reads: Option<Written>,
}

#[derive(Debug)]
enum Chunk {
    Out(Vec<u8>),
    Err(Vec<u8>),
    Closed,
    Lost(io::Error),
}

/// Sleeps, unless a signal arrives.
pub(crate) fn pause(time: Duration) -> std::result::Result<(), Failure> {
    let end = Instant::now() + time;
    while Instant::now() < end {
        if signals::came() {
            return Err(Failure::Interrupted);
        }
        thread::sleep(TICK.min(end.saturating_duration_since(Instant::now())));
    }
    Ok(())
}

/// Does `work` that cannot be interrupted, such as reading standard input, in a separate thread. `look` is called with the time that
/// it has taken so far.
///
/// # Errors
/// When a signal arrives.
pub(crate) fn beside<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
    mut look: impl FnMut(Duration),
) -> std::result::Result<T, Failure> {
    let begun = Instant::now();
    let thread = thread::spawn(work);
    while !thread.is_finished() {
        pause(TICK)?;
        look(begun.elapsed());
    }
    // A Ctrl-C may have truncated the input.
    if signals::came() {
        return Err(Failure::Interrupted);
    }
    let broke_off = |_| Failure::Start(io::Error::other("a thread ended unexpectedly"));
    thread.join().map_err(broke_off)
}

#[expect(clippy::disallowed_methods, reason = "the only process wrapper")]
fn command(program: &Path, args: &[String]) -> Command {
    let mut command = Command::new(program);
    command.args(args);
    for name in SECRETS {
        command.env_remove(name);
    }
    command
}

/// Starts `program`.
pub(crate) fn start(
    program: &Path,
    args: &[String],
    streams: Streams,
) -> std::result::Result<Running, Failure> {
    let mut child = command(program, args)
        .stdin(if streams.stdin.is_some() {
            Stdio::piped()
        } else {
            Stdio::null()
        })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(Failure::Start)?;
    if let (Some(mut pipe), Some(mut from)) = (child.stdin.take(), streams.stdin) {
        // A program that does not read all its input explains that itself.
        thread::spawn(move || io::copy(&mut from, &mut pipe));
    }
    // Bounded, so that a program that prints faster than we read must wait.
    let (sender, chunks) = sync_channel(64);
    let mut open = 0;
    if let Some(pipe) = child.stdout.take() {
        match streams.stdout {
            Some(to) => store(pipe, to, sender.clone()),
            None => read(pipe, Chunk::Out, sender.clone()),
        }
        open += 1;
    }
    if let Some(pipe) = child.stderr.take() {
        read(pipe, Chunk::Err, sender);
        open += 1;
    }
    Ok(Running {
        child,
        chunks,
        stdout: Vec::new(),
        stderr: Vec::new(),
        open,
        ended: None,
        _reads: None,
    })
}

/// Runs `program` within `limit`, without input.
pub(crate) fn run(
    program: &Path,
    args: &[String],
    limit: Duration,
) -> std::result::Result<Output, Failure> {
    let mut running = start(program, args, Streams::default())?;
    let end = Instant::now() + limit;
    loop {
        if let Some(output) = running.poll(TICK)? {
            return Ok(output);
        }
        if Instant::now() >= end {
            return Err(Failure::TimedOut(limit));
        }
    }
}

/// Starts an interactive program on our own terminal and streams, without input unless `reads`. With `piped` its output is
/// returned as pipes.
///
/// # Errors
/// When it cannot be started.
pub(crate) fn interactive(
    program: &Path,
    args: &[String],
    reads: bool,
    piped: bool,
) -> io::Result<Child> {
    let mut command = command(program, args);
    if !reads {
        command.stdin(Stdio::null());
    }
    if piped {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
    }
    command.spawn()
}

impl Running {
    /// Keeps `file`, which the program reads, until the program is dropped.
    pub(crate) fn reading(mut self, file: Option<Written>) -> Self {
        self._reads = file;
        self
    }

    /// The output if the program ends within `time`.
    ///
    /// # Errors
    /// When a signal arrives, or the output is too long or cannot be stored.
    pub(crate) fn poll(&mut self, time: Duration) -> std::result::Result<Option<Output>, Failure> {
        let end = Instant::now() + time;
        loop {
            if signals::came() {
                return Err(Failure::Interrupted);
            }
            let left = end.saturating_duration_since(Instant::now());
            match self.chunks.recv_timeout(left.min(TICK)) {
                Ok(Chunk::Out(bytes)) => self.stdout.extend(bytes),
                Ok(Chunk::Err(bytes)) => self.stderr.extend(bytes),
                Ok(Chunk::Closed) => self.open -= 1,
                Ok(Chunk::Lost(error)) => return Err(Failure::Lost(error)),
                Err(RecvTimeoutError::Timeout) => {}
                // It has closed its output and is about to end.
                Err(RecvTimeoutError::Disconnected) => thread::sleep(left.min(TICK / 10)),
            }
            if self.stdout.len() + self.stderr.len() > MOST_OUTPUT {
                return Err(Failure::TooMuch(MOST_OUTPUT));
            }
            if self.ended.is_none() {
                let status = self.child.try_wait().map_err(Failure::Start)?;
                self.ended = status.map(|status| (status, Instant::now()));
            }
            if let Some((status, since)) = self.ended
                && (self.open == 0 || since.elapsed() > AFTERGLOW)
            {
                // Ctrl-C goes to the program too, which may react before our own handler.
                if matches!(status.code(), None | Some(130 | CONTROL_C_EXIT)) {
                    pause(TICK * 5)?;
                }
                return Ok(Some(self.output(status)));
            }
            if Instant::now() >= end {
                return Ok(None);
            }
        }
    }

    /// The standard output so far.
    pub(crate) fn stdout_so_far(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Whether the program was still running at the last [`Running::poll`].
    pub(crate) fn runs(&self) -> bool {
        self.ended.is_none()
    }

    fn output(&self, status: ExitStatus) -> Output {
        Output {
            code: status.code(),
            stdout: String::from_utf8_lossy(&self.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&self.stderr).into_owned(),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.ended.is_none() {
            // It may have ended in the meantime.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

fn read(
    mut pipe: impl Read + Send + 'static,
    chunk: fn(Vec<u8>) -> Chunk,
    sender: SyncSender<Chunk>,
) {
    thread::spawn(move || {
        let mut buffer = [0_u8; 8192];
        loop {
            match pipe.read(&mut buffer) {
                Ok(0) | Err(_) => break,
                Ok(count) => {
                    if sender.send(chunk(buffer[..count].to_vec())).is_err() {
                        return;
                    }
                }
            }
        }
        // The receiver may be gone.
        let _ = sender.send(Chunk::Closed);
    });
}

/// Copies `pipe` to `to`.
fn store(
    mut pipe: impl Read + Send + 'static,
    mut to: Box<dyn Write + Send>,
    sender: SyncSender<Chunk>,
) {
    thread::spawn(move || {
        let stored = io::copy(&mut pipe, &mut to).and_then(|_| to.flush());
        let _receiver_gone = sender.send(match stored {
            Ok(()) => Chunk::Closed,
            Err(error) => Chunk::Lost(error),
        });
    });
}
