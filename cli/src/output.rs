//! What the user sees at the end: text, or one JSON document and nothing else on standard output.

use std::io::{self, Write};
use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use serde_json::{Value, json};

use crate::args::{Color, Global};
use crate::embedded;
use crate::error::{Error, Result};

/// The version of the JSON documents; grows when a field changes its meaning.
const SCHEMA: u32 = 1;
/// How a failure is marked.
const BAD: Style = AnsiColor::Red.on_default().bold();
/// How a note is marked.
const NOTE: Style = AnsiColor::Yellow.on_default().bold();

/// How results are shown.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
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

impl Output {
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
        if self.json {
            print(&format!("{document:#}\n"));
        }
        match result {
            Ok(done) if !self.json => print(&done.text),
            Ok(_) => {}
            Err(error) => {
                let text = error.to_text();
                let _nobody_reads = write!(anstream::stderr(), "{BAD}error{BAD:#}: {text}");
            }
        }
        ExitCode::from(code)
    }
}

/// Prints on standard output. Nobody may be reading any more, which is no reason to fail.
pub(crate) fn print(text: &str) {
    let mut out = io::stdout();
    let _nobody_reads = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Prints a line on standard error, for whoever reads it.
pub(crate) fn tell(line: &str) {
    let _nobody_reads = writeln!(io::stderr(), "{line}");
}

/// Prints a note on standard error.
pub(crate) fn note(text: &str) {
    let _nobody_reads = writeln!(anstream::stderr(), "{NOTE}note{NOTE:#}: {text}");
}

fn document(command: &str, result: Option<&Value>, error: Option<&Error>) -> Value {
    json!({
        "schema": SCHEMA,
        "command": command,
        "version": embedded::LABEL,
        "result": result,
        "error": error.map(|error| {
            let mut value = json!(error);
            value["exit_code"] = json!(error.kind.code());
            value
        }),
    })
}
