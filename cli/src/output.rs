//! The one module that prints. What the user sees at the end: text, or one JSON document and nothing else on standard
//! output.
//!
//! The guest and Multipass also write what is printed here, so all of it is shown as `polis_base::shown` has it: nothing
//! reaches a terminal that this one would obey. Only `exec`, `shell` and `logs` let bytes through, which never come here.

use std::io::{self, Write};
use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use polis_base::shown::{shown, shown_json};
use serde_json::{Value, json};

use crate::args::{Color, Global};
use crate::embedded;
use crate::error::{Error, Kind, Result};

/// The version of the JSON documents; grows when a field changes its meaning.
const SCHEMA: u32 = 1;
/// How a failure is marked.
const BAD: Style = AnsiColor::Red.on_default().bold();
/// How a success is marked.
const GOOD: Style = AnsiColor::Green.on_default();
/// How a note is marked.
const NOTE: Style = AnsiColor::Yellow.on_default().bold();

/// How results are shown.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Printer {
    json: bool,
    quiet: bool,
}

/// What a command did.
#[derive(Debug)]
pub(crate) struct Done {
    /// For people.
    pub(crate) text: String,
    /// For programs.
    pub(crate) data: Value,
    /// The exit code.
    pub(crate) code: u8,
}

impl Done {
    /// A success.
    pub(crate) fn new(text: impl Into<String>, data: Value) -> Self {
        Self {
            text: text.into(),
            data,
            code: 0,
        }
    }
}

impl Printer {
    /// What the options ask for.
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

    /// Whether progress and notes are wanted.
    pub(crate) fn is_quiet(self) -> bool {
        self.quiet
    }

    /// Whether standard output belongs to one document.
    pub(crate) fn is_json(self) -> bool {
        self.json
    }

    /// Something that the user should know, beside the result.
    pub(crate) fn note(self, text: &str) {
        if !self.quiet {
            note(text);
        }
    }

    /// Prints what a question is about, even with `--quiet`.
    pub(crate) fn ask(self, text: &str) {
        note(text);
    }

    /// Shows the result of `command`, and returns the exit code.
    pub(crate) fn finish(self, command: &str, result: Result<Done>) -> ExitCode {
        let (code, document) = match &result {
            Ok(done) => (done.code, document(command, Some(&done.data), None)),
            Err(error) => (error.kind.code(), document(command, None, Some(error))),
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

/// Prints `bytes` on standard output. Nobody may be reading any more, which is no reason to fail.
///
/// # Errors
/// When they cannot be written, as on a full disk.
pub(crate) fn print(bytes: &[u8]) -> Result<()> {
    let mut out = io::stdout();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Error::new(
            Kind::Unexpected,
            "the result could not be printed",
        )
        .because(format!("standard output: {error}"))),
        _ => Ok(()),
    }
}

/// Passes on `bytes` of the user's own command on standard error, as they are.
pub(crate) fn pass_on(bytes: &[u8]) {
    let _nobody_reads = io::stderr().write_all(bytes);
}

/// The mark of a success, in its colour where standard error has colours.
pub(crate) fn good(mark: &str) -> String {
    coloured(GOOD, mark)
}

/// The mark of a failure, likewise.
pub(crate) fn bad(mark: &str) -> String {
    coloured(BAD, mark)
}

fn coloured(style: Style, mark: &str) -> String {
    match anstream::AutoStream::choice(&io::stderr()) {
        anstream::ColorChoice::Never => mark.to_owned(),
        _ => format!("{style}{mark}{style:#}"),
    }
}

/// Prints an error on standard error.
fn fail(error: &Error) {
    let text = error.to_text();
    let _nobody_reads = write!(anstream::stderr(), "{BAD}error{BAD:#}: {}", shown(&text));
}

/// Prints a line on standard error, for whoever reads it.
pub(crate) fn tell(line: &str) {
    let _nobody_reads = writeln!(io::stderr(), "{}", shown(line));
}

/// Prints a note on standard error.
pub(crate) fn note(text: &str) {
    let _nobody_reads = writeln!(anstream::stderr(), "{NOTE}note{NOTE:#}: {}", shown(text));
}

/// Prints a question on standard error, and leaves the cursor behind it.
pub(crate) fn question(text: &str) {
    let mut err = io::stderr();
    let _nobody_reads = write!(err, "{}", shown(text)).and_then(|()| err.flush());
}

fn document(command: &str, result: Option<&Value>, error: Option<&Error>) -> Value {
    json!({
        "schema": SCHEMA,
        "command": command,
        "version": embedded::LABEL,
        "result": result,
        "error": error.map(|error| {
            let mut value = json!(error.bounded());
            value["exit_code"] = json!(error.kind.code());
            value
        }),
    })
}
