//! Arguments of the verbs that build what a release publishes.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use xtask_host::program;

/// The verbs of this program; `cargo xtask` shows their summaries.
#[derive(Debug, Clone, Subcommand)]
pub enum Verb {
    /// Build what a release publishes into dist/
    Dist(DistArgs),
    /// Build the images of the compose file
    #[command(subcommand)]
    Images(ImagesVerb),
}

impl program::Verb for Verb {
    fn name(&self) -> &'static str {
        match self {
            Self::Dist(_) => "dist",
            Self::Images(ImagesVerb::Build(_)) => "images build",
        }
    }

    fn has_findings(&self) -> bool {
        false
    }
}

/// The verbs under `images`.
#[derive(Debug, Clone, Subcommand)]
pub enum ImagesVerb {
    /// Build the images into an OCI image layout
    Build(ImagesBuildArgs),
}

/// Arguments of `images build`.
#[derive(Debug, Clone, Args)]
pub struct ImagesBuildArgs {
    /// Where to write the OCI image layout [default: target/images]
    #[arg(long, value_name = "DIR")]
    pub output: Option<PathBuf>,
}

/// Arguments of `dist`.
#[derive(Debug, Clone, Args)]
pub struct DistArgs {
    /// Rust targets of the CLI, repeated or separated by commas [default: this machine's; with --prebuilt, those of a
    /// release]
    #[arg(
        long = "target",
        visible_alias = "targets",
        value_name = "TRIPLE",
        value_delimiter = ','
    )]
    pub targets: Vec<String>,
    /// Build only the archives, without checksums and signature: for CI jobs that build one target
    #[arg(long)]
    pub archive_only: bool,
    /// Take the CLI archives from this directory instead of building them
    #[arg(long, value_name = "DIR", conflicts_with = "archive_only")]
    pub prebuilt: Option<PathBuf>,
    /// The OCI image layout of our images, so that the manifest lists their platforms as in a release
    #[arg(long, value_name = "DIR", conflicts_with = "archive_only")]
    pub images: Option<PathBuf>,
    /// Build everything but the signature, for a job without the key
    #[arg(long, conflicts_with = "archive_only")]
    pub unsigned: bool,
    /// Accept the tree as it is, and mark all names and the signature as a rehearsal
    #[arg(long)]
    pub rehearsal: bool,
    /// Where to write the files [default: dist]
    #[arg(long, value_name = "DIR")]
    pub output: Option<PathBuf>,
}
