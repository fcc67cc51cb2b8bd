//! The record of all calls. A call writes a line when it starts and another when it ends, so a killed call is recorded too.

use std::collections::BTreeMap;
use std::fs;
use std::io;

use serde::{Deserialize, Serialize};

use crate::store::Store;

const FILE: &str = "calls.jsonl";

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Started(Started),
    Ended { number: u64, end: End },
}

/// The start of a call.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Started {
    number: u64,
    program: String,
    args: Vec<String>,
    within: Option<u64>,
    pid: u32,
}

/// The end of a call.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// The exit code.
    pub code: u8,
    /// Whether the real program would have refused the command line.
    pub refused: bool,
    /// Whether it created, started, stopped or removed an instance.
    pub changed_vm: bool,
    /// Whether it changed files, containers or units of the guest.
    pub changed_guest: bool,
    /// Its standard input, if it read any.
    pub stdin: Option<Input>,
}

/// Standard input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// Its size.
    pub bytes: u64,
    /// Its digest, `sha256:` and 64 hex digits.
    pub digest: String,
}

/// A call, of `multipass` or of a tool in the guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Its number in the order of starts, from 1.
    pub number: u64,
    /// The name of the program.
    pub program: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// For a tool of the guest: the call of `multipass` that it is part of.
    pub within: Option<u64>,
    /// Its process ID.
    pub pid: u32,
    /// `None` if it is still running or was killed.
    pub end: Option<End>,
}

impl Call {
    /// The command line as one string.
    pub fn line(&self) -> String {
        let words: Vec<&str> = std::iter::once(self.program.as_str())
            .chain(self.args.iter().map(String::as_str))
            .collect();
        words.join(" ")
    }

    /// Whether it changed the machine or anything in it. A call that has not ended may have.
    pub fn mutated(&self) -> bool {
        self.end
            .as_ref()
            .is_none_or(|end| end.changed_vm || end.changed_guest)
    }

    /// Whether the real program would have refused it.
    pub fn refused(&self) -> bool {
        self.end.as_ref().is_some_and(|end| end.refused)
    }
}

/// Records a start.
///
/// # Errors
/// When the sandbox cannot be written.
pub(crate) fn start(
    store: &Store,
    program: &str,
    args: &[String],
    within: Option<u64>,
) -> io::Result<u64> {
    let number = store.update(|state| {
        state.calls += 1;
        state.calls
    })?;
    let started = Started {
        number,
        program: program.to_owned(),
        args: args.to_vec(),
        within,
        pid: std::process::id(),
    };
    store.lock()?.append(FILE, &Line::Started(started))?;
    Ok(number)
}

/// Records an end.
///
/// # Errors
/// When the sandbox cannot be written.
pub(crate) fn end(store: &Store, number: u64, end: End) -> io::Result<()> {
    store.lock()?.append(FILE, &Line::Ended { number, end })
}

/// All calls, in the order in which they started.
///
/// # Errors
/// When the record cannot be read.
pub(crate) fn calls(store: &Store) -> io::Result<Vec<Call>> {
    let _lock = store.lock()?;
    let text = match fs::read_to_string(store.dir().join(FILE)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        text => text?,
    };
    let mut calls = BTreeMap::new();
    for line in text.lines() {
        match serde_json::from_str(line)? {
            Line::Started(started) => {
                let call = Call {
                    number: started.number,
                    program: started.program,
                    args: started.args,
                    within: started.within,
                    pid: started.pid,
                    end: None,
                };
                calls.insert(call.number, call);
            }
            Line::Ended { number, end } => {
                if let Some(call) = calls.get_mut(&number) {
                    call.end = Some(end);
                }
            }
        }
    }
    Ok(calls.into_values().collect())
}
