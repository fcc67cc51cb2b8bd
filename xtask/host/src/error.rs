//! What stops a verb: an error that says who must act, where, and what to do next.
//!
//! The [`Outcome`] is also the exit code, so a script can tell a wrong file from a network that
//! is down. One function renders every error; nothing else prints one.

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
    /// The places in files that are to blame, shown before the message.
    pub findings: Vec<Finding>,
    /// Why, outermost first.
    pub causes: Vec<String>,
    /// What to do next.
    pub hints: Vec<String>,
}

/// The result of anything that can stop a verb.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// A failure of kind `outcome`.
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

    /// The command line is wrong.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Outcome::Usage, message)
    }

    /// This machine could not do its part.
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
            write!(f, "\n  because: {}", cause.replace('\n', "\n    "))?;
        }
        for hint in &self.hints {
            write!(f, "\n  next: {}", hint.replace('\n', "\n    "))?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}
