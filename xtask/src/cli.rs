//! The command line, whole: `cargo xtask --help` is the table of contents.
//!
//! All release programs parse these same definitions. `xtask` answers the offline verbs itself
//! and hands the others, with the same arguments, to the crate that compiles what they need.

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::parser::ValueSource;
use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum};

use xtask_host::options::Global;
use xtask_host::secrets;

/// The release tools of Polis.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    version,
    after_help = EXIT_CODES,
    disable_help_subcommand = true
)]
pub struct Cli {
    /// What every verb understands.
    #[command(flatten)]
    pub global: Global,
    /// The verb.
    #[command(subcommand)]
    pub verb: Verb,
}

const EXIT_CODES: &str = "\
Exit codes:
  0    everything is as it should be
  1    findings: something in the tree is wrong
  2    drift: the world serves something other than what is pinned
  3    network or credentials: something could not be verified
  4    usage
  5    this machine could not do its part: a program failed, a disk is full
  130  interrupted
Of several, the most severe counts: 5, 4, 1, 2, 3.";

/// The verbs.
#[derive(Debug, Clone, Subcommand)]
pub enum Verb {
    /// Check the cloud-init file, the compose file, the pins and the versions
    Check(CheckArgs),
    /// List, build or push the images that the compose file builds
    #[command(subcommand)]
    Images(ImagesVerb),
    /// Write the digests of the images into the compose file
    Pin(PinArgs),
    /// Give the tree the version of the next release: manifests, changelog, tags of the images
    Prepare(PrepareArgs),
    /// Verify that everything is pinned, and that the pins still hold
    VerifyPins(VerifyPinsArgs),
    /// Read the pinned images whole, and hold them to what our files rely on in them
    VerifyImages(VerifyImagesArgs),
    /// Download what the VM downloads and compare the checksums
    VerifyChecksums,
    /// Move pins to another version: find it, download, hash, edit in place
    #[command(subcommand)]
    Update(UpdateVerb),
    /// Write the generated parts of the documentation
    Docs(DocsArgs),
    /// Verify all pins and keep one GitHub issue in step with what is found; or propose newer ones
    Drift(DriftArgs),
    /// Build the CLI and put what a release publishes into dist/
    Dist(DistArgs),
    /// Plan a release; with --execute or --rehearse, run it
    Release(ReleaseArgs),
    /// Start a machine by hand on which `polis` can be tried: real cloud-init, systemd and Docker
    #[command(subcommand)]
    Lab(LabVerb),
    /// Run everything that must pass: checks, lints and all tests
    Ci(CiArgs),
    /// Prepare a developer's machine: test tools, cargo-nextest, a pre-commit hook
    Setup(SetupArgs),
}

/// Arguments of `check`.
#[derive(Debug, Clone, Default, Args)]
pub struct CheckArgs {
    /// Judge only these [default: everything]
    #[arg(value_name = "FILE", value_parser = [xtask_pins::pins_env::CLOUD_INIT, xtask_pins::compose::PATH])]
    pub files: Vec<String>,
    /// Leave shellcheck out: it takes longer than all the rest
    #[arg(long)]
    pub no_shell: bool,
    /// The day on which waivers are judged [default: today, UTC]
    #[arg(long, value_name = "YYYY-MM-DD")]
    pub today: Option<String>,
}

