//! Why Multipass failed, from its exit code and its messages.
//!
//! Every failure of the daemon has exit code 2, so the messages decide (taken from its source, tag v1.16.3).

use std::collections::HashSet;

use crate::error::{Error, Kind};
use crate::instance::vm;
use crate::multipass::screen::plain;
use crate::multipass::state::{NO_ANSWER, WAITING};
use crate::platform;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// No daemon listens on the socket.
    DaemonDown,
    /// This user may not open the socket.
    AccessDenied,
    /// The daemon requires a passphrase first.
    NotAuthenticated,
    /// A VM of this name exists, perhaps deleted.
    Exists,
    /// A launch of this name is running.
    BeingPrepared,
    /// No such VM.
    Missing,
    /// It is deleted but not purged.
    Deleted,
    /// The client's own `--timeout` expired; the daemon continues.
    ClientTimeout,
    /// cloud-init did not finish in time; the VM keeps running.
    InitTimeout,
    /// The daemon could not reach the VM.
    SshFailed,
    /// The daemon has not reached the VM since its boot.
    NoAnswer,
    /// Anything else.
    Other,
}

/// The exit code of `exec` when the connection was cut before the command ended.
const NO_STATUS: i32 = 255;
/// The file that the daemon creates at its first start, and that clients need.
const NEVER_STARTED: &str = "multipass_root_cert.pem";
/// The levels of a line of the daemon's log.
const LEVELS: [&str; 5] = ["error", "warning", "info", "debug", "trace"];

pub(crate) fn of(code: Option<i32>, stderr: &str) -> Refusal {
    let reasons = reasons(stderr).join("\n");
    let says = |words: &str| reasons.contains(words);
    if says("multipass socket access denied") {
        Refusal::AccessDenied
    } else if says("cannot connect to the multipass socket") || says(NEVER_STARTED) {
        Refusal::DaemonDown
    } else if says("not authenticated with the Multipass service") {
        Refusal::NotAuthenticated
    } else if says("timed out waiting for initialization") {
        Refusal::InitTimeout
    } else if code == Some(5) {
        Refusal::ClientTimeout
    } else if says("already exists") {
        Refusal::Exists
    } else if says("is being prepared") {
        Refusal::BeingPrepared
    } else if says("is deleted") {
        Refusal::Deleted
    } else if says("does not exist") {
        Refusal::Missing
    } else if says("in unknown state") || says("in an unknown state") {
        Refusal::NoAnswer
    } else if code == Some(NO_STATUS)
        || says("ssh connection failed")
        || says("timed out waiting for response")
    {
        Refusal::SshFailed
    } else {
        Refusal::Other
    }
}

impl Refusal {
    /// The error for the user: `what` failed.
    pub(crate) fn error(self, kind: Kind, what: &str, stderr: &str) -> Box<Error> {
        let with_reason = |error: Box<Error>| match reasons(stderr) {
            said if said.is_empty() => error.because("Multipass did not say why"),
            said => error.because(said.join("; ")),
        };
        let error = |kind, message: &str| with_reason(Error::new(kind, message));
        match self {
            Self::DaemonDown => error(Kind::DaemonDown, "Multipass's daemon does not answer")
                .next(platform::START_DAEMON)
                .next("polis doctor"),
            Self::AccessDenied => error(
                Kind::NotAuthenticated,
                "this user has no access to the socket of Multipass",
            )
            .next(platform::OPEN_SOCKET),
            Self::NotAuthenticated => error(
                Kind::NotAuthenticated,
                "Multipass has not authenticated this user: the user who set it up must grant access",
            )
            .next("multipass authenticate"),
            Self::Deleted => deleted(),
            Self::Missing => error(Kind::NotRunning, "there is no workspace").next("polis start"),
            Self::SshFailed => error(Kind::Machine, "the VM does not answer")
                .next(format!(
                    "multipass stop --force {}, then: polis start",
                    vm()
                ))
                .next(platform::UNREACHABLE_VM),
            Self::NoAnswer => error(Kind::Machine, NO_ANSWER).next(WAITING),
            Self::Exists | Self::BeingPrepared | Self::ClientTimeout | Self::InitTimeout => {
                error(kind, what).next("polis start")
            }
            Self::Other => error(kind, what).next("polis start").next("polis doctor"),
        }
    }
}

/// The VM is deleted but not purged. A bare `purge` would remove every deleted VM of the user, so it is never suggested.
pub(crate) fn deleted() -> Box<Error> {
    Error::new(
        Kind::Deleted,
        format!("the VM `{}` is deleted, and its name is still taken", vm()),
    )
    .next(format!(
        "multipass recover {}, then: polis start   (recovers it)",
        vm()
    ))
    .next("polis delete --purge, then: polis start   (to start over; everything in it is lost)")
}

