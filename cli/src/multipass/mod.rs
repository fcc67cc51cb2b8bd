//! The part of Multipass that polis relies on: calls as data, the program that makes them, and the meaning of its answers.

pub(crate) mod call;
mod carry;
pub(crate) mod refusal;
pub(crate) mod screen;
pub(crate) mod size;
pub(crate) mod snapshots;
pub(crate) mod state;
pub(crate) mod version;

use std::io::{Cursor, Read};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::error::{Error, Kind, Result};
use crate::guest;
use crate::instance::vm;
use crate::output;
use crate::platform;
use crate::process::{self, Failure, Output, Running, Streams};
use crate::store::{Store, Written};
use call::Call;
use refusal::Refusal;
use state::VmState;
use version::Versions;

/// How calls are made.
#[derive(Debug)]
pub(crate) struct Options<'a> {
    /// The limit for one short call.
    pub(crate) call_timeout: Duration,
    /// Where to write files that Multipass reads.
    pub(crate) store: &'a Store,
    /// Whether payloads go through a pipe, not a file.
    pub(crate) pipes: bool,
    /// Whether to print each call.
    pub(crate) verbose: bool,
    /// Whether to suppress notes.
    pub(crate) quiet: bool,
}

/// The installed program.
#[derive(Debug)]
pub(crate) struct Multipass<'a> {
    program: PathBuf,
    options: Options<'a>,
    /// Whether the note that a call has to wait is still to be printed.
    may_note_wait: AtomicBool,
}

/// How long until a call is assumed to wait for another one; normally it takes a fraction of a second.
const QUEUED: Duration = Duration::from_secs(5);

/// How much of a guest's file is read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ReadLimit {
    bytes: usize,
    /// How long reading may take, as a multiple of the limit for one call.
    calls: u32,
    /// Whether to tell the user how to fetch the file without polis.
    is_user_data: bool,
}

/// For files that the scripts of polis write.
pub(crate) const SMALL_FILE: ReadLimit = ReadLimit {
    bytes: 64 << 10,
    calls: 1,
    is_user_data: false,
};
/// For the output of the user's commands; reading a part takes some 0.3 s.
pub(crate) const USER_OUTPUT: ReadLimit = ReadLimit {
    bytes: 64 << 20,
    calls: 10,
    is_user_data: true,
};

/// How long a transfer may take.
pub(crate) const TRANSFER: Duration = Duration::from_secs(600);
/// How often a running call is polled.
const INTERVAL: Duration = Duration::from_millis(200);

impl<'a> Multipass<'a> {
    /// The program on the PATH, or in its installer's directory.
    ///
    /// # Errors
    /// Of kind `MultipassMissing`.
    pub(crate) fn find(options: Options<'a>) -> Result<Self> {
        let program = platform::find_multipass().ok_or_else(|| {
            Error::new(Kind::MultipassMissing, "Multipass is not installed")
                .because("`multipass` is neither on the PATH nor in its installer's directory")
                .next(platform::INSTALL_MULTIPASS)
        })?;
        Ok(Self {
            program,
            may_note_wait: AtomicBool::new(!options.quiet),
            options,
        })
    }

    /// Its path.
    pub(crate) fn program(&self) -> &std::path::Path {
        &self.program
    }

    /// Makes a call within `limit`, or the limit for short calls; returns its output whatever the exit code.
    ///
    /// # Errors
    /// When it cannot be started, is interrupted, or takes too long.
    pub(crate) fn output(&self, call: &Call, limit: Option<Duration>) -> Result<Output> {
        let limit = limit.unwrap_or(self.options.call_timeout);
        let begun = Instant::now();
        let output = self.watched(call, limit, |_| {
            // A command in the guest may take long for its own reasons.
            if begun.elapsed() >= QUEUED && !call.is_guest() && call.payload.is_none() {
                self.note_wait();
            }
        })?;
        output.ok_or_else(|| self.failure(call, Failure::TimedOut(limit)))
    }

