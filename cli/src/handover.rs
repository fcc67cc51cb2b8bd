//! Gives the user's terminal to a command in the VM, and brings it our signals.
//!
//! Neither SSH nor `docker exec` passes a signal on: when Multipass's client ends, the command goes on, for ever if nothing
//! else ends it. So a signal to us is carried into the VM by a call of its own.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{Child, ExitStatus};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use polis_base::shown::shown;

use crate::error::{Error, Kind, Result, cut};
use crate::guest::run::Run;
use crate::multipass::call::Call;
use crate::multipass::{Multipass, failed};
use crate::process::{self, AFTERGLOW, TICK};
use crate::signals::{self, INTERRUPT};
use crate::{output, platform};

/// How long the command may go on when nobody reads its output any more: one that is at its end has its own code to tell.
const UNREAD: Duration = Duration::from_millis(300);
/// How long the command, and then Multipass's client, may take to end after a signal.
const FAREWELL: Duration = Duration::from_secs(2);
/// How long it may take to bring a signal into the VM.
const ERRAND: Duration = Duration::from_secs(10);
/// How much of a line is kept at most.
const LINE: u64 = 64 << 10;
/// What a program gets that writes where nobody reads.
const BROKEN_PIPE: u8 = 13;

/// How the terminal is given away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TerminalUse {
    /// As it is: the command has a terminal of its own, and Ctrl-C reaches it there.
    Terminal,
    /// Our streams as they are; the command sees no terminal.
    Streams,
    /// The command neither reads nor prints here: files in the VM stand for its streams.
    Captured,
    /// The output comes through us, as text without anything that a terminal obeys.
    Filtered,
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HandedOver {
    /// With this exit code; none when a signal ended Multipass's client.
    Ended(Option<i32>),
    /// It was ended, because nobody read its output any more.
    Unread,
    /// We were asked to end by this signal, which the command got too.
    Signalled(u8),
}

/// Runs `call`, which is `run`'s, on our own terminal and streams, without a limit.
///
/// # Errors
/// When it cannot be started or waited for.
pub(crate) fn hand_over(
    multipass: &Multipass,
    run: &Run,
    call: &Call,
    manner: TerminalUse,
) -> Result<HandedOver> {
    let failed = |what| {
        move |error: io::Error| Error::new(Kind::Unexpected, what).because(error.to_string())
    };
    let (reads, piped) = (
        manner != TerminalUse::Captured,
        manner == TerminalUse::Filtered,
    );
    let mut child = process::interactive(multipass.program(), &call.args, reads, piped)
        .map_err(failed("Multipass could not be started"))?;
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let filters = [
        thread::spawn(|| out.map(|pipe| filter(pipe, io::stdout()))),
        thread::spawn(|| err.map(|pipe| filter(pipe, io::stderr()))),
    ];
    let ended = see_to_its_end(child, manner, |signal| {
        bring(multipass, run, signal, manner)
    })
    .map_err(failed("Multipass could not be waited for"))?;
    let since = Instant::now();
    while !filters.iter().all(JoinHandle::is_finished) && since.elapsed() < AFTERGLOW {
        thread::sleep(TICK / 4);
    }
    Ok(ended)
}

/// Shows what comes out of `from`, line by line; a line that does not end is shown in parts.
fn filter(from: impl Read, mut to: impl Write) -> io::Result<()> {
    let mut from = BufReader::new(from);
    let mut line = Vec::new();
    while (&mut from).take(LINE).read_until(b'\n', &mut line)? > 0 {
        to.write_all(shown(&String::from_utf8_lossy(&line)).as_bytes())?;
        to.flush()?;
        line.clear();
    }
    Ok(())
}

/// Waits for Multipass's client. It does not end when nobody reads its output any more, so that is looked for here.
/// `bring` brings a signal to the command.
fn see_to_its_end(
    mut child: Child,
    manner: TerminalUse,
    bring: impl Fn(u8),
) -> io::Result<HandedOver> {
    let mut unread = None;
    loop {
        let ended = child.try_wait()?;
        if let Some(signal) = came(manner, ended) {
            bring(signal);
            farewell(&mut child, signal)?;
            return Ok(HandedOver::Signalled(signal));
        }
        if let Some(status) = ended {
            return Ok(HandedOver::Ended(status.code()));
        }
        if unread.is_some_and(|since: Instant| since.elapsed() >= UNREAD) {
            child.kill()?;
            child.wait()?;
            bring(BROKEN_PIPE);
            return Ok(HandedOver::Unread);
        }
        if unread.is_none() && platform::output_is_unread() {
            unread = Some(Instant::now());
        }
        thread::sleep(TICK / 4);
    }
}

/// The signal that is to be brought to the command. Where it has a terminal, Ctrl-C has reached it.
fn came(manner: TerminalUse, ended: Option<ExitStatus>) -> Option<u8> {
    // Ctrl-C goes to the client too, which may be quicker than our own handler.
    if ended.is_some_and(|status| status.code().is_none()) {
        let _ours_comes = process::pause(TICK * 5);
    }
    signals::take().filter(|signal| *signal != INTERRUPT || manner != TerminalUse::Terminal)
}

/// Waits a moment for the client, which ends with the command; then passes the signal on to itself, then kills it.
fn farewell(child: &mut Child, signal: u8) -> io::Result<()> {
    if ends(child)? {
        return Ok(());
    }
    output::note("the command in the VM has not ended yet, and may go on");
    platform::pass_on(signal, child)?;
    if !ends(child)? {
        child.kill()?;
        child.wait()?;
    }
    Ok(())
}

/// Whether the client ends in time; at once false when one more signal says that nobody wants to wait.
fn ends(child: &mut Child) -> io::Result<bool> {
    let since = Instant::now();
    while child.try_wait()?.is_none() {
        if since.elapsed() >= FAREWELL || signals::take().is_some() {
            return Ok(false);
        }
        thread::sleep(TICK / 4);
    }
    Ok(true)
}

/// Brings a signal to the command in the VM.
fn bring(multipass: &Multipass, run: &Run, signal: u8, manner: TerminalUse) {
    let call = run.signal(names(signal, manner));
    let error = match multipass.output(&call, Some(ERRAND)) {
        Ok(output) if output.code == Some(0) => return,
        Ok(output) => failed(&call, &output, Kind::Unexpected),
        Err(error) => error,
    };
    let cause = cut(error.causes.first().unwrap_or(&error.message));
    output::note(&format!(
        "the command in the VM may go on: it could not be signalled: {cause}"
    ));
}

/// What the command is sent. An interactive shell ignores SIGTERM; SIGHUP tells it that its terminal is gone.
fn names(signal: u8, manner: TerminalUse) -> &'static [&'static str] {
    match (signal, manner) {
        (1, _) => &["HUP"],
        (INTERRUPT, _) => &["INT"],
        (BROKEN_PIPE, _) => &["PIPE"],
        (_, TerminalUse::Terminal) => &["TERM", "HUP"],
        _ => &["TERM"],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_keeps_its_name_and_a_terminal_goes_away() {
        let sent = |signal| {
            [TerminalUse::Streams, TerminalUse::Terminal].map(|manner| names(signal, manner))
        };
        assert_eq!(sent(1), [&["HUP"]; 2]);
        assert_eq!(sent(2), [&["INT"]; 2]);
        assert_eq!(sent(15), [&["TERM"][..], &["TERM", "HUP"]]);
    }
}
