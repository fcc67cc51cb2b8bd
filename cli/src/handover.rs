//! Hands the user's terminal over to a command in the VM, and forwards signals to it.
//!
//! Neither SSH nor `docker exec` forwards a signal: when Multipass's client ends, the command keeps running. So polis
//! sends each signal to the VM in a separate call.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{Child, ExitStatus};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use polis_base::shown::shown;

use crate::error::{Error, Kind, Result, cut};
use crate::guest::run::CommandRun;
use crate::multipass::call::Call;
use crate::multipass::{Multipass, failed};
use crate::process::{self, AFTERGLOW, TICK};
use crate::signals::{self, INTERRUPT};
use crate::{output, platform};

/// How long the command may keep running once the reader of its output has closed the pipe. A command that is about to exit
/// still reports its own exit code.
const UNREAD: Duration = Duration::from_millis(300);
/// How long the command, and then Multipass's client, may take to end after a signal.
const GRACE: Duration = Duration::from_secs(2);
/// How long sending a signal to the VM may take.
const SIGNAL_CALL: Duration = Duration::from_secs(10);
/// The maximum number of bytes of a line that are buffered.
const LINE: u64 = 64 << 10;
/// SIGPIPE.
const BROKEN_PIPE: u8 = 13;

/// How the command uses the user's terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TerminalUse {
    /// The terminal itself: the command has one in the VM, where Ctrl-C reaches it.
    Terminal,
    /// Our streams, unchanged; the command sees no terminal.
    Streams,
    /// Nothing: the command's streams are files in the VM.
    Captured,
    /// The output as text, without control sequences.
    Filtered,
}

/// How the command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HandedOver {
    /// With this exit code; none when a signal ended Multipass's client.
    Ended(Option<i32>),
    /// It was killed, because the reader of its output had closed the pipe.
    Unread,
    /// polis received this signal, and forwarded it to the command.
    Signalled(u8),
}

/// Runs `call`, which belongs to `run`, on our own terminal and streams, without a time limit.
///
/// # Errors
/// When it cannot be started or waited for.
pub(crate) fn hand_over(
    multipass: &Multipass,
    run: &CommandRun,
    call: &Call,
    terminal: TerminalUse,
) -> Result<HandedOver> {
    let failed =
        |what| move |error: io::Error| Error::new(Kind::Unexpected, what).caused_by(&error);
    let (reads, piped) = (
        terminal != TerminalUse::Captured,
        terminal == TerminalUse::Filtered,
    );
    let mut child = process::interactive(multipass.program(), &call.args, reads, piped)
        .map_err(failed("could not start Multipass"))?;
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let filters = [
        thread::spawn(|| out.map(|pipe| filter(pipe, io::stdout()))),
        thread::spawn(|| err.map(|pipe| filter(pipe, io::stderr()))),
    ];
    let ended = wait_for_client(child, terminal, |signal| {
        bring(multipass, run, signal, terminal)
    })
    .map_err(failed("could not wait for Multipass"))?;
    let since = Instant::now();
    while !filters.iter().all(JoinHandle::is_finished) && since.elapsed() < AFTERGLOW {
        thread::sleep(TICK / 4);
    }
    Ok(ended)
}

/// Copies `from` to `to` line by line without control sequences; a line that is too long is copied in parts.
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

/// Waits for Multipass's client, which does not notice when the reader of its output closes the pipe; this does.
/// `bring` sends a signal to the command.
fn wait_for_client(
    mut child: Child,
    terminal: TerminalUse,
    bring: impl Fn(u8),
) -> io::Result<HandedOver> {
    let mut unread = None;
    loop {
        let ended = child.try_wait()?;
        if let Some(signal) = came(terminal, ended) {
            bring(signal);
            end_client(&mut child, signal)?;
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
        if unread.is_none() && platform::stdout_is_closed() {
            unread = Some(Instant::now());
        }
        thread::sleep(TICK / 4);
    }
}

/// The signal to send to the command. On a terminal, Ctrl-C has already reached it.
fn came(terminal: TerminalUse, ended: Option<ExitStatus>) -> Option<u8> {
    // Ctrl-C goes to the client too, which may react before our own handler.
    if ended.is_some_and(|status| status.code().is_none()) {
        let _ours_comes = process::pause(TICK * 5);
    }
    signals::take().filter(|signal| *signal != INTERRUPT || terminal != TerminalUse::Terminal)
}

/// Waits briefly for the client, which ends with the command; then sends it the signal, then kills it.
fn end_client(child: &mut Child, signal: u8) -> io::Result<()> {
    if ends(child)? {
        return Ok(());
    }
    output::note("the command in the VM has not ended, and may keep running");
    platform::pass_on(signal, child)?;
    if !ends(child)? {
        child.kill()?;
        child.wait()?;
    }
    Ok(())
}

/// Whether the client ends in time; false immediately when another signal arrives.
fn ends(child: &mut Child) -> io::Result<bool> {
    let since = Instant::now();
    while child.try_wait()?.is_none() {
        if since.elapsed() >= GRACE || signals::take().is_some() {
            return Ok(false);
        }
        thread::sleep(TICK / 4);
    }
    Ok(true)
}

/// Sends a signal to the command in the VM.
fn bring(multipass: &Multipass, run: &CommandRun, signal: u8, terminal: TerminalUse) {
    let call = run.signal(names(signal, terminal));
    let error = match multipass.output(&call, Some(SIGNAL_CALL)) {
        Ok(output) if output.code == Some(0) => return,
        Ok(output) => failed(&call, &output, Kind::Unexpected),
        Err(error) => error,
    };
    let cause = cut(error.causes.first().unwrap_or(&error.message));
    output::note(&format!(
        "the command in the VM may keep running: could not signal it: {cause}"
    ));
}

/// The signals that the command gets. An interactive shell ignores SIGTERM but not SIGHUP.
fn names(signal: u8, terminal: TerminalUse) -> &'static [&'static str] {
    match (signal, terminal) {
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
    fn signals_are_forwarded_and_a_terminal_also_hangs_up() {
        let sent = |signal| {
            [TerminalUse::Streams, TerminalUse::Terminal].map(|terminal| names(signal, terminal))
        };
        assert_eq!(sent(1), [&["HUP"]; 2]);
        assert_eq!(sent(2), [&["INT"]; 2]);
        assert_eq!(sent(15), [&["TERM"][..], &["TERM", "HUP"]]);
    }
}