    /// Starts a call; the caller waits for its end.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) fn start(&self, call: &Call) -> Result<Running> {
        let (args, stdin, file) = self.delivered(call)?;
        self.log(call);
        let stdin = stdin.map(|bytes| Box::new(Cursor::new(bytes)) as Box<dyn Read + Send>);
        let streams = Streams {
            stdin,
            stdout: None,
        };
        let started = process::start(&self.program, &args, streams);
        let running = started.map_err(|failure| self.failure(call, failure))?;
        Ok(running.reading(file))
    }

    /// Makes a long call, and lets `look` see its output so far. Returns its output whatever the exit code; none when it has
    /// not ended within `limit` and was killed.
    ///
    /// # Errors
    /// When it cannot be started, or is interrupted.
    pub(crate) fn watched(
        &self,
        call: &Call,
        limit: Duration,
        mut look: impl FnMut(&Running),
    ) -> Result<Option<Output>> {
        let running = self.start(call)?;
        self.watch(call, running, limit, |running| {
            look(running);
            Ok(())
        })
    }

    /// Watches a call that has been started; the first error of `look` ends it.
    fn watch(
        &self,
        call: &Call,
        mut running: Running,
        limit: Duration,
        mut look: impl FnMut(&Running) -> Result<()>,
    ) -> Result<Option<Output>> {
        let failure = |failure| self.failure(call, failure);
        let end = Instant::now() + limit;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let ended = running.poll(INTERVAL.min(left)).map_err(failure)?;
            look(&running)?;
            if let Some(output) = ended {
                self.log_end(&output);
                return Ok(Some(output));
            }
            if Instant::now() >= end {
                return Ok(None);
            }
        }
    }

    fn note_wait(&self) {
        if self.may_note_wait.swap(false, Ordering::Relaxed) {
            output::note(&format!(
                "Multipass has not answered for {} s: it handles one call at a time, and may be busy with another one",
                QUEUED.as_secs()
            ));
        }
    }

    /// Makes a call that must succeed; returns its standard output. A failure is of `kind`, unless Multipass's message is more
    /// specific.
    pub(crate) fn call(&self, call: &Call, kind: Kind) -> Result<String> {
        let output = self.output(call, None)?;
        if output.code == Some(0) {
            return Ok(output.stdout);
        }
        Err(failed(call, &output, kind))
    }

    /// The version of Multipass, with a warning if it should be updated; an error if it is too old.
    ///
    /// # Errors
    /// As [`Versions::judge`].
    pub(crate) fn version(&self) -> Result<(Versions, Option<String>)> {
        let versions = Versions::parse(&self.call(&version_call(), Kind::Unexpected)?)?;
        let asked = || version_call().to_text();
        let warning = versions.judge().map_err(|error| error.while_at(asked))?;
        Ok((versions, warning))
    }

    /// The state of the VM, through the one call that never starts it.
    ///
    /// # Errors
    /// When the daemon does not answer, or refuses.
    pub(crate) fn state(&self) -> Result<Option<VmState>> {
        state::parse_list(&self.call(&list_call(), Kind::Unexpected)?)
    }

    /// Reads a file of the guest in parts, since no single answer may be long.
    ///
    /// # Errors
    /// When it cannot be read, or is larger or takes longer than `most` allows.
    pub(crate) fn read(&self, path: &str, most: ReadLimit) -> Result<Vec<u8>> {
        let what = format!("could not read `{path}` of the VM");
        let exceeds = |why: String| match most.is_user_data {
            true => Error::new(Kind::Unexpected, &what)
                .because(why)
                .next(format!(
                    "multipass transfer {}:{path} FILE   (it is kept for a day)",
                    vm()
                )),
            false => guest::unreadable(&what, why),
        };
        let limit = self.options.call_timeout * most.calls;
        let begun = Instant::now();
        let mut bytes = Vec::new();
        loop {
            let answer = self.call(&guest::read(path, bytes.len()), Kind::Unexpected)?;
            let part = guest::answer(&answer, guest::READ)
                .and_then(|part| STANDARD.decode(part.trim()).ok())
                .filter(|part| part.len() <= guest::PART);
            let Some(part) = part else {
                return Err(guest::unreadable(
                    what,
                    "the answer is not a part of a file",
                ));
            };
            bytes.extend_from_slice(&part);
            if bytes.len() > most.bytes {
                let most = size::words(most.bytes as u64);
                return Err(exceeds(format!("it is larger than {most}")));
            }
            // A short part is the last one.
            if part.len() < guest::PART {
                return Ok(bytes);
            }
            if begun.elapsed() >= limit {
                return Err(exceeds(format!(
                    "it took longer than {} s",
                    limit.as_secs()
                )));
            }
        }
    }

    /// Whether a call may print a lot: on Windows, a call that prints more than 4096 bytes never ends.
    pub(crate) fn takes_long_output(&self) -> bool {
        self.options.pipes
    }

    /// The arguments and the standard input of a call. Its payload is piped where that works; elsewhere it is a file in the state
    /// directory that exists only during the call.
    fn delivered(&self, call: &Call) -> Result<Delivery> {
        let Some(payload) = &call.payload else {
            return Ok((call.args.clone(), None, None));
        };
        if self.options.pipes {
            return Ok((call.args.clone(), Some(Arc::clone(&payload.bytes)), None));
        }
        let file = self.options.store.write(payload.name, &payload.bytes)?;
        let args = call.args_with_file(&file.path().to_string_lossy());
        Ok((args, None, Some(file)))
    }

    fn log(&self, call: &Call) {
        if self.options.verbose {
            output::tell(&format!("polis: {}", call.to_text()));
        }
    }

    fn log_end(&self, output: &Output) {
        if self.options.verbose {
            output::tell(&format!("polis: -> {:?}", output.code));
            for line in refusal::words(&output.stderr) {
                output::tell(&format!("polis: -> {line}"));
            }
        }
    }

    /// The error of a call without an output.
    pub(crate) fn failure(&self, call: &Call, failure: Failure) -> Box<Error> {
        match failure {
            Failure::Start(error) => Error::new(Kind::Unexpected, "could not start Multipass")
                .because(format!("`{}`: {error}", self.program.display()))
                .next("polis doctor"),
            Failure::TimedOut(limit) => Error::new(
                Kind::TimedOut,
                format!("Multipass did not answer within {} s", limit.as_secs()),
            )
            .because(format!("the call to {} was killed", call.purpose))
            .because("Multipass handles one call at a time, and may be busy with another one")
            .tried(call.to_text())
            .next("polis start")
            .next("polis doctor"),
            Failure::TooMuch(most) => guest::unreadable(
                format!("Multipass printed more than {} MiB", most >> 20),
                format!("the call to {} was killed", call.purpose),
            )
            .tried(call.to_text()),
            Failure::Lost(error) => {
                Error::new(Kind::Transfer, format!("could not {}", call.purpose))
                    .caused_by(&error)
                    .tried(call.to_text())
            }
            Failure::Interrupted => interrupted(),
        }
    }
}

