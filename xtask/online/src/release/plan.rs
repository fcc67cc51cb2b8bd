//! The plan of a release: decided purely, printed as it is, and executed exactly.
//!
//! `cargo xtask release` prints it and changes nothing. `--execute` and `--rehearse` walk the
//! same steps with the same code; a rehearsal only adds the steps that build its world.

use polis_base::ImageRef;
use semver::Version;
use serde_json::{Value, json};

use xtask::compose::Compose;
use xtask::error::{Error, Result};
use xtask::pins::Inventory;
use xtask::pins_env::Download;
use xtask_dist::RELEASE_TARGETS;

/// The registry that a rehearsal's images name: `.invalid` can exist nowhere (RFC 2606).
pub(crate) const REHEARSAL_REGISTRY: &str = "rehearsal.invalid";

/// How a plan is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Against the real registry and the real GitHub.
    Execute,
    /// In a scratch copy, against servers on loopback.
    Rehearse,
}

/// A stage: steps that belong together and have one heading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Only in a rehearsal: the scratch copy and the servers.
    Scene,
    /// Everything that can be refused before anything is changed.
    Preflight,
    /// The offline checks.
    Check,
    /// What the VM downloads.
    Checksums,
    /// Build and push.
    Images,
    /// Digests into the compose file.
    Pin,
    /// Archives, checksums, signature.
    Dist,
    /// The draft release.
    Draft,
    /// Its assets.
    Upload,
    /// Download again and compare.
    Verify,
    /// Make it public.
    Publish,
    /// Move `latest`.
    Promote,
}

impl Stage {
    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Scene => "scene",
            Self::Preflight => "preflight",
            Self::Check => "check",
            Self::Checksums => "checksums",
            Self::Images => "images",
            Self::Pin => "pin",
            Self::Dist => "dist",
            Self::Draft => "draft",
            Self::Upload => "upload",
            Self::Verify => "verify",
            Self::Publish => "publish",
            Self::Promote => "promote",
        }
    }
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// Copy the tree and point its images at a registry that exists nowhere.
    CopyTree,
    /// Start the registry, the GitHub API and the file server on loopback.
    StartServers,
    /// Push a labelled placeholder for an image that somebody else publishes.
    PushPlaceholder(ImageRef),
    /// The work tree is committed and clean.
    CleanTree,
    /// No image is waived.
    NoWaivers,
    /// The signing key is there and is the one whose public half is in the tree.
    SigningKey,
    /// The token for GitHub and the registry is there.
    Token,
    /// Run `check`.
    Check,
    /// Download a file and compare its checksum.
    HashDownload {
        /// The file: tool and architecture.
        what: String,
        /// Where it is served.
        url: String,
    },
    /// Build the images into an OCI layout.
    BuildImages,
    /// Push an image under its version tag.
    PushImage(ImageRef),
    /// Every image resolves to the digest in the compose file; a rehearsal writes them there.
    Pin(usize),
    /// Write `dist/`.
    Dist(Vec<String>),
    /// Create the draft release of a tag, or take up the one that is there.
    Draft(String),
    /// Upload what `dist/` holds.
    Upload,
    /// Download every asset and compare it.
    VerifyAssets,
    /// Resolve a pushed image and compare its digest.
    VerifyImage(ImageRef),
    /// Make the release public.
    Publish(String),
    /// Move the tag `latest` of an image, by digest, never backwards.
    Promote(ImageRef),
}

impl Step {
    /// The stage it belongs to.
    pub(crate) fn stage(&self) -> Stage {
        match self {
            Self::CopyTree | Self::StartServers | Self::PushPlaceholder(_) => Stage::Scene,
            Self::CleanTree | Self::NoWaivers | Self::SigningKey | Self::Token => Stage::Preflight,
            Self::Check => Stage::Check,
            Self::HashDownload { .. } => Stage::Checksums,
            Self::BuildImages | Self::PushImage(_) => Stage::Images,
            Self::Pin(_) => Stage::Pin,
            Self::Dist(_) => Stage::Dist,
            Self::Draft(_) => Stage::Draft,
            Self::Upload => Stage::Upload,
            Self::VerifyAssets | Self::VerifyImage(_) => Stage::Verify,
            Self::Publish(_) => Stage::Publish,
            Self::Promote(_) => Stage::Promote,
        }
    }

    /// What it does, in one line.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::CopyTree => "copy the tree to a scratch directory and point its images at a registry that exists nowhere".into(),
            Self::StartServers => "start an OCI registry, a GitHub Releases API and a file server on loopback".into(),
            Self::PushPlaceholder(image) => format!("push a placeholder for {image}"),
            Self::CleanTree => "require a clean work tree at the commit that is released".into(),
            Self::NoWaivers => "require that no image is waived".into(),
            Self::SigningKey => "require the signing key whose public half is `minisign.pub`".into(),
            Self::Token => "require a token for GitHub and the registry".into(),
            Self::Check => "check the cloud-init file, the compose file, the pins and the versions".into(),
            Self::HashDownload { what, url } => format!("download {what} and compare its checksum: {url}"),
            Self::BuildImages => "build the images of the compose file into an OCI layout".into(),
            Self::PushImage(image) => format!("push {image}"),
            Self::Pin(count) => format!("resolve {count} images and compare them with the compose file"),
            Self::Dist(targets) => format!("write dist/: the CLI for {}, checksums, signature", targets.join(", ")),
            Self::Draft(tag) => format!("create the draft release {tag}"),
            Self::Upload => "upload the files of dist/, each by name".into(),
            Self::VerifyAssets => "download every asset and compare its bytes".into(),
            Self::VerifyImage(image) => format!("resolve {image} and compare its digest"),
            Self::Publish(tag) => format!("publish the release {tag}"),
            Self::Promote(image) => format!("move {}:latest to the released digest, never backwards", image.name()),
        }
    }
}

