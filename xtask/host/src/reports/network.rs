//! The data of the verbs that compare the tree with registries and GitHub.

#[cfg(feature = "schema")]
use schemars::JsonSchema;
use serde::Serialize;

use super::{ImageName, Pin};

/// A digest in OCI notation.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
pub struct Digest(
    #[cfg_attr(
        feature = "schema",
        schemars(regex(pattern = r"^sha256:[0-9a-f]{64}$"))
    )]
    String,
);

impl Digest {
    /// The text of `digest`.
    pub fn of(digest: polis_base::Digest) -> Self {
        Self(digest.to_string())
    }
}

/// The data of `pin`.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema), schemars(deny_unknown_fields))]
pub struct Pinned {
    /// The files that differ, relative to the root of the tree.
    pub files: Vec<String>,
    /// Whether the files were written.
    pub written: bool,
    /// A unified diff; empty if nothing changes.
    pub diff: String,
    /// The digest of each image.
    pub images: Vec<PinnedImage>,
}

/// An image and its pinned digest.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema), schemars(deny_unknown_fields))]
pub struct PinnedImage {
    /// Its name.
    pub image: ImageName,
    /// The digest of its index.
    pub digest: Digest,
}

/// The data of `update`.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema), schemars(deny_unknown_fields))]
pub struct Updated {
    /// The files that differ, relative to the root of the tree.
    pub files: Vec<String>,
    /// Whether the files were written.
    pub written: bool,
    /// A unified diff; empty if nothing changes.
    pub diff: String,
    /// The pins that change.
    pub updates: Vec<Update>,
}

/// A pin that changes to another version.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema), schemars(deny_unknown_fields))]
pub struct Update {
    /// What is pinned.
    #[cfg_attr(feature = "schema", schemars(extend("enum" = ["download", "action", "image"])))]
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// The version that was pinned; null if there was none.
    pub from: Option<String>,
    /// The version to pin.
    pub to: String,
}

impl Update {
    /// The change of `name` to the version `to`.
    pub fn of(kind: &'static str, name: String, from: Option<String>, to: String) -> Self {
        Self {
            kind,
            name,
            from,
            to,
        }
    }
}

/// The data of `verify-images`.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema), schemars(deny_unknown_fields))]
pub struct ReadImages {
    /// The images of the compose file that were selected.
    pub images: Vec<ReadImage>,
}

/// One image of the compose file, as it was read.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema), schemars(deny_unknown_fields))]
pub struct ReadImage {
    /// The reference without the digest.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub image: String,
    /// The digest; null if there is none.
    pub pinned: Option<String>,
    /// Whether this repository builds it.
    pub built: bool,
    /// The services that run it.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub services: Vec<String>,
    /// The file with its contract.
    pub contract: Option<String>,
    /// The reason of the waiver, if there is one.
    pub waived: Option<String>,
    /// The worst of its problems, or `verified`.
    pub state: ImageState,
    /// The reason for the state.
    pub reason: Option<String>,
    /// The platforms that were read completely.
    pub platforms: Vec<ReadPlatform>,
    /// The problems that keep it from being verified.
    pub problems: Vec<Problem>,
}

/// The state of an image, or of one clause of its contract.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
pub struct ImageState(
    #[cfg_attr(feature = "schema", schemars(extend("enum" = [
        "verified", "not published", "waived", "unpinned", "no contract", "missing manifest", "missing blob",
        "wrong digest", "wrong size", "unreadable", "missing platform", "path missing", "not executable",
        "not readable", "not writable", "wrong user", "wrong entry point", "unexpected program", "unreachable",
        "rate limited", "not authorised",
    ])))]
    pub &'static str,
);

/// A platform of an image that was read completely.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema), schemars(deny_unknown_fields))]
pub struct ReadPlatform {
    /// The platform, as in `linux/arm64`.
    pub platform: String,
    /// The number of its layers.
    pub layers: usize,
    /// The size of its layers as stored, in bytes.
    pub bytes: u64,
}

/// A clause of a contract that the image does not fulfil.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema), schemars(deny_unknown_fields))]
pub struct Problem {
    /// What is wrong.
    pub state: ImageState,
    /// The platform that it concerns; null if it concerns all.
    pub platform: Option<String>,
    /// What it is about.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub about: String,
    /// The file of the contract.
    pub path: String,
    /// Its line.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub line: usize,
}

/// The data of `drift`: [`Pins`], [`ReadImages`] and [`IssueKept`].
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema), schemars(deny_unknown_fields))]
pub struct Drift {
    /// Every pin of the tree.
    pub pins: Vec<Pin>,
    /// Every image of the compose file.
    pub images: Vec<ReadImage>,
    /// What was done to the issue about pins, or with --dry-run what would be done.
    pub issue: Issue,
}

/// The part that only `drift` adds.
#[derive(Debug, Serialize)]
pub struct IssueKept {
    /// The issue about pins.
    pub issue: Issue,
}

/// What was done to the issue about pins, or with --dry-run what would be done.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema), schemars(deny_unknown_fields))]
pub struct Issue {
    /// What was done.
    #[cfg_attr(feature = "schema", schemars(extend("enum" = ["none", "create", "update", "close"])))]
    pub action: &'static str,
    /// Its number, if it exists.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub number: Option<u64>,
    /// The URL of its page.
    pub url: Option<String>,
    /// False with --dry-run.
    pub done: bool,
}

/// The data of `drift --pull-request`.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema), schemars(deny_unknown_fields))]
pub struct Proposed {
    /// The pins that change.
    pub updates: Vec<Update>,
    /// The files that differ, relative to the root of the tree.
    pub files: Vec<String>,
    /// A unified diff; empty if nothing changes.
    pub diff: String,
    /// What was done to the pull request that proposes pins, or with --dry-run what would be done.
    pub pull_request: PullRequest,
}

/// What was done to the pull request that proposes pins, or with --dry-run what would be done.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema), schemars(deny_unknown_fields))]
pub struct PullRequest {
    /// What was done.
    #[cfg_attr(feature = "schema", schemars(extend("enum" = ["none", "create", "update", "close"])))]
    pub action: &'static str,
    /// Why nothing is done; null if something is.
    #[cfg_attr(feature = "schema", schemars(extend("enum" = [
        "nothing to propose", "unchanged", "turned down", "foreign commit", null,
    ])))]
    pub reason: Option<&'static str>,
    /// Its branch.
    pub branch: &'static str,
    /// Its number, if it exists.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub number: Option<u64>,
    /// The URL of its page.
    pub url: Option<String>,
    /// False with --dry-run.
    pub done: bool,
}