/// The verbs under `images`.
#[derive(Debug, Clone, Subcommand)]
pub enum ImagesVerb {
    /// List the images of the compose file, built and pulled
    List,
    /// Build the images into an OCI image layout
    Build(ImagesBuildArgs),
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

/// Arguments of `images build`.
#[derive(Debug, Clone, Args)]
pub struct ImagesBuildArgs {
    /// Where the OCI image layout is written [default: target/images]
    #[arg(long, value_name = "DIR")]
    pub output: Option<PathBuf>,
}

/// Arguments of `pin`.
#[derive(Debug, Clone, Args)]
pub struct PinArgs {
    /// Change nothing; exit 2 when a pin would change
    #[arg(long)]
    pub check: bool,
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

/// Arguments of `verify-pins`.
#[derive(Debug, Clone, Args)]
pub struct VerifyPinsArgs {
    /// Only what the files themselves can tell; no socket is opened
    #[arg(long)]
    pub offline: bool,
    /// Also have `cosign` verify the signatures of the images whose contracts name a signer
    #[arg(long, conflicts_with = "offline")]
    pub signatures: bool,
    /// The day on which waivers are judged [default: today, UTC]
    #[arg(long, value_name = "YYYY-MM-DD")]
    pub today: Option<String>,
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

/// Arguments of `docs`.
#[derive(Debug, Clone, Args)]
pub struct DocsArgs {
    /// Change nothing; exit 1 when a page is not what the tree says
    #[arg(long)]
    pub check: bool,
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

/// Arguments of `dist`.
#[derive(Debug, Clone, Args)]
pub struct DistArgs {
    /// The Rust targets of the CLI, repeated or separated by commas [default: this machine's, and
    /// with --prebuilt those of a release]
    #[arg(
        long = "target",
        visible_alias = "targets",
        value_name = "TRIPLE",
        value_delimiter = ','
    )]
    pub targets: Vec<String>,
    /// Only the archives: no checksums, no signature (a release runner's job for one target)
    #[arg(long)]
    pub archive_only: bool,
    /// Take the CLI archives from here instead of building them
    #[arg(long, value_name = "DIR", conflicts_with = "archive_only")]
    pub prebuilt: Option<PathBuf>,
    /// The OCI image layout of our images: the manifest then names their platforms, as in a release
    #[arg(long, value_name = "DIR", conflicts_with = "archive_only")]
    pub images: Option<PathBuf>,
    /// Everything but the signature, for a job without the key
    #[arg(long, conflicts_with = "archive_only")]
    pub unsigned: bool,
    /// Take the tree as it is, and say in every name and in the signature that it is no release
    #[arg(long)]
    pub rehearsal: bool,
    /// Where the files are written [default: dist]
    #[arg(long, value_name = "DIR")]
    pub output: Option<PathBuf>,
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
    /// The images are in the registry under their version tags, where nobody looks yet
    Pushed,
    /// Everything is public and verified
    Published,
}

/// The verbs under `lab`.
#[derive(Debug, Clone, Subcommand)]
pub enum LabVerb {
    /// Start it, unless it runs, and say how to use it
    Up,
    /// Take it down, with the machine and all that is in it
    Down,
    /// Say how it is, and how to use it
    Status,
    /// Be the lab until the process is ended: what `up` leaves running
    #[command(hide = true)]
    Serve,
}

/// Arguments of `ci`.
#[derive(Debug, Clone, Default, Args)]
pub struct CiArgs {
    /// Do not install missing parts; say which tests are left out
    #[arg(long)]
    pub no_install: bool,
    /// Only what an author asks after each change: format, lint, pins, check and unit tests; installs nothing
    #[arg(long, conflicts_with = "only")]
    pub quick: bool,
    /// Only this step, or several [see `--list`]
    #[arg(long, value_name = "STEP", value_parser = PossibleValuesParser::new(crate::verbs::ci::names()), hide_possible_values = true)]
    pub only: Vec<String>,
    /// Show the steps and their commands, and run none
    #[arg(long)]
    pub list: bool,
}

/// Arguments of `setup`.
#[derive(Debug, Clone, Args)]
pub struct SetupArgs {
    /// Carry out the plan instead of printing it
    #[arg(long)]
    pub yes: bool,
}

impl Cli {
    /// Reads the command line `args`, the program's name first.
    ///
    /// # Errors
    /// Those of clap, which also print help.
    pub fn read<I>(args: I) -> clap::error::Result<Self>
    where
        I: IntoIterator,
        I::Item: Into<std::ffi::OsString> + Clone,
    {
        let matches = Self::command().try_get_matches_from(args)?;
        let mut cli = Self::from_arg_matches(&matches)?;
        cli.global.endpoints_from_env =
            matches.value_source("endpoints") == Some(ValueSource::EnvVariable);
        Ok(cli)
    }
}

impl Verb {
    /// The verb as typed, for reports.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Check(_) => "check",
            Self::Images(ImagesVerb::List) => "images list",
            Self::Images(ImagesVerb::Build(_)) => "images build",
            Self::Images(ImagesVerb::Push(_)) => "images push",
            Self::Pin(_) => "pin",
            Self::Prepare(_) => "prepare",
            Self::VerifyPins(_) => "verify-pins",
            Self::VerifyImages(_) => "verify-images",
            Self::VerifyChecksums => "verify-checksums",
            Self::Update(UpdateVerb::Sysbox(_)) => "update sysbox",
            Self::Update(UpdateVerb::Yq(_)) => "update yq",
            Self::Update(UpdateVerb::Actions(_)) => "update actions",
            Self::Update(UpdateVerb::Images(_)) => "update images",
            Self::Docs(_) => "docs",
            Self::Drift(_) => "drift",
            Self::Dist(_) => "dist",
            Self::Release(_) => "release",
            Self::Lab(LabVerb::Up) => "lab up",
            Self::Lab(LabVerb::Down) => "lab down",
            Self::Lab(LabVerb::Status) => "lab status",
            Self::Lab(LabVerb::Serve) => "lab serve",
            Self::Ci(_) => "ci",
            Self::Setup(_) => "setup",
        }
    }

