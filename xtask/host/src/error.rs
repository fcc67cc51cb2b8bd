//! The error that stops a verb: who must act, what failed and where, and the next step.
//!
//! The [`Outcome`] determines the exit code, so that scripts can distinguish a wrong file from an unreachable network.
//! One function renders all errors.

use std::fmt;
use std::io;
use std::path::Path;

use crate::finding::Finding;

pub use crate::outcome::Outcome;

/// A failure with its cause chain and the next steps.
#[derive(Debug)]
pub struct Error {
    /// Who must act.
    pub outcome: Outcome,
    /// What failed; names the path, URL or command.
    pub message: String,
    /// The locations at fault, shown before the message.
    pub findings: Vec<Finding>,
    /// Why, outermost first.
    pub causes: Vec<String>,
    /// What to do next.
    pub hints: Vec<String>,
}

/// The result of a fallible operation of the release tools.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error with this outcome.
    pub fn new(outcome: Outcome, message: impl Into<String>) -> Self {
        Self {
            outcome,
            message: message.into(),
            findings: Vec::new(),
            causes: Vec::new(),
            hints: Vec::new(),
        }
    }

    /// Something in the tree is wrong.
    pub fn findings(message: impl Into<String>) -> Self {
        Self::new(Outcome::Findings, message)
    }

    /// `path` cannot be used because of `findings`.
    pub fn in_file(path: &str, findings: Vec<Finding>) -> Self {
        Self {
            findings,
            ..Self::findings(format!("`{path}` cannot be used"))
        }
    }

    /// An invalid command line.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Outcome::Usage, message)
    }

    /// A failure of this machine: a program is missing or failed, a disk is full.
    pub fn machine(message: impl Into<String>) -> Self {
        Self::new(Outcome::Machine, message)
    }

    /// A file operation on `path` failed.
    pub fn io(doing: &str, path: &Path, error: &io::Error) -> Self {
        let failed = Self::machine(format!("cannot {doing} `{}`", path.display()));
        let failed = failed.because(error.to_string());
        match error.kind() {
            io::ErrorKind::StorageFull => {
                failed.hint("free some space on that file system, then run the same command again")
            }
            _ => failed,
        }
    }

    /// Adds a cause.
    #[must_use]
    pub fn because(mut self, cause: impl Into<String>) -> Self {
        self.causes.push(cause.into());
        self
    }

    /// Adds a next step.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in &self.findings {
            write!(f, "{}\n\n", finding.render(false))?;
        }
        write!(f, "error: {}", self.message)?;
        for cause in &self.causes {
            write!(f, "\n  caused by: {}", cause.replace('\n', "\n    "))?;
        }
        for hint in &self.hints {
            write!(f, "\n  hint: {}", hint.replace('\n', "\n    "))?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}
