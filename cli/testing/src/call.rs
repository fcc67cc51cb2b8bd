//! One call under way: its record, its faults, and its standard streams.

use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

use polis_base::Digest;
use rustix::process::Signal;

use crate::environment::{TEST, WITHIN};
use crate::fault::{self, Effect};
use crate::process;
use crate::record::{self, End, Input};
use crate::world::state::{Access, State};
use crate::world::{Store, now};

/// What Multipass prints before and after each stage of its spinner, and the characters that follow one another behind
/// the stage's name (`src/client/cli/cmd/animated_spinner.cpp` of canonical/multipass).
const CLEAR_LINE: &str = "\u{1b}[2K\u{1b}[0A\u{1b}[0E";
const FRAMES: [char; 4] = ['/', '-', '\\', '|'];

/// What the client says where no daemon has ever made a certificate.
const NO_CERTIFICATE: &str = "failed to open file '/var/snap/multipass/common/data/multipassd/certificates/multipass_root_cert.pem'";
/// What the daemon's log says where it cannot get at a list of images, and goes on without.
const BLUEPRINTS: &str = "Failed to get https://codeload.github.com/canonical/multipass-blueprints/zip/refs/heads/main: Operation canceled";

/// A call under way.
#[derive(Debug)]
pub(crate) struct Call {
    /// The world.
    pub(crate) store: Store,
    /// Its number in the record.
    pub(crate) number: u64,
    /// What goes wrong with it.
    pub(crate) effects: Vec<Effect>,
    /// What the record will say.
    pub(crate) end: End,
}

impl Call {
    /// Records the start and does what faults do before anything else.
    ///
    /// # Errors
    /// When the world cannot be read or written.
    pub(crate) fn start(store: &Store, program: &str, args: &[String]) -> io::Result<Self> {
        // Before the record, which may be what makes a test kill it.
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

    /// What faults do before the command. An exit code when nothing else is to happen.
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

    /// What faults do after the command, and the record of its end.
    ///
    /// # Errors
    /// When the world cannot be written.
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

    /// Kills whoever started this call, unless that is a test itself.
    pub(crate) fn kill_polis(&self) {
        let parent = process::parent();
        let test = std::env::var(TEST).ok() == Some(parent.to_string());
        if !test && !process::parent_is_gone() {
            process::signal(parent, Signal::KILL);
        }
    }

    /// Whether a fault strikes.
    pub(crate) fn struck(&self, effect: &Effect) -> bool {
        self.effects.contains(effect)
    }

    /// Prints on standard output. Nobody may be reading any more, which is no reason to end.
    pub(crate) fn out(&self, text: &str) {
        let mut out = io::stdout();
        let _nobody_reads = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }

    /// Prints on standard error.
    pub(crate) fn err(&self, text: &str) {
        let times = if self.struck(&Effect::DoubledStderr) {
            2
        } else {
            1
        };
        for _ in 0..times {
            let _nobody_reads = io::stderr().write_all(text.as_bytes());
        }
    }

    /// Starts a stage of the spinner, whether or not standard output is a terminal, as the real one does.
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

    /// Turns the spinner of a stage until the world gives an answer; `None` when `ends` comes first.
    ///
    /// # Errors
    /// When the world cannot be read.
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
            // The client's clock comes first: the daemon, which had as much time, answers a moment later.
            let late = ends.is_some_and(|ends| now() >= ends);
            let answered = if late { None } else { answer(&state) };
            // The spinner is a thread of its own, which draws at least once.
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

    /// All of standard input, which the record remembers.
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

    /// A failure that the daemon reports: code 2.
    pub(crate) fn fail(&self, command: &str, message: &str) -> u8 {
        self.err(&format!("{command} failed: {message}\n"));
        2
    }

    /// The state of the world once the daemon has time for this call, if the client gets to the daemon; otherwise the exit
    /// code after saying why not.
    ///
    /// # Errors
    /// When the world cannot be read.
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

    /// Whether the client gets to the daemon.
    ///
    /// # Errors
    /// When the world cannot be read.
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

    /// Waits for the daemon's earlier requests, and keeps it busy where a fault says so.
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

    /// Waits until the daemon has time.
    ///
    /// # Errors
    /// When the world cannot be read.
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

    /// Keeps the daemon from answering anything for so long, whether or not this client lives on.
    ///
    /// # Errors
    /// When the world cannot be written.
    pub(crate) fn keep_busy(&self, millis: u64) -> io::Result<()> {
        self.store
            .update(|state| state.busy_until = now().saturating_add(millis))
    }

    /// What the client prints of an exception that nobody caught: code 1.
    pub(crate) fn uncaught(&self, message: &str) -> u8 {
        let text = format!("Caught an unhandled exception: {message}");
        self.err(&log_line("client", &text));
        1
    }
}

/// A line of the log of client or daemon, which both print on standard error.
pub(crate) fn log_line(category: &str, message: &str) -> String {
    let time = time::OffsetDateTime::now_utc();
    let (date, (hour, minute, second, milli)) = (time.date(), time.to_hms_milli());
    format!(
        "[{date}T{hour:02}:{minute:02}:{second:02}.{milli:03}] [error] [{category}] {message}\n"
    )
}

/// Sleeps until then; not at all when that is over.
pub(crate) fn wait_until(time: u64) {
    std::thread::sleep(Duration::from_millis(time.saturating_sub(now())));
}