/// The lines of `text` without control sequences, blank lines and repetitions: `exec` and `shell` print errors twice.
pub(crate) fn words(text: &str) -> Vec<String> {
    let text = plain(text);
    let mut known = HashSet::new();
    let lines = text.lines().map(str::trim);
    lines
        .filter(|line| !line.is_empty() && known.insert(*line))
        .map(str::to_owned)
        .collect()
}

/// Why a call failed, in Multipass's words: its standard error without the daemon's log, which also contains unrelated
/// errors. If there is nothing else, the messages of the log.
pub(crate) fn reasons(stderr: &str) -> Vec<String> {
    let (log, said): (Vec<_>, Vec<_>) = words(stderr)
        .into_iter()
        .partition(|line| logged(line).is_some());
    if !said.is_empty() {
        return said;
    }
    let messages: Vec<&str> = log.iter().filter_map(|line| logged(line)).collect();
    words(&messages.join("\n"))
}

/// The message of a line of the log: `[TIME] [LEVEL] [PART] MESSAGE`.
fn logged(line: &str) -> Option<&str> {
    let (time, rest) = line.strip_prefix('[')?.split_once("] [")?;
    let (level, rest) = rest.split_once("] [")?;
    let (_, message) = rest.split_once("] ")?;
    let is_log = time.starts_with(|c: char| c.is_ascii_digit()) && LEVELS.contains(&level);
    is_log.then_some(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_distinguish_failures_with_code_2() {
        for (code, stderr, expected) in [
            (
                2,
                "launch failed: cannot connect to the multipass socket",
                Refusal::DaemonDown,
            ),
            (
                2,
                "list failed: multipass socket access denied",
                Refusal::AccessDenied,
            ),
            (
                2,
                "list failed: The client is not authenticated with the Multipass service.",
                Refusal::NotAuthenticated,
            ),
            (
                2,
                "launch failed: instance \"polis\" already exists",
                Refusal::Exists,
            ),
            (
                2,
                "launch failed: instance \"polis\" is being prepared",
                Refusal::BeingPrepared,
            ),
            (
                5,
                "Timed out waiting for instance launch.",
                Refusal::ClientTimeout,
            ),
            (
                2,
                "launch failed: x\npolis: timed out waiting for initialization to complete",
                Refusal::InitTimeout,
            ),
            (
                2,
                "polis: timed out waiting for response",
                Refusal::SshFailed,
            ),
            (2, "instance \"polis\" does not exist", Refusal::Missing),
            (2, "instance \"polis\" is deleted", Refusal::Deleted),
            (
                2,
                "exec failed: ssh connection failed: 'x'",
                Refusal::SshFailed,
            ),
            (255, "", Refusal::SshFailed),
            (
                2,
                "exec failed: Cannot retrieve credentials in unknown state",
                Refusal::NoAnswer,
            ),
            (
                2,
                "Instance 'polis' is already running, but in an unknown state.\nTry to stop it first.",
                Refusal::NoAnswer,
            ),
            (
                1,
                "[2026-11-26T10:11:12.345] [error] [client] failed to open file '/x/multipass_root_cert.pem': No such file",
                Refusal::DaemonDown,
            ),
            (
                2,
                "[2026-11-26T10:11:12.345] [error] [x y] host does not exist\nlaunch failed: no room",
                Refusal::Other,
            ),
            (2, "Invalid arguments supplied", Refusal::Other),
        ] {
            assert_eq!(of(Some(code), stderr), expected, "{stderr}");
        }
    }

    #[test]
    fn lines_of_the_log_are_not_the_reason() {
        let log = "[2026-11-26T10:11:12.345] [error] [url downloader] Failed to get x\n";
        assert_eq!(
            reasons(&format!("{log}launch failed: no room\n")),
            ["launch failed: no room"]
        );
        assert_eq!(reasons(log), ["Failed to get x"]);
        assert_eq!(reasons("[a] [b] [c] d\n"), ["[a] [b] [c] d"]);
    }

    #[test]
    fn spinners_and_repetitions_are_removed() {
        assert_eq!(
            words("\x1b[2K\rone\rtwo\x1b[0m\r\n\nexec failed\nexec failed\n"),
            ["two", "exec failed"]
        );
        // In linear time at most: the text may be as long as a call may print.
        let many: String = (0..60_000).map(|at| format!("{at}\n")).collect();
        let begun = std::time::Instant::now();
        assert_eq!(words(&many).len(), 60_000);
        assert!(begun.elapsed() < std::time::Duration::from_secs(5));
    }
}
