//! What the verbs report that compare the tree with the world.

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

/// Of `pin`.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema), schemars(deny_unknown_fields))]
pub struct Pinned {
    /// The files that differ, relative to the root of the tree.
    pub files: Vec<String>,
    /// Whether they were written.
    pub written: bool,
    /// A unified diff; empty where nothing changes.
    pub diff: String,
    /// What each image is pinned to.
    pub images: Vec<PinnedImage>,
}

/// An image and what it is pinned to.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema), schemars(deny_unknown_fields))]
pub struct PinnedImage {
    /// Its name.
    pub image: ImageName,
    /// The digest of its index.
    pub digest: Digest,
}

/// Of `update`.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema), schemars(deny_unknown_fields))]
pub struct Updated {
    /// The files that differ, relative to the root of the tree.
    pub files: Vec<String>,
    /// Whether they were written.
    pub written: bool,
    /// A unified diff; empty where nothing changes.
    pub diff: String,
    /// The pins that move.
    pub updates: Vec<Update>,
}

/// A pin that moves to another version.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema), schemars(deny_unknown_fields))]
pub struct Update {
    /// What is pinned.
    #[cfg_attr(feature = "schema", schemars(extend("enum" = ["download", "action", "image"])))]
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// The version that was pinned; null where none was.
    pub from: Option<String>,
    /// The version to pin.
    pub to: String,
}

impl Update {
    /// The move of `name` to the version `to`.
    pub fn of(kind: &'static str, name: String, from: Option<String>, to: String) -> Self {
        Self {
            kind,
            name,
            from,
            to,
        }
    }
}

/// Of `verify-images`.
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
    /// The digest; null where there is none.
    pub pinned: Option<String>,
    /// Whether this repository builds it.
    pub built: bool,
    /// The services that run it.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub services: Vec<String>,
    /// The file that says what it must hold.
    pub contract: Option<String>,
    /// The reason of the waiver, where there is one.
    pub waived: Option<String>,
    /// The worst of its problems, or `verified`.
    pub state: ImageState,
    /// Why it is in that state.
    pub reason: Option<String>,
    /// What was read whole, by platform.
    pub platforms: Vec<ReadPlatform>,
    /// Everything that keeps it from being verified.
    pub problems: Vec<Problem>,
}

/// The state of an image, or of one promise about it.
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

/// A platform of an image that was read whole.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema), schemars(deny_unknown_fields))]
pub struct ReadPlatform {
    /// The platform, as in `linux/arm64`.
    pub platform: String,
    /// The number of its layers.
    pub layers: usize,
    /// Of its layers, as they are stored.
    pub bytes: u64,
}

/// A promise about an image that does not hold.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema), schemars(deny_unknown_fields))]
pub struct Problem {
    /// What is wrong.
    pub state: ImageState,
    /// The platform that it concerns; null where it is all.
    pub platform: Option<String>,
    /// What it is about.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub about: String,
    /// The file that makes the promise.
    pub path: String,
    /// Its line.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub line: usize,
}

/// Of `drift`: [`Pins`], [`ReadImages`] and [`IssueKept`].
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema), schemars(deny_unknown_fields))]
pub struct Drift {
    /// Every pin of the tree.
    pub pins: Vec<Pin>,
    /// Every image of the compose file.
    pub images: Vec<ReadImage>,
    /// What was done to the one issue about pins, or would be with --dry-run.
    pub issue: Issue,
}

/// What `drift` adds.
#[derive(Debug, Serialize)]
pub struct IssueKept {
    /// The issue about pins.
    pub issue: Issue,
}

/// What was done to the one issue about pins, or would be with --dry-run.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema), schemars(deny_unknown_fields))]
pub struct Issue {
    /// What was done.
    #[cfg_attr(feature = "schema", schemars(extend("enum" = ["none", "create", "update", "close"])))]
    pub action: &'static str,
    /// Its number, where there is one.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub number: Option<u64>,
    /// Its page.
    pub url: Option<String>,
    /// False where it only would be.
    pub done: bool,
}

/// Of `drift --pull-request`.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema), schemars(deny_unknown_fields))]
pub struct Proposed {
    /// The pins that move.
    pub updates: Vec<Update>,
    /// The files that differ, relative to the root of the tree.
    pub files: Vec<String>,
    /// A unified diff; empty where nothing changes.
    pub diff: String,
    /// What was done to the one pull request that proposes pins, or would be with --dry-run.
    pub pull_request: PullRequest,
}

/// What was done to the one pull request that proposes pins, or would be with --dry-run.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema), schemars(deny_unknown_fields))]
pub struct PullRequest {
    /// What was done.
    #[cfg_attr(feature = "schema", schemars(extend("enum" = ["none", "create", "update", "close"])))]
    pub action: &'static str,
    /// Why nothing is done; null where something is.
    #[cfg_attr(feature = "schema", schemars(extend("enum" = [
        "nothing to propose", "unchanged", "turned down", "foreign commit", null,
    ])))]
    pub reason: Option<&'static str>,
    /// Its branch.
    pub branch: &'static str,
    /// Its number, where there is one.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub number: Option<u64>,
    /// Its page.
    pub url: Option<String>,
    /// False where it only would be.
    pub done: bool,
}
