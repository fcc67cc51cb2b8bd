//! The data of the verbs' reports, as programs read them: `schemas/report.schema.json` is generated from these types.
//!
//! They share a crate so that generating the schema does not compile the programs that fill them in. An offline verb compiles
//! only the types in this file.

#[cfg(feature = "reports")]
pub mod network;
#[cfg(feature = "reports")]
pub mod release;
#[cfg(feature = "schema")]
pub mod schema;

use std::fmt::Display;

#[cfg(feature = "schema")]
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

/// The one document that a verb prints on standard output with --format json.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema), schemars(deny_unknown_fields))]
pub struct Document<'a> {
    /// Incremented when the meaning of a field changes.
    #[cfg_attr(feature = "schema", schemars(extend("const" = 1)))]
    pub version: u32,
    /// The verb, as typed.
    pub verb: &'a str,
    /// The word for the exit code: 0 ok, 1 findings, 2 drift, 3 network, 4 usage, 5 machine, 130 interrupted.
    #[cfg_attr(feature = "schema", schemars(extend("enum" = [
        "ok", "findings", "drift", "network", "usage", "machine", "interrupted",
    ])))]
    pub outcome: &'static str,
    /// What the verb found.
    pub findings: Vec<Finding<'a>>,
    /// The facts of the verb; null if it did not finish.
    pub data: Option<&'a Value>,
    /// Why the verb did not finish; null if it did.
    pub error: Option<Failure<'a>>,
}

impl Document<'_> {
    /// The version of this document.
    pub const VERSION: u32 = 1;
}

/// One thing that a check found; path, line, column and excerpt say where.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema), schemars(deny_unknown_fields))]
pub struct Finding<'a> {
    /// The violated rule.
    pub rule: &'a str,
    /// Whether it makes the verb fail.
    #[cfg_attr(feature = "schema", schemars(extend("enum" = ["error", "warning"])))]
    pub severity: &'static str,
    /// What is wrong.
    pub message: &'a str,
    /// The file, relative to the root of the tree.
    pub path: Option<&'a str>,
    /// Its line.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub line: Option<usize>,
    /// Its column, in characters.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub column: Option<usize>,
    /// The text of the line.
    pub excerpt: Option<&'a str>,
    /// The next step.
    pub help: Option<&'a str>,
}

/// Why the verb did not finish.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema), schemars(deny_unknown_fields))]
pub struct Failure<'a> {
    /// What failed.
    pub message: &'a str,
    /// The causes, outermost first.
    pub causes: &'a [String],
    /// What to do next.
    pub hints: &'a [String],
}

/// An image reference without a digest.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
pub struct ImageName(#[cfg_attr(feature = "schema", schemars(regex(pattern = "^[^@]+$")))] String);

impl ImageName {
    /// The text of a reference without a digest.
    pub fn of(unpinned: impl Display) -> Self {
        Self(unpinned.to_string())
    }
}

/// The data of `images list`.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema), schemars(deny_unknown_fields))]
pub struct ImagesList {
    /// The images that this repository builds.
    pub built: Vec<BuildOf>,
    /// The other images.
    pub pulled: Vec<ImageName>,
}

/// The source of an image.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema), schemars(deny_unknown_fields))]
#[allow(missing_docs, reason = "the terms of Compose")]
pub struct BuildOf {
    pub image: ImageName,
    pub context: String,
    pub dockerfile: String,
}

/// The data of `prepare`.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema), schemars(deny_unknown_fields))]
pub struct Prepared {
    /// The version for which the tree is prepared.
    pub version: String,
    /// The files that differ, relative to the root of the tree.
    pub files: Vec<String>,
    /// Whether the files were written.
    pub written: bool,
    /// A unified diff; empty if nothing changes.
    pub diff: String,
}

/// The data of `docs`.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema), schemars(deny_unknown_fields))]
pub struct Docs {
    /// Whether pages were written.
    pub written: bool,
    /// A unified diff; empty if nothing changes.
    pub diff: String,
}

/// The data of `verify-pins` and `verify-checksums`: every pin of the tree, with its state.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema), schemars(deny_unknown_fields))]
pub struct Pins {
    /// The pins.
    pub pins: Vec<Pin>,
}

/// A pin of the tree: something that a release or the VM downloads.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema), schemars(deny_unknown_fields))]
pub struct Pin {
    /// Its kind.
    #[cfg_attr(feature = "schema", schemars(extend("enum" = ["image", "base", "download", "key", "action", "toolchain"])))]
    pub kind: &'static str,
    /// What is pinned, without the digest, commit or version.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub name: String,
    /// The pinned digest, fingerprint, commit or version; null if it is not pinned.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub pinned: Option<String>,
    /// The URL of a download or key.
    pub url: Option<String>,
    /// Whether this repository builds it.
    pub built: bool,
    /// The reason of the waiver, if there is one.
    pub waived: Option<String>,
    /// Its state. Offline, a complete pin is `not looked up`.
    #[cfg_attr(feature = "schema", schemars(extend("enum" = [
        "not looked up", "waived", "unpinned", "ok", "not published", "drifted", "gone", "unreachable", "rate limited",
        "not authorised", "missing platform", "mismatch", "contradicted", "unconfirmed", "unsigned",
    ])))]
    pub state: &'static str,
    /// What the server has instead.
    pub found: Option<String>,
    /// The reason for the state.
    pub reason: Option<String>,
    /// Its locations in the tree.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub uses: Vec<Use>,
}

/// A part of a pin in a file.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema), schemars(deny_unknown_fields))]
pub struct Use {
    /// Which part it is.
    #[cfg_attr(feature = "schema", schemars(extend("enum" = [
        "reference", "version", "url", "checksum", "fingerprint", "commit", "tag", "channel",
    ])))]
    pub part: &'static str,
    /// What uses it: a service, a step, a variable.
    pub by: String,
    /// The file, relative to the root of the tree.
    pub path: String,
    /// Its line.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub line: usize,
    /// Its column, in characters.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub column: usize,
}
