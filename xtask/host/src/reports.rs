//! The data of the verbs' reports, as programs read them: `schemas/report.schema.json` is generated from these types.
//!
//! They stand together, so that the schema needs none of the programs that fill them in. An offline verb compiles only those in this file.

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
    /// Grows when a field changes its meaning.
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
    /// The facts of the verb; null when it did not run to its end.
    pub data: Option<&'a Value>,
    /// Why the verb did not run to its end; null where it did.
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
    /// The rule that it breaks.
    pub rule: &'a str,
    /// Whether it fails the verb.
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
    /// The line as it stands in the file.
    pub excerpt: Option<&'a str>,
    /// The next step.
    pub help: Option<&'a str>,
}

/// Why the verb did not run to its end.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema), schemars(deny_unknown_fields))]
pub struct Failure<'a> {
    /// What failed.
    pub message: &'a str,
    /// Why, outermost first.
    pub causes: &'a [String],
    /// What to do next.
    pub hints: &'a [String],
}

/// An image reference without digest.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
pub struct ImageName(#[cfg_attr(feature = "schema", schemars(regex(pattern = "^[^@]+$")))] String);

impl ImageName {
    /// The text of a reference without digest.
    pub fn of(unpinned: impl Display) -> Self {
        Self(unpinned.to_string())
    }
}

/// Of `images list`.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema), schemars(deny_unknown_fields))]
pub struct ImagesList {
    /// The images that this repository builds.
    pub built: Vec<BuildOf>,
    /// All others.
    pub pulled: Vec<ImageName>,
}

/// Where an image is built from.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema), schemars(deny_unknown_fields))]
#[allow(missing_docs, reason = "the terms of Compose")]
pub struct BuildOf {
    pub image: ImageName,
    pub context: String,
    pub dockerfile: String,
}

/// Of `prepare`.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema), schemars(deny_unknown_fields))]
pub struct Prepared {
    /// The version that the tree is prepared for.
    pub version: String,
    /// The files that differ, relative to the root of the tree.
    pub files: Vec<String>,
    /// Whether they were written.
    pub written: bool,
    /// A unified diff; empty where nothing changes.
    pub diff: String,
}

/// Of `docs`.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema), schemars(deny_unknown_fields))]
pub struct Docs {
    /// Whether pages were written.
    pub written: bool,
    /// A unified diff; empty where nothing changes.
    pub diff: String,
}

/// Of `verify-pins` and `verify-checksums`: every pin of the tree, with its state.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema), schemars(deny_unknown_fields))]
pub struct Pins {
    /// The pins.
    pub pins: Vec<Pin>,
}

/// One pin of the tree: one thing that the release or the machine fetches.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema), schemars(deny_unknown_fields))]
pub struct Pin {
    /// What sort of thing it is.
    #[cfg_attr(feature = "schema", schemars(extend("enum" = ["image", "base", "download", "key", "action", "toolchain"])))]
    pub kind: &'static str,
    /// What is pinned, without what it is pinned to.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub name: String,
    /// What it is pinned to: a digest, a fingerprint, a commit, a version; null where it is not pinned.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub pinned: Option<String>,
    /// Where it is fetched, of downloads and keys.
    pub url: Option<String>,
    /// Whether this repository builds it.
    pub built: bool,
    /// The reason of the waiver, where there is one.
    pub waived: Option<String>,
    /// What is known of it. Offline, a pin that is whole is `not looked up`.
    #[cfg_attr(feature = "schema", schemars(extend("enum" = [
        "not looked up", "waived", "unpinned", "ok", "not published", "drifted", "gone", "unreachable", "rate limited",
        "not authorised", "missing platform", "mismatch", "contradicted", "unconfirmed", "unsigned",
    ])))]
    pub state: &'static str,
    /// What the world serves instead.
    pub found: Option<String>,
    /// Why it is in that state.
    pub reason: Option<String>,
    /// The places that it is made of.
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
