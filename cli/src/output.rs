//! The only module that prints. A command ends with text, or with one JSON document and nothing else on standard output.
//!
//! Some of the text comes from the guest and from Multipass, so all of it passes through `polis_base::shown`: no control
//! sequence reaches the terminal. Only `exec`, `shell` and `logs` pass bytes through, and they do not use this module.

use std::io::{self, Write};
use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use polis_base::shown::{shown, shown_json};
use serde::Serialize;
use serde_json::Value;

use crate::args::{Color, Global};
use crate::error::{Error, Kind, Result};
use crate::reports::Document;

const BAD: Style = AnsiColor::Red.on_default().bold();
const GOOD: Style = AnsiColor::Green.on_default();
const NOTE: Style = AnsiColor::Yellow.on_default().bold();

/// How results are shown.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Printer {
    json: bool,
    quiet: bool,
}

/// The result of a command.
#[derive(Debug)]
pub(crate) struct Done {
    /// Printed without `--json`.
    pub(crate) text: String,
    /// Printed with `--json`, as `result`.
    pub(crate) data: Value,
    /// The exit code.
    pub(crate) code: u8,
}

impl Done {
    /// The result of a command that succeeded. `report` is one of [`crate::reports`].
    ///
    /// # Panics
    /// If `report` has keys that are not strings.
    pub(crate) fn new(text: impl Into<String>, report: impl Serialize) -> Self {
        Self {
            text: text.into(),
            data: serde_json::to_value(report).expect("a report whose keys are strings"),
            code: 0,
        }
    }

    /// The end of a command that has printed its output already, and has no report.
    pub(crate) fn without_report() -> Self {
        Self::new("", ())
    }
}

impl Printer {
    pub(crate) fn new(global: &Global) -> Self {
        let choice = match global.color {
            Color::Auto => anstream::ColorChoice::Auto,
            Color::Always => anstream::ColorChoice::Always,
            Color::Never => anstream::ColorChoice::Never,
        };
        choice.write_global();
        Self {
            json: global.json,
            quiet: global.quiet,
        }
    }

    /// Whether progress and notes are suppressed.
    pub(crate) fn is_quiet(self) -> bool {
        self.quiet
    }

    /// Whether standard output is reserved for one JSON document.
    pub(crate) fn is_json(self) -> bool {
        self.json
    }

    /// Prints a note on standard error, unless `--quiet`.
    pub(crate) fn note(self, text: &str) {
        if !self.quiet {
            note(text);
        }
    }

    /// Prints the subject of a question, even with `--quiet`.
    pub(crate) fn ask(self, text: &str) {
        note(text);
    }

    /// Prints the result of `command`, and returns the exit code.
    pub(crate) fn finish(self, command: &str, result: Result<Done>) -> ExitCode {
        let (code, document) = match &result {
            Ok(done) => (done.code, document(command, Ok(&done.data))),
            Err(error) => (error.kind.code(), document(command, Err(error))),
        };
        let printed = match &result {
            _ if self.json => print(shown_json(&format!("{document:#}\n")).as_bytes()),
            Ok(done) => print(shown(&done.text).as_bytes()),
            Err(_) => Ok(()),
        };
        if let Err(error) = result {
            fail(&error);
        }
        match printed {
            Ok(()) => ExitCode::from(code),
            Err(error) => {
                fail(&error);
                ExitCode::from(error.kind.code())
            }
        }
    }
}

/// Prints `bytes` on standard output. A pipe that its reader has closed is not an error.
///
/// # Errors
/// When they cannot be written, as on a full disk.
pub(crate) fn print(bytes: &[u8]) -> Result<()> {
    let mut out = io::stdout();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Error::new(Kind::Unexpected, "could not print the result")
                .because(format!("standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// Writes `bytes` of the user's own command to standard error unchanged.
pub(crate) fn pass_on(bytes: &[u8]) {
    let _stderr_closed = io::stderr().write_all(bytes);
}

/// The mark of a success, coloured if standard error shows colours.
pub(crate) fn good(mark: &str) -> String {
    coloured(GOOD, mark)
}

/// The mark of a failure, coloured likewise.
pub(crate) fn bad(mark: &str) -> String {
    coloured(BAD, mark)
}

fn coloured(style: Style, mark: &str) -> String {
    match anstream::AutoStream::choice(&io::stderr()) {
        anstream::ColorChoice::Never => mark.to_owned(),
        _ => format!("{style}{mark}{style:#}"),
    }
}

fn fail(error: &Error) {
    let text = error.to_text();
    let _stderr_closed = write!(anstream::stderr(), "{BAD}error{BAD:#}: {}", shown(&text));
}

/// Prints a line on standard error.
pub(crate) fn tell(line: &str) {
    let _stderr_closed = writeln!(io::stderr(), "{}", shown(line));
}

/// Prints a note on standard error.
pub(crate) fn note(text: &str) {
    let _stderr_closed = writeln!(anstream::stderr(), "{NOTE}note{NOTE:#}: {}", shown(text));
}

/// Prints a question on standard error without a line break.
pub(crate) fn question(text: &str) {
    let mut err = io::stderr();
    let _stderr_closed = write!(err, "{}", shown(text)).and_then(|()| err.flush());
}

fn document(command: &str, result: std::result::Result<&Value, &Error>) -> Value {
    serde_json::to_value(Document::new(command, result)).expect("a document whose keys are strings")
}
