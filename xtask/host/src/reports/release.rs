//! The data of the verbs that check, build and release, and of those for a developer's machine.

use std::collections::BTreeMap;

#[cfg(feature = "schema")]
use schemars::JsonSchema;
use serde::Serialize;

use super::ImageName;
pub use super::network::Digest;

/// A SHA-256 as sha256sum prints it.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
pub struct Hex(#[cfg_attr(feature = "schema", schemars(regex(pattern = "^[0-9a-f]{64}$")))] String);

impl Hex {
    /// The text of `digest`.
    pub fn of(digest: polis_base::Digest) -> Self {
        Self(digest.hex())
    }
}

/// The data of `check`.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema), schemars(deny_unknown_fields))]
pub struct Checked {
    /// The version of cloud-init whose validator also checked the file; null if it did not.
    pub official_cloud_init: Option<String>,
}

/// The data of `images build` and `images push`.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema), schemars(deny_unknown_fields))]
pub struct BuiltImages {
    /// The directory of the OCI image layout.
    pub layout: String,
    /// The images.
    pub images: Vec<BuiltImage>,
}

/// A built image, and the platforms for which it could not be built.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema), schemars(deny_unknown_fields))]
pub struct BuiltImage {
    /// Its name.
    pub image: ImageName,
    /// The digest of its index.
    pub digest: Option<Digest>,
    /// The platforms for which it was built.
    pub platforms: Vec<String>,
    /// The platforms for which it was not built.
    pub left_out: Vec<LeftOut>,
}

/// A platform for which an image was not built.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema), schemars(deny_unknown_fields))]
pub struct LeftOut {
    /// The platform, as in `linux/arm64`.
    pub platform: String,
    /// Why it was not built.
    pub reason: String,
}

/// The data of `dist`.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema), schemars(deny_unknown_fields))]
pub struct Dist {
    /// The purpose of the files.
    #[cfg_attr(feature = "schema", schemars(extend("enum" = ["release", "rehearsal"])))]
    pub kind: &'static str,
    /// The commit from which they were built.
    pub commit: String,
    /// Whether they are signed.
    pub signed: bool,
    /// The directory of the files.
    pub directory: String,
    /// The files.
    pub assets: Vec<Asset>,
    /// Whether the signing key has a password; absent if nothing was signed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "bool"))]
    pub signing_key_protected: Option<bool>,
}

/// A file of a release.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema), schemars(deny_unknown_fields))]
pub struct Asset {
    /// Its name.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
    /// Its digest.
    pub sha256: Hex,
}

/// A release that was only planned.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema), schemars(deny_unknown_fields))]
pub struct Plan {
    /// The version.
    pub version: String,
    /// The targets of the CLI.
    pub targets: Vec<String>,
    /// What each stage would do.
    pub steps: Vec<PlanStep>,
    /// Why the release would not start.
    pub refusals: Vec<String>,
    /// Everything that would stop `--execute` now: the refusals, and a missing tag, key or token.
    pub blockers: Vec<String>,
    /// Notes for the maintainer, and what could not be checked.
    pub notes: Vec<String>,
}

/// What a stage of a release would do to one thing.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema), schemars(deny_unknown_fields))]
pub struct PlanStep {
    /// The stage.
    #[cfg_attr(feature = "schema", schemars(extend("enum" = ["push", "draft", "upload", "publish", "promote"])))]
    pub stage: &'static str,
    /// The thing.
    pub what: String,
    /// What would be done to it.
    #[cfg_attr(feature = "schema", schemars(extend("enum" = ["skip", "create", "replace", "refuse", "unknown"])))]
    pub action: &'static str,
    /// The reason.
    pub why: String,
}

/// A release that was run, or rehearsed.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema), schemars(deny_unknown_fields))]
pub struct Released {
    /// The version.
    pub version: String,
    /// Its tag.
    pub tag: String,
    /// Whether it was only rehearsed.
    pub rehearsal: bool,
    /// The images that this repository builds.
    pub images: Vec<BuiltImage>,
    /// The files.
    pub assets: Vec<Asset>,
    /// The directory of the files.
    pub directory: String,
    /// The targets of the CLI.
    pub targets: Vec<String>,
    /// Deviations from the plan.
    pub warnings: Vec<String>,
    /// How long each stage took.
    pub seconds: BTreeMap<String, f64>,
    /// Whether the signing key has a password; null if nothing was signed.
    pub signing_key_protected: Option<bool>,
}

/// The data of `lab`.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema), schemars(deny_unknown_fields))]
pub struct Lab {
    /// `killed` means that its process has ended and left a machine behind.
    #[cfg_attr(feature = "schema", schemars(extend("enum" = ["down", "starting", "up", "killed"])))]
    pub state: &'static str,
    /// The ID of its process.
    pub pid: Option<u32>,
    /// How to use it; null unless it is up, or was up before it was killed.
    pub ready: Option<LabReady>,
}

/// How to use the lab.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema), schemars(deny_unknown_fields))]
pub struct LabReady {
    /// The container that is the machine.
    pub machine: String,
    /// The directory of the fake Multipass: its programs and its record of calls.
    pub world: String,
    /// A file for a shell to read.
    pub environment: String,
}

/// The data of `ci`.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema), schemars(deny_unknown_fields))]
pub struct Ci {
    /// How long each step took.
    pub seconds: BTreeMap<String, f64>,
    /// The tools that are not installed, each with its purpose.
    pub left_out: Vec<String>,
}

/// The data of `ci --list`.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema), schemars(deny_unknown_fields))]
pub struct CiSteps {
    /// The steps, in their order.
    pub steps: Vec<CiStep>,
}

/// A step of `ci`.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema), schemars(deny_unknown_fields))]
pub struct CiStep {
    /// Its name.
    pub name: String,
    /// The command that runs only this step.
    pub command: String,
}

/// The data of `setup`.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema), schemars(deny_unknown_fields))]
pub struct Setup {
    /// The steps of the plan.
    pub steps: Vec<String>,
    /// Whether they were carried out.
    pub done: bool,
}

/// The data of `bench`.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema), schemars(deny_unknown_fields))]
pub struct Bench {
    /// The figures that were measured.
    pub figures: Vec<Figure>,
}

/// A figure that was measured.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema), schemars(deny_unknown_fields))]
pub struct Figure {
    /// Its name.
    pub name: &'static str,
    /// The measured value; null where it cannot be measured here.
    pub value: Option<f64>,
    /// Its unit.
    pub unit: &'static str,
    /// Its limit.
    pub limit: String,
}
