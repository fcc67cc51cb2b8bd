//! The arguments of the verbs that need the network.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use xtask_host::program;
use xtask_pins::verify_pins::VerifyPinsArgs;

/// The verbs of this program; `cargo xtask` shows their summaries.
#[derive(Debug, Clone, Subcommand)]
pub enum Verb {
    /// Build or push the images that the compose file builds
    #[command(subcommand)]
    Images(ImagesVerb),
    /// Write the digests of the images into the compose file
    Pin(PinArgs),
    /// Verify that everything is pinned, and that the pins still hold
    VerifyPins(VerifyPinsArgs),
    /// Read the pinned images whole, and hold them to what our files rely on in them
    VerifyImages(VerifyImagesArgs),
    /// Download what the VM downloads and compare the checksums
    VerifyChecksums,
    /// Move pins to another version: find it, download, hash, edit in place
    #[command(subcommand)]
    Update(UpdateVerb),
    /// Verify all pins and keep one GitHub issue in step with what is found; or propose newer ones
    Drift(DriftArgs),
    /// Plan a release; with --execute or --rehearse, run it
    Release(ReleaseArgs),
}

impl program::Verb for Verb {
    fn name(&self) -> &'static str {
        match self {
            Self::Images(ImagesVerb::Push(_)) => "images push",
            Self::Pin(_) => "pin",
            Self::VerifyPins(_) => "verify-pins",
            Self::VerifyImages(_) => "verify-images",
            Self::VerifyChecksums => "verify-checksums",
            Self::Update(UpdateVerb::Sysbox(_)) => "update sysbox",
            Self::Update(UpdateVerb::Yq(_)) => "update yq",
            Self::Update(UpdateVerb::Actions(_)) => "update actions",
            Self::Update(UpdateVerb::Images(_)) => "update images",
            Self::Drift(_) => "drift",
            Self::Release(_) => "release",
        }
    }

    fn has_findings(&self) -> bool {
        matches!(
            self,
            Self::VerifyPins(_) | Self::VerifyImages(_) | Self::VerifyChecksums | Self::Drift(_)
        )
    }
}

/// The verbs under `images`.
#[derive(Debug, Clone, Subcommand)]
pub enum ImagesVerb {
    /// Build the images and push them to their registry
    Push(ImagesPushArgs),
}

/// Arguments of `images push`.
#[derive(Debug, Clone, Args)]
pub struct ImagesPushArgs {
    /// Push even what lacks a platform, or is linked against this machine's C library
    #[arg(long)]
    pub partial: bool,
}

/// Arguments of `pin`.
#[derive(Debug, Clone, Args)]
pub struct PinArgs {
    /// Change nothing; exit 2 when a pin would change
    #[arg(long)]
    pub check: bool,
}

/// Arguments of `verify-images`.
#[derive(Debug, Clone, Default, Args)]
pub struct VerifyImagesArgs {
    /// Only these, by the names of their contracts: `gate` is compose/images/gate.yaml [default: all]
    #[arg(value_name = "IMAGE")]
    pub images: Vec<String>,
    /// The day on which waivers are judged [default: today, UTC]
    #[arg(long, value_name = "YYYY-MM-DD")]
    pub today: Option<String>,
}

/// What `update` moves.
#[derive(Debug, Clone, Subcommand)]
pub enum UpdateVerb {
    /// The container runtime of the workspace, on every architecture
    Sysbox(UpdateArgs),
    /// The YAML processor, on every architecture
    Yq(UpdateArgs),
    /// Every action of the workflows, by commit; one with --only
    Actions(UpdateSomeArgs),
    /// Every image that others publish, by digest; one with --only
    Images(UpdateSomeArgs),
}

/// Arguments of `update sysbox` and `update yq`.
#[derive(Debug, Clone, Args)]
pub struct UpdateArgs {
    /// The version to move to, also an older one [default: the newest that is no prerelease]
    pub version: Option<String>,
    /// Take no version younger than so many days: a bad one is often found in its first days [default: 7 for tools and
    /// actions, unless a version is named]
    #[arg(long, value_name = "DAYS", conflicts_with = "version", value_parser = clap::value_parser!(u16).range(..=3650))]
    pub min_age: Option<u16>,
    /// Change nothing; exit 2 when a pin would change
    #[arg(long)]
    pub check: bool,
}

/// Arguments of `update actions` and `update images`.
#[derive(Debug, Clone, Args)]
pub struct UpdateSomeArgs {
    /// The version and its options
    #[command(flatten)]
    pub update: UpdateArgs,
    /// Only this one, as the files name it: `actions/checkout`, `ghcr.io/owner/name`
    #[arg(long, value_name = "NAME")]
    pub only: Option<String>,
}

/// Arguments of `drift`.
#[derive(Debug, Clone, Args)]
pub struct DriftArgs {
    /// Change nothing on GitHub; tell what would be done
    #[arg(long)]
    pub dry_run: bool,
    /// Instead of all that: keep one pull request in step with what `update` would move
    #[arg(long)]
    pub pull_request: bool,
    /// Propose no version of a tool or an action younger than so many days [default: 7]
    #[arg(long, value_name = "DAYS", requires = "pull_request", value_parser = clap::value_parser!(u16).range(..=3650))]
    pub min_age: Option<u16>,
}

/// Arguments of `release`.
#[derive(Debug, Clone, Args)]
pub struct ReleaseArgs {
    /// The version to release; must be the one of Cargo.toml [default: that one]
    pub version: Option<String>,
    /// Run the plan for real
    #[arg(long, conflicts_with = "rehearse")]
    pub execute: bool,
    /// Run the plan in a scratch copy against servers on loopback
    #[arg(long)]
    pub rehearse: bool,
    /// Take the CLI archives from here instead of building them
    #[arg(long, value_name = "DIR", conflicts_with = "assembled")]
    pub prebuilt: Option<PathBuf>,
    /// Take the files that `dist --unsigned` has put together; they must be what this tree makes
    #[arg(long, value_name = "DIR")]
    pub assembled: Option<PathBuf>,
    /// Take the images from this OCI image layout instead of building them
    #[arg(long, value_name = "DIR")]
    pub images: Option<PathBuf>,
    /// Release the CLI for these targets only [default: all; a rehearsal: this machine's]
    #[arg(long, value_name = "TRIPLES", value_delimiter = ',')]
    pub targets: Vec<String>,
    /// How far to go
    #[arg(long, value_enum, default_value_t = Until::Published)]
    pub until: Until,
}

/// How far a release goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Until {
    /// The images are in the registry under their version tags, and nothing refers to them yet
    Pushed,
    /// Everything is public and verified
    Published,
}