/// A release as it will be run.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// The version.
    pub(crate) version: Version,
    /// How it is run.
    pub(crate) mode: Mode,
    /// The steps, in order.
    pub(crate) steps: Vec<Step>,
}

/// What a plan is made from.
#[derive(Debug)]
pub(crate) struct Inputs<'a> {
    /// The version of the tree.
    pub(crate) version: &'a Version,
    /// Its compose file.
    pub(crate) compose: &'a Compose,
    /// What the VM downloads.
    pub(crate) downloads: &'a [Download],
    /// The targets that the CLI is built for; `None` for those of a release.
    pub(crate) targets: Option<Vec<String>>,
}

impl Plan {
    /// Plans the release of `inputs` in `mode`.
    ///
    /// # Errors
    /// When an image value of the compose file cannot be read.
    pub(crate) fn new(mode: Mode, inputs: &Inputs<'_>) -> Result<Self> {
        let here = |image: ImageRef| match mode {
            Mode::Execute => image,
            Mode::Rehearse => image.with_registry(REHEARSAL_REGISTRY),
        };
        let built = inputs.compose.built()?;
        let built: Vec<ImageRef> = built.into_iter().map(|built| here(built.image)).collect();
        let pulled = Inventory::of_stack(inputs.compose, Vec::new()).to_resolve()?;
        let pulled: Vec<ImageRef> = pulled.into_iter().map(here).collect();
        let tag = format!("v{}", inputs.version);
        let targets = inputs
            .targets
            .clone()
            .unwrap_or_else(|| RELEASE_TARGETS.map(str::to_owned).to_vec());
        let mut steps = match mode {
            Mode::Execute => vec![
                Step::CleanTree,
                Step::NoWaivers,
                Step::SigningKey,
                Step::Token,
            ],
            Mode::Rehearse => {
                let placeholders = pulled.iter().cloned().map(Step::PushPlaceholder);
                [Step::CopyTree, Step::StartServers]
                    .into_iter()
                    .chain(placeholders)
                    .collect()
            }
        };
        steps.push(Step::Check);
        steps.extend(inputs.downloads.iter().map(|download| Step::HashDownload {
            what: format!(
                "{} {} for {}",
                download.tool, download.version, download.architecture
            ),
            url: download.url.clone(),
        }));
        steps.push(Step::BuildImages);
        steps.extend(built.iter().cloned().map(Step::PushImage));
        steps.push(Step::Pin(built.len() + pulled.len()));
        steps.extend([
            Step::Dist(targets),
            Step::Draft(tag.clone()),
            Step::Upload,
            Step::VerifyAssets,
        ]);
        steps.extend(built.iter().cloned().map(Step::VerifyImage));
        steps.push(Step::Publish(tag));
        if inputs.version.pre.is_empty() {
            steps.extend(built.into_iter().map(Step::Promote));
        }
        Ok(Self {
            version: inputs.version.clone(),
            mode,
            steps,
        })
    }

    /// The plan as lines under the headings of its stages.
    pub(crate) fn to_text(&self) -> String {
        let mut text = format!("Release {} of Polis\n", self.version);
        let mut stage = None;
        for (at, step) in self.steps.iter().enumerate() {
            if stage != Some(step.stage()) {
                stage = Some(step.stage());
                text.push_str(&format!("\n{}\n", step.stage().name()));
            }
            text.push_str(&format!("  {:>2}. {}\n", at + 1, step.describe()));
        }
        text
    }

    /// The plan in a JSON report.
    pub(crate) fn to_json(&self) -> Value {
        let steps: Vec<Value> = self
            .steps
            .iter()
            .map(|step| json!({"stage": step.stage().name(), "does": step.describe()}))
            .collect();
        json!({"version": self.version.to_string(), "steps": steps})
    }
}

/// The version to release: the one of the tree, which a given one must name.
///
/// # Errors
/// When the given one is no version or another one.
pub(crate) fn version(given: Option<&str>, tree: &Version) -> Result<Version> {
    let Some(text) = given else {
        return Ok(tree.clone());
    };
    let given: Version = text.trim_start_matches('v').parse().map_err(|error| {
        Error::usage(format!("`{text}` is no version")).because(format!("{error}"))
    })?;
    if given == *tree {
        Ok(given)
    } else {
        Err(
            Error::usage(format!("this tree is version {tree}, not {given}")).hint(format!(
                "set the version in Cargo.toml and write a section `## {given}` into CHANGELOG.md"
            )),
        )
    }
}
