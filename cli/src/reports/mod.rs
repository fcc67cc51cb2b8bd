//! What `polis COMMAND --json` prints, as types: `schemas/polis.schema.json` is generated from them, and their documentation
//! becomes its descriptions.
//!
//! Commands fill them in. Reports contain types of the modules that observe and decide, such as `guest`; those modules never
//! import this one.

pub(crate) mod agent;
pub(crate) mod doctor;
pub(crate) mod files;
pub(crate) mod machine;
pub(crate) mod port;
pub(crate) mod program;
#[cfg(test)]
mod schema;
pub(crate) mod security;
pub(crate) mod start;
pub(crate) mod status;

#[cfg(test)]
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::embedded;
use crate::error::{Error, Kind};

/// The one document that a command prints on standard output with `--json`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
pub(crate) struct Document<'a> {
    /// Incremented when a field changes its meaning.
    #[cfg_attr(test, schemars(extend("const" = 1)))]
    pub(crate) schema: u32,
    /// The command, as typed.
    pub(crate) command: &'a str,
    /// The version of polis.
    pub(crate) version: &'static str,
    /// The result of the command; null if it failed.
    pub(crate) result: Option<&'a Value>,
    /// Why the command failed; null if it succeeded.
    pub(crate) error: Option<Failure>,
}

impl<'a> Document<'a> {
    /// The version of these documents.
    const SCHEMA: u32 = 1;

    /// The document about the end of `command`.
    pub(crate) fn new(command: &'a str, result: Result<&'a Value, &Error>) -> Self {
        Self {
            schema: Self::SCHEMA,
            command,
            version: embedded::LABEL,
            result: result.ok(),
            error: result.err().map(Failure::new),
        }
    }
}

/// Why a command failed.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
pub(crate) struct Failure {
    /// Who must act. Each kind has its own exit code.
    kind: Kind,
    /// As documented in `polis --help`; `exec` and `shell` end with 125 instead.
    #[cfg_attr(test, schemars(range(min = 1, max = 130)))]
    exit_code: u8,
    /// What failed, and what it failed on.
    message: String,
    /// Why, outermost first.
    causes: Lines,
    /// The provisioning step that failed or is running.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "String"))]
    step: Option<String>,
    /// The service that is not healthy.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "String"))]
    service: Option<String>,
    /// The commands that were tried.
    tried: Lines,
    /// The last lines of the relevant log.
    log: Lines,
    /// The next step.
    next: Lines,
}

impl Failure {
    fn new(error: &Error) -> Self {
        let error = error.bounded();
        Self {
            kind: error.kind,
            exit_code: error.kind.code(),
            message: error.message,
            causes: Lines(error.causes),
            step: error.step,
            service: error.service,
            tried: Lines(error.tried),
            log: Lines(error.log),
            next: Lines(error.next),
        }
    }
}

/// One line each, truncated. After 50, one more line counts the rest.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
struct Lines(#[cfg_attr(test, schemars(length(max = crate::error::MOST_LINES + 1)))] Vec<String>);

/// A digest in OCI notation.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
pub(crate) struct Digest(
    #[cfg_attr(test, schemars(regex(pattern = "^sha256:[0-9a-f]{64}$")))] String,
);

impl From<polis_base::Digest> for Digest {
    fn from(digest: polis_base::Digest) -> Self {
        Self(digest.to_string())
    }
}
