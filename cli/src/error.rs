//! Errors as users see them. The kind determines the exit code and says who has to act; the hints are the next commands.

use serde::Serialize;

use crate::instance::named;

pub(crate) type Result<T> = std::result::Result<T, Box<Error>>;

/// The kind of a failure; its number is the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "ErrorKind"))]
pub(crate) enum Kind {
    /// Anything else.
    Unexpected = 1,
    /// The command line, the environment or the configuration file.
    Usage = 2,
    /// No `multipass` program.
    MultipassMissing = 3,
    /// Multipass before 1.16.0.
    MultipassTooOld = 4,
    /// Its daemon does not answer.
    DaemonDown = 5,
    /// Its daemon refuses this user.
    NotAuthenticated = 6,
    /// The VM is in Multipass's trash, and its name is taken.
    Deleted = 7,
    /// The provisioning of the VM failed.
    Provisioning = 8,
    /// Out of time; another `polis start` continues.
    TimedOut = 9,
    /// A transfer was refused, or did not arrive complete.
    Transfer = 10,
    /// An image could not be pulled.
    Pull = 11,
    /// A service is not healthy.
    Unhealthy = 12,
    /// The command needs a running workspace.
    NotRunning = 13,
    /// Another `polis` holds the lock.
    Busy = 14,
    /// Multipass could not launch or start the VM or handle its snapshots, or a person has to repair the VM.
    Machine = 15,
    /// The program could not be updated, and is still the old one.
    Update = 16,
    /// Ctrl-C, SIGTERM or SIGHUP.
    Interrupted = 130,
}

impl Kind {
    pub(crate) fn code(self) -> u8 {
        self as u8
    }
}

/// The exit codes, for `--help`.
pub(crate) const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    something unexpected; for `doctor`, a check that failed
  2    usage: the command line, the environment or the configuration file
  3    Multipass is not installed
  4    Multipass is older than 1.16.0
  5    Multipass's daemon does not answer
  6    Multipass does not let this user in
  7    the VM is deleted, but not purged
  8    the provisioning of the VM failed
  9    out of time; `polis start` continues where it stopped
  10   a transfer into the VM or out of it failed
  11   could not pull an image
  12   a service is not healthy
  13   the workspace is not running
  14   another polis is running
  15   Multipass could not launch or start the VM, or handle its snapshots
  16   polis could not be updated, and is unchanged
  130  interrupted; `polis start` continues where it stopped
`exec` and `shell` end with the code of the command; when polis itself fails there, with 125,
and with 141 when the reader of the output has closed the pipe.";

/// The maximum number of lines in each section of an error, and of characters in a line.
pub(crate) const MOST_LINES: usize = 50;
const MOST_CHARACTERS: usize = 1000;

/// `text` as part of a line: without line breaks, and truncated. All untrusted text passes through here, so that
/// it cannot start a line.
pub(crate) fn cut(text: &str) -> String {
    let text = text.trim_end();
    let end = text.char_indices().nth(MOST_CHARACTERS);
    let line = text[..end.map_or(text.len(), |(end, _)| end)].replace(['\r', '\n'], " ");
    match end {
        Some(_) => line + " ...",
        None => line,
    }
}

/// The lines of `texts`, of which at most [`MOST_LINES`] are shown.
fn lines<'a>(texts: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut all = texts.into_iter().flat_map(str::lines);
    let mut shown: Vec<String> = all.by_ref().take(MOST_LINES).map(cut).collect();
    let more = all.count();
    if more > 0 {
        shown.push(format!("... and {more} more lines"));
    }
    shown
}

/// A failure as the user sees it.
#[derive(Debug, Clone)]
pub(crate) struct Error {
    pub(crate) kind: Kind,
    /// What failed, and what it failed on.
    pub(crate) message: String,
    /// Why, outermost first; shown as `caused by`.
    pub(crate) causes: Vec<String>,
    /// The provisioning step that failed or is running.
    pub(crate) step: Option<String>,
    /// The service that is not healthy.
    pub(crate) service: Option<String>,
    /// The commands that were tried.
    pub(crate) tried: Vec<String>,
    /// The last lines of the relevant log.
    pub(crate) log: Vec<String>,
    /// What to do now: commands, or a sentence; shown as `hint`.
    pub(crate) next: Vec<String>,
}

impl Error {
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Box<Self> {
        Box::new(Self {
            kind,
            message: message.into(),
            causes: Vec::new(),
            step: None,
            service: None,
            tried: Vec::new(),
            log: Vec::new(),
            next: Vec::new(),
        })
    }

    pub(crate) fn because(mut self: Box<Self>, cause: impl Into<String>) -> Box<Self> {
        self.causes.push(cause.into());
        self
    }

    /// Adds an error as the reason, and the errors that caused it.
    pub(crate) fn caused_by(mut self: Box<Self>, error: &dyn std::error::Error) -> Box<Self> {
        let chain = std::iter::successors(Some(error), |error| error.source());
        self.causes.extend(chain.map(ToString::to_string));
        self
    }

    /// Adds a hint. Commands in it get `--name` where they need it.
    pub(crate) fn next(mut self: Box<Self>, next: impl Into<String>) -> Box<Self> {
        self.next.push(named(&next.into()));
        self
    }

    pub(crate) fn tried(mut self: Box<Self>, command: impl Into<String>) -> Box<Self> {
        self.tried.push(command.into());
        self
    }

    /// Adds the command that was running, unless a more precise one is named.
    pub(crate) fn while_at(self: Box<Self>, command: impl FnOnce() -> String) -> Box<Self> {
        if self.tried.is_empty() {
            self.tried(command())
        } else {
            self
        }
    }

    pub(crate) fn log(mut self: Box<Self>, lines: impl IntoIterator<Item = String>) -> Box<Self> {
        self.log.extend(lines);
        self
    }

    /// The error as it is shown: each text is one line, and each section has at most [`MOST_LINES`].
    pub(crate) fn bounded(&self) -> Self {
        let list = |texts: &[String]| lines(texts.iter().map(String::as_str));
        let mut message = self.message.lines();
        let first = message.next().unwrap_or_default();
        Self {
            kind: self.kind,
            message: cut(first),
            causes: lines(message.chain(self.causes.iter().map(String::as_str))),
            step: self.step.as_deref().map(cut),
            service: self.service.as_deref().map(cut),
            tried: list(&self.tried),
            log: list(&self.log),
            next: list(&self.next),
        }
    }

    /// The error as text, in the vocabulary of both programs: the message, `caused by`, what was `tried`, the `log`, `hint`.
    /// Every line has a label, so that text from a guest cannot pass for a message of polis.
    pub(crate) fn to_text(&self) -> String {
        let error = self.bounded();
        let sections = [
            ("caused by", error.causes),
            ("tried", error.tried),
            ("log", error.log),
            ("hint", error.next),
        ];
        let mut text = format!("{}\n", error.message);
        for (label, lines) in sections {
            text.extend(lines.iter().map(|line| format!("  {label}: {line}\n")));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn untrusted_text_is_part_of_a_line() {
        assert_eq!(cut("a\nhint: b\r\n"), "a hint: b");
        assert_eq!(cut(&"ä".repeat(1000)), "ä".repeat(1000));
        assert_eq!(cut(&"ä".repeat(1001)), "ä".repeat(1000) + " ...");
        let error = Error::new(Kind::Usage, "x\nhint: y").because("a\nb");
        assert_eq!(
            error.to_text(),
            "x\n  caused by: hint: y\n  caused by: a\n  caused by: b\n"
        );
    }
}
