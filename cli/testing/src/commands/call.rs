//! One call under way: its record, its faults, and its standard streams.

use std::io::{self, Read, Write};

use polis_base::Digest;
use rustix::process::Signal;

use crate::fault::{self, Effect};
use crate::process;
use crate::record::{self, End, Input};
use crate::world::state::{Access, State};
use crate::world::{Store, now};

/// Tells the double which process is a test: that one is never killed.
pub(crate) const TEST: &str = "FAKE_MULTIPASS_TEST";
/// Tells a tool of the guest which call it is part of.
pub(crate) const WITHIN: &str = "FAKE_MULTIPASS_CALL";

/// What Multipass prints before each state of its spinner.
const CLEAR_LINE: &str = "\u{1b}[2K\u{1b}[0A\u{1b}[0E";

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
                Effect::AnsiNoise => self.spinner("Waiting"),
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

    /// Shows one state of the spinner, whether or not standard output is a terminal, as the real one does.
    pub(crate) fn spinner(&self, text: &str) {
        self.out(&format!("{CLEAR_LINE}{text}  \u{8}/\u{8}-\u{8}\\\u{8}|"));
    }

    /// Ends the spinner.
    pub(crate) fn clear(&self) {
        self.out(CLEAR_LINE);
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

    /// The state of the world, if the client gets to the daemon; otherwise the exit code after saying why not.
    ///
    /// # Errors
    /// When the world cannot be read.
    pub(crate) fn daemon(&self, command: &str) -> io::Result<Result<State, u8>> {
        let state = self.store.look()?;
        let faulty = self.effects.iter().find_map(|effect| match effect {
            Effect::Access(access) => Some(*access),
            _ => None,
        });
        Ok(match faulty.unwrap_or(state.access) {
            Access::Up => Ok(state),
            Access::Down => Err(self.fail(command, "cannot connect to the multipass socket")),
            Access::Denied => Err(self.fail(command, "multipass socket access denied")),
            Access::Unauthenticated => Err(self.fail(
                command,
                "The client is not authenticated with the Multipass service.\n\
                 Please use 'multipass authenticate' before proceeding.",
            )),
        })
    }
}

/// Sleeps until then; not at all when that is over.
pub(crate) fn wait_until(time: u64) {
    std::thread::sleep(std::time::Duration::from_millis(time.saturating_sub(now())));
}
