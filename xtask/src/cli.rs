//! The command line of `cargo xtask`. `--help` is the table of contents of all release programs.
//!
//! Verbs that need more dependencies than the offline ones live in other programs, which also parse their arguments.
//! Here they have only a name, a summary and the arguments to pass on.

use std::ffi::OsString;

use clap::{Args, Subcommand};

use xtask_host::program;
use xtask_pins::verify_pins::VerifyPinsArgs;

/// The command line of `cargo xtask`.
pub type Cli = program::Cli<Verb>;

/// The verbs of `cargo xtask`.
#[derive(Debug, Clone, Subcommand)]
pub enum Verb {
    /// Check the cloud-init file, the compose file, the pins and the versions
    Check(Delegated),
    /// List, build or push the images that the compose file builds
    #[command(subcommand)]
    Images(ImagesVerb),
    /// Write the digests of the images into the compose file
    Pin(Delegated),
    /// Set the version of the next release: manifests, changelog heading, image tags
    Prepare(PrepareArgs),
    /// Verify that everything is pinned, and that servers still have it
    VerifyPins(VerifyPinsArgs),
    /// Read every layer of the pinned images and verify that they meet their contracts
    VerifyImages(Delegated),
    /// Download what the VM downloads and compare the checksums
    VerifyChecksums(Delegated),
    /// Update pins to another version: look it up, download, hash, edit in place
    Update(Delegated),
    /// Write the generated parts of the documentation
    Docs(DocsArgs),
    /// Verify all pins and keep one GitHub issue up to date; or open a pull request with newer versions
    Drift(Delegated),
    /// Build what a release publishes into dist/
    Dist(Delegated),
    /// Plan a release; with --execute or --rehearse, run it
    Release(Delegated),
    /// Start a machine to try `polis` on: real cloud-init, systemd and Docker
    Lab(Delegated),
    /// Run everything that must pass: checks, lints and all tests
    Ci(Delegated),
    /// Prepare a developer's machine: test tools, cargo-nextest, a pre-commit hook
    Setup(Delegated),
    /// Measure the figures that we promise, and compare them with their limits
    Bench(Delegated),
}

/// The verbs under `images`.
#[derive(Debug, Clone, Subcommand)]
pub enum ImagesVerb {
    /// List the images of the compose file, built and pulled
    List,
    /// Build the images into an OCI image layout
    Build(Delegated),
    /// Build the images and push them to their registry
    Push(Delegated),
}

/// Arguments that another program parses, including `--help`.
#[derive(Debug, Clone, Args)]
#[command(disable_help_flag = true)]
pub struct Delegated {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    args: Vec<OsString>,
}

impl Delegated {
    /// Whether progress is off, even if `--quiet` follows an argument that only the other program knows.
    pub fn is_quiet(&self) -> bool {
        self.args.iter().any(|arg| arg == "--quiet" || arg == "-q")
    }
}

/// Arguments of `prepare`.
#[derive(Debug, Clone, Args)]
pub struct PrepareArgs {
    /// The version of the next release [default: the one in Cargo.toml]
    pub version: Option<String>,
    /// Change nothing; exit 1 if something would change
    #[arg(long)]
    pub check: bool,
}

/// Arguments of `docs`.
#[derive(Debug, Clone, Args)]
pub struct DocsArgs {
    /// Change nothing; exit 1 if a generated page is stale
    #[arg(long)]
    pub check: bool,
}

impl program::Verb for Verb {
    fn name(&self) -> &'static str {
        match self {
            Self::Check(_) => "check",
            Self::Images(ImagesVerb::List) => "images list",
            Self::Images(ImagesVerb::Build(_)) => "images build",
            Self::Images(ImagesVerb::Push(_)) => "images push",
            Self::Pin(_) => "pin",
            Self::Prepare(_) => "prepare",
            Self::VerifyPins(_) => "verify-pins",
            Self::VerifyImages(_) => "verify-images",
            Self::VerifyChecksums(_) => "verify-checksums",
            Self::Update(_) => "update",
            Self::Docs(_) => "docs",
            Self::Drift(_) => "drift",
            Self::Dist(_) => "dist",
            Self::Release(_) => "release",
            Self::Lab(_) => "lab",
            Self::Ci(_) => "ci",
            Self::Setup(_) => "setup",
            Self::Bench(_) => "bench",
        }
    }

    fn has_findings(&self) -> bool {
        matches!(self, Self::VerifyPins(_))
    }
}
