//! A running call: its record, its faults, and its standard streams.

use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

use polis_base::Digest;
use rustix::process::Signal;

use crate::environment::{TEST, WITHIN};
use crate::fault::{self, Effect};
use crate::process;
use crate::record::{self, End, Input};
use crate::store::state::{Access, State};
use crate::store::{Store, now};

/// What Multipass prints before and after each stage of its spinner, and the characters that alternate after the stage's name
/// (`src/client/cli/cmd/animated_spinner.cpp` of canonical/multipass).
const CLEAR_LINE: &str = "\u{1b}[2K\u{1b}[0A\u{1b}[0E";
const FRAMES: [char; 4] = ['/', '-', '\\', '|'];

/// The client's error if no daemon has ever created a certificate.
const NO_CERTIFICATE: &str = "failed to open file '/var/snap/multipass/common/data/multipassd/certificates/multipass_root_cert.pem'";
/// The daemon's log line when it cannot download a list of images and continues without.
const BLUEPRINTS: &str = "Failed to get https://codeload.github.com/canonical/multipass-blueprints/zip/refs/heads/main: Operation canceled";

/// A running call.
#[derive(Debug)]
pub(crate) struct Call {
    /// The files of its sandbox.
    pub(crate) store: Store,
    /// Its number in the record.
    pub(crate) number: u64,
    /// The faults that strike it.
    pub(crate) effects: Vec<Effect>,
    /// The end to record.
    pub(crate) end: End,
}

impl Call {
    /// Records the start, and applies the faults that come before anything else.
    ///
    /// # Errors
    /// When the sandbox cannot be read or written.
    pub(crate) fn start(store: &Store, program: &str, args: &[String]) -> io::Result<Self> {
        // Before the record is written, which may prompt a test to kill it.
        let _remembered = process::parent();
        let within = std::env::var(WITHIN)
            .ok()
            .and_then(|text| text.parse().ok());
        let number = record::start(store, program, args, within)?;
        let effects = fault::take(store, program, args)?;
        Ok(Self {
            store: store.clone(),
            number,
            effects,
            end: End::default(),
        })
    }

    /// Applies the faults that come before the command. Returns an exit code if nothing else is to happen.
    pub(crate) fn before(&mut self) -> Option<u8> {
        for effect in self.effects.clone() {
            match effect {
                Effect::Slow(millis) => wait_until(now() + millis),
                Effect::KillBefore => {
                    self.kill_polis();
                    return Some(137);
                }
                Effect::Hang => {
                    process::hang(self.store.dir());
                    return Some(137);
                }
                Effect::Exit { code, stderr } => {
                    self.err(&stderr);
                    return Some(code);
                }
                Effect::AnsiNoise => {
                    self.stage("Waiting");
                    self.frame(0);
                }
                Effect::LogLines(lines) => {
                    for _ in 0..lines {
                        self.err(&log_line("url downloader", BLUEPRINTS));
                    }
                }
                _ => {}
            }
        }
        None
    }

    /// Records the end, and applies the faults that come after the command.
    ///
    /// # Errors
    /// When the sandbox cannot be written.
    pub(crate) fn finish(mut self, code: u8) -> io::Result<u8> {
        self.end.code = code;
        record::end(&self.store, self.number, self.end.clone())?;
        for effect in &self.effects {
            match effect {
                Effect::KillAfter => self.kill_polis(),
                Effect::DieAfter => process::signal(std::process::id(), Signal::KILL),
                Effect::HangAfter => process::hang(self.store.dir()),
                _ => {}
            }
        }
        Ok(code)
    }

    /// Kills the process that started this call, unless that is the test itself.
    pub(crate) fn kill_polis(&self) {
        let parent = process::parent();
        let test = std::env::var(TEST).ok() == Some(parent.to_string());
        if !test && !process::parent_is_gone() {
            process::signal(parent, Signal::KILL);
        }
    }

    /// Whether a fault has this effect on the call.
    pub(crate) fn struck(&self, effect: &Effect) -> bool {
        self.effects.contains(effect)
    }

    /// Prints on standard output. A closed pipe does not end the process.
    pub(crate) fn out(&self, text: &str) {
        let mut out = io::stdout();
        let _reader_gone = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }

    /// Prints on standard error.
    pub(crate) fn err(&self, text: &str) {
        let times = if self.struck(&Effect::DoubledStderr) {
            2
        } else {
            1
        };
        for _ in 0..times {
            let _reader_gone = io::stderr().write_all(text.as_bytes());
        }
    }

    /// Starts a stage of the spinner. Like the real one, prints it even if standard output is not a terminal.
    pub(crate) fn stage(&self, text: &str) {
        self.out(&format!("{CLEAR_LINE}{text}  "));
    }

    fn frame(&self, number: usize) {
        self.out(&format!("\u{8}{}", FRAMES[number % FRAMES.len()]));
    }

    /// Ends the spinner.
    pub(crate) fn clear(&self) {
        self.out(&format!("\u{8} {CLEAR_LINE}"));
    }

