//! The command line of `cargo xtask`: `--help` is the table of contents of all release programs.
//!
//! The verbs that compile more than the offline ones belong to programs of their own, which also parse their arguments;
//! here they are a name, a summary and the arguments to pass on.

use std::ffi::OsString;

use clap::{Args, Subcommand};

use xtask_host::program;
use xtask_pins::verify_pins::VerifyPinsArgs;

/// The command line.
pub type Cli = program::Cli<Verb>;

/// The verbs.
#[derive(Debug, Clone, Subcommand)]
pub enum Verb {
    /// Check the cloud-init file, the compose file, the pins and the versions
    Check(Delegated),
    /// List, build or push the images that the compose file builds
    #[command(subcommand)]
    Images(ImagesVerb),
    /// Write the digests of the images into the compose file
    Pin(Delegated),
    /// Give the tree the version of the next release: manifests, changelog, tags of the images
    Prepare(PrepareArgs),
    /// Verify that everything is pinned, and that the pins still hold
    VerifyPins(VerifyPinsArgs),
    /// Read the pinned images whole, and hold them to what our files rely on in them
    VerifyImages(Delegated),
    /// Download what the VM downloads and compare the checksums
    VerifyChecksums(Delegated),
    /// Move pins to another version: find it, download, hash, edit in place
    Update(Delegated),
    /// Write the generated parts of the documentation
    Docs(DocsArgs),
    /// Verify all pins and keep one GitHub issue in step with what is found; or propose newer ones
    Drift(Delegated),
    /// Build the CLI and put what a release publishes into dist/
    Dist(Delegated),
    /// Plan a release; with --execute or --rehearse, run it
    Release(Delegated),
    /// Start a machine by hand on which `polis` can be tried: real cloud-init, systemd and Docker
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

/// Arguments that another program parses, `--help` included.
#[derive(Debug, Clone, Args)]
#[command(disable_help_flag = true)]
pub struct Delegated {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    args: Vec<OsString>,
}

impl Delegated {
    /// Whether progress is off, also where `--quiet` comes after an argument that only the other program knows.
    pub fn is_quiet(&self) -> bool {
        self.args.iter().any(|arg| arg == "--quiet" || arg == "-q")
    }
}

/// Arguments of `prepare`.
#[derive(Debug, Clone, Args)]
pub struct PrepareArgs {
    /// The version to release next [default: the one of Cargo.toml]
    pub version: Option<String>,
    /// Change nothing; exit 1 when something would change
    #[arg(long)]
    pub check: bool,
}

/// Arguments of `docs`.
#[derive(Debug, Clone, Args)]
pub struct DocsArgs {
    /// Change nothing; exit 1 when a page is not what the tree says
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