    /// Whether the verb checks something, so that its findings are what it is run for.
    pub fn has_findings(&self) -> bool {
        matches!(
            self,
            Self::Check(_)
                | Self::VerifyPins(_)
                | Self::VerifyImages(_)
                | Self::VerifyChecksums
                | Self::Drift(_)
        )
    }

    /// The package that answers this verb: `xtask` itself, or one that compiles more.
    pub fn package(&self) -> Package {
        match self {
            Self::Check(_) => Package::Check,
            Self::Dist(_) => Package::Dist,
            Self::Lab(_) => Package::Proof,
            Self::Images(ImagesVerb::List | ImagesVerb::Build(_))
            | Self::VerifyPins(VerifyPinsArgs { offline: true, .. })
            | Self::Docs(_)
            | Self::Prepare(_)
            | Self::Ci(_)
            | Self::Setup(_) => Package::Xtask,
            Self::Images(ImagesVerb::Push(_))
            | Self::Pin(_)
            | Self::VerifyPins(_)
            | Self::VerifyImages(_)
            | Self::VerifyChecksums
            | Self::Drift(_)
            | Self::Update(_)
            | Self::Release(_) => Package::Online,
        }
    }
}

/// A package of release verbs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Package {
    /// Offline verbs on a light tree of crates.
    Xtask,
    /// What needs the JSON Schema validator.
    Check,
    /// What makes the files of a release: archives, signatures.
    Dist,
    /// What needs the network.
    Online,
    /// What starts machines.
    Proof,
}

impl Package {
    /// The name of the package and of its program.
    pub fn name(self) -> &'static str {
        match self {
            Self::Xtask => "xtask",
            Self::Check => "xtask-check",
            Self::Dist => "xtask-dist",
            Self::Online => "xtask-online",
            Self::Proof => "polis-stack-proof",
        }
    }

    /// The secrets that its program may need.
    pub fn secrets(self) -> &'static [&'static str] {
        match self {
            Self::Xtask | Self::Check | Self::Proof => &[],
            Self::Dist => &[secrets::SIGNING_KEY, secrets::SIGNING_PASSWORD],
            Self::Online => &secrets::READ,
        }
    }
}