    /// Turns the spinner of a stage until the sandbox gives an answer; `None` if `ends` comes first.
    ///
    /// # Errors
    /// When the sandbox cannot be read.
    pub(crate) fn spin<T>(
        &self,
        text: &str,
        ends: Option<u64>,
        mut answer: impl FnMut(&State) -> Option<T>,
    ) -> io::Result<Option<T>> {
        self.stage(text);
        let started = Instant::now();
        let (mut next, mut number) = (now(), 0);
        loop {
            let state = self.store.look()?;
            // The client's timeout comes first: the daemon's, which is as long, expires a moment later.
            let late = ends.is_some_and(|ends| now() >= ends);
            let answered = if late { None } else { answer(&state) };
            // The real spinner runs in its own thread, and draws at least once.
            while next <= now() {
                self.frame(number);
                number += 1;
                next = now() + state.timing.spinner.max(1);
            }
            if late || answered.is_some() {
                self.clear();
                return Ok(answered);
            }
            let pause = process::pause(started.elapsed());
            std::thread::sleep(pause.min(Duration::from_millis(next.saturating_sub(now()))));
        }
    }

    /// Reads and records all of standard input.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) fn read_stdin(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        io::stdin().read_to_end(&mut bytes)?;
        self.remember_stdin(&bytes);
        Ok(bytes)
    }

    /// Records what was read from standard input.
    pub(crate) fn remember_stdin(&mut self, bytes: &[u8]) {
        self.end.stdin = Some(Input {
            bytes: bytes.len() as u64,
            digest: Digest::of(bytes).to_string(),
        });
    }

    /// A refusal by the parser.
    pub(crate) fn refuse(&mut self, text: &str) -> u8 {
        self.end.refused = true;
        self.err(text);
        1
    }

    /// Fails as the daemon reports it: code 2.
    pub(crate) fn fail(&self, command: &str, message: &str) -> u8 {
        self.err(&format!("{command} failed: {message}\n"));
        2
    }

    /// Waits until the daemon can handle this call, and returns the state of the sandbox. If the client cannot reach the daemon,
    /// prints the error and returns the exit code.
    ///
    /// # Errors
    /// When the sandbox cannot be read.
    pub(crate) fn daemon(&self, command: &str) -> io::Result<Result<State, u8>> {
        let why_not = match self.access()? {
            Access::Up => return self.queue().map(Ok),
            Access::NeverRan => return Ok(Err(self.uncaught(NO_CERTIFICATE))),
            Access::Down => "cannot connect to the multipass socket",
            Access::Denied => "multipass socket access denied",
            Access::Unauthenticated => {
                "The client is not authenticated with the Multipass service.\n\
                 Please use 'multipass authenticate' before proceeding."
            }
        };
        Ok(Err(self.fail(command, why_not)))
    }

    /// Whether the client can reach the daemon.
    ///
    /// # Errors
    /// When the sandbox cannot be read.
    pub(crate) fn access(&self) -> io::Result<Access> {
        let faulty = self.effects.iter().find_map(|effect| match effect {
            Effect::Access(access) => Some(*access),
            _ => None,
        });
        match faulty {
            Some(access) => Ok(access),
            None => self.store.look().map(|state| state.access),
        }
    }

    /// Waits for the daemon's earlier requests, and keeps it busy if a fault says so.
    fn queue(&self) -> io::Result<State> {
        let keeps_busy = self.effects.iter().find_map(|effect| match effect {
            Effect::Busy(millis) => Some(*millis),
            _ => None,
        });
        let state = self.idle()?;
        match keeps_busy {
            Some(millis) => {
                self.keep_busy(millis)?;
                self.idle()
            }
            None => Ok(state),
        }
    }

    /// Waits until the daemon is not busy.
    ///
    /// # Errors
    /// When the sandbox cannot be read.
    pub(crate) fn idle(&self) -> io::Result<State> {
        let started = Instant::now();
        loop {
            let state = self.store.look()?;
            if state.busy_until <= now() {
                return Ok(state);
            }
            std::thread::sleep(process::pause(started.elapsed()));
        }
    }

    /// Keeps the daemon busy for this long, even if this client exits.
    ///
    /// # Errors
    /// When the sandbox cannot be written.
    pub(crate) fn keep_busy(&self, millis: u64) -> io::Result<()> {
        self.store
            .update(|state| state.busy_until = now().saturating_add(millis))
    }

    /// Fails as the client does on an uncaught exception: code 1.
    pub(crate) fn uncaught(&self, message: &str) -> u8 {
        let text = format!("Caught an unhandled exception: {message}");
        self.err(&log_line("client", &text));
        1
    }
}

/// A log line of client or daemon; both go to standard error.
pub(crate) fn log_line(category: &str, message: &str) -> String {
    let time = time::OffsetDateTime::now_utc();
    let (date, (hour, minute, second, milli)) = (time.date(), time.to_hms_milli());
    format!(
        "[{date}T{hour:02}:{minute:02}:{second:02}.{milli:03}] [error] [{category}] {message}\n"
    )
}

/// Sleeps until then; returns immediately if that is in the past.
pub(crate) fn wait_until(time: u64) {
    std::thread::sleep(Duration::from_millis(time.saturating_sub(now())));
}