/// The arguments of a call, the bytes piped to it, and the file that it reads instead.
type Delivery = (Vec<String>, Option<Arc<[u8]>>, Option<Written>);

pub(crate) fn interrupted() -> Box<Error> {
    Error::new(Kind::Interrupted, "interrupted").next("polis start   (continues where it stopped)")
}

/// The error of a call that failed.
pub(crate) fn failed(call: &Call, output: &Output, kind: Kind) -> Box<Error> {
    let what = format!("could not {}", call.purpose);
    if call.is_guest() && is_guest_failure(output.code) {
        let words = refusal::reasons(&output.stderr);
        return Error::new(kind, what)
            .because(match words.last() {
                Some(line) => line.clone(),
                None => format!("the command in the VM failed ({})", output.ended()),
            })
            .tried(call.to_text())
            .log(words);
    }
    Refusal::error(
        refusal::of(output.code, &output.stderr),
        kind,
        &what,
        &output.stderr,
    )
    .tried(call.to_text())
}

/// Whether an exit code of `exec` is that of the guest's command, not Multipass's own.
fn is_guest_failure(code: Option<i32>) -> bool {
    !matches!(code, None | Some(0 | 1 | 2 | 5 | 255))
}

/// `multipass version`.
pub(crate) fn version_call() -> Call {
    Call::new(
        "read the version of Multipass",
        &["version", "--format", "json"],
    )
}

/// `multipass list`; `--no-ipv4` keeps it from asking every VM for its addresses.
pub(crate) fn list_call() -> Call {
    Call::new("look up the VM", &["list", "--format", "json", "--no-ipv4"])
}
