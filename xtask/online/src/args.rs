//! Arguments of the verbs that need the network.

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
    /// Verify that everything is pinned, and that servers still have it
    VerifyPins(VerifyPinsArgs),
    /// Read every layer of the pinned images and verify that they meet their contracts
    VerifyImages(VerifyImagesArgs),
    /// Download what the VM downloads and compare the checksums
    VerifyChecksums,
    /// Update pins to another version: look it up, download, hash, edit in place
    #[command(subcommand)]
    Update(UpdateVerb),
    /// Verify all pins and keep one GitHub issue up to date; or open a pull request with newer versions
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
    /// Push images even if they lack a platform or are linked against this machine's C library
    #[arg(long)]
    pub partial: bool,
}

/// Arguments of `pin`.
#[derive(Debug, Clone, Args)]
pub struct PinArgs {
    /// Change nothing; exit 2 if a pin would change
    #[arg(long)]
    pub check: bool,
}

/// Arguments of `verify-images`.
#[derive(Debug, Clone, Default, Args)]
pub struct VerifyImagesArgs {
    /// Only these images, by the names of their contracts: `gate` is compose/images/gate.yaml [default: all]
    #[arg(value_name = "IMAGE")]
    pub images: Vec<String>,
    /// The date on which waivers are checked for expiry [default: today, UTC]
    #[arg(long, value_name = "YYYY-MM-DD")]
    pub today: Option<String>,
}

/// What to update.
#[derive(Debug, Clone, Subcommand)]
pub enum UpdateVerb {
    /// The container runtime of the workspace, on every architecture
    Sysbox(UpdateArgs),
    /// The YAML processor, on every architecture
    Yq(UpdateArgs),
    /// All actions of the workflows, by commit; only one with --only
    Actions(UpdateSomeArgs),
    /// All images that other projects publish, by digest; only one with --only
    Images(UpdateSomeArgs),
}

/// Arguments of `update sysbox` and `update yq`.
#[derive(Debug, Clone, Args)]
pub struct UpdateArgs {
    /// The version to update to, which may be older [default: the newest that is not a prerelease]
    pub version: Option<String>,
    /// Take no version that is younger than this many days, because bad ones are often found within days [default: 7
    /// for tools and actions, unless a version is given]
    #[arg(long, value_name = "DAYS", conflicts_with = "version", value_parser = clap::value_parser!(u16).range(..=3650))]
    pub min_age: Option<u16>,
    /// Change nothing; exit 2 if a pin would change
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
    /// Change nothing on GitHub; print what would be done
    #[arg(long)]
    pub dry_run: bool,
    /// Keep one pull request up to date with what `update` would change, instead of the issue
    #[arg(long)]
    pub pull_request: bool,
    /// Propose no version of a tool or an action that is younger than this many days [default: 7]
    #[arg(long, value_name = "DAYS", requires = "pull_request", value_parser = clap::value_parser!(u16).range(..=3650))]
    pub min_age: Option<u16>,
}

/// Arguments of `release`.
#[derive(Debug, Clone, Args)]
pub struct ReleaseArgs {
    /// The version to release; must be the one in Cargo.toml [default: that one]
    pub version: Option<String>,
    /// Run the plan for real
    #[arg(long, conflicts_with = "rehearse")]
    pub execute: bool,
    /// Run the plan in a scratch copy against servers on loopback
    #[arg(long)]
    pub rehearse: bool,
    /// Take the CLI archives from this directory instead of building them
    #[arg(long, value_name = "DIR", conflicts_with = "assembled")]
    pub prebuilt: Option<PathBuf>,
    /// Take the files that `dist --unsigned` assembled; they must be what this tree produces
    #[arg(long, value_name = "DIR")]
    pub assembled: Option<PathBuf>,
    /// Take the images from this OCI image layout instead of building them
    #[arg(long, value_name = "DIR")]
    pub images: Option<PathBuf>,
    /// Release the CLI for these targets only [default: all; for a rehearsal: this machine's]
    #[arg(long, value_name = "TRIPLES", value_delimiter = ',')]
    pub targets: Vec<String>,
    /// The last stage to run
    #[arg(long, value_enum, default_value_t = Until::Published)]
    pub until: Until,
}

/// How far a release goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Until {
    /// The images are in the registry under their version tags; nothing refers to them yet
    Pushed,
    /// Everything is public and verified
    Published,
}
