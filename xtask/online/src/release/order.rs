//! The input and output of a release: types that all stages share.

use std::path::PathBuf;

use semver::Version;

use xtask_build::images::Image;
use xtask_dist::{Archives, ReleaseFile, ReleaseKind};
use xtask_online::args::Until;
use xtask_online::github::{GitHub, Release};
use xtask_online::registry::Registry;

use super::sandbox::Sandbox;

/// What to release, and from which inputs.
#[derive(Debug)]
pub(crate) struct Order {
    /// A release or a rehearsal of one.
    pub(crate) kind: ReleaseKind,
    /// The version.
    pub(crate) version: Version,
    /// The targets of the CLI archives.
    pub(crate) targets: Vec<String>,
    /// The source of the archives.
    pub(crate) archives: Archives,
    /// The OCI image layout to take the images from, instead of building them.
    pub(crate) layout: Option<PathBuf>,
    /// The output directory for the files.
    pub(crate) dist: PathBuf,
    /// The last stage.
    pub(crate) until: Until,
    /// The rehearsal's servers and credentials.
    pub(crate) sandbox: Option<Sandbox>,
}

impl Order {
    /// The git tag.
    pub(crate) fn tag(&self) -> String {
        format!("v{}", self.version)
    }
}

/// The clients of a release.
pub(crate) struct Clients {
    pub(super) github: GitHub,
    pub(super) registry: Registry,
    /// The registry as users access it, without credentials.
    pub(super) anonymous: Registry,
}

/// The result of a release.
#[derive(Debug)]
pub(crate) struct Released {
    /// The images.
    pub(crate) images: Vec<Image>,
    /// The files.
    pub(crate) assets: Vec<ReleaseFile>,
    /// The release on GitHub, if it got that far.
    pub(crate) release: Option<Release>,
    /// Whether the signing key has a password; `None` if nothing was signed.
    pub(crate) protected: Option<bool>,
    /// Warnings for the user.
    pub(crate) warnings: Vec<String>,
}
