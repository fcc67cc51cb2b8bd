//! The input and output of a release: types that all stages share.

use std::path::PathBuf;

use semver::Version;

use xtask_build::images::Image;
use xtask_dist::{Archives, ReleaseFile, ReleaseKind};
use xtask_online::args::Until;
use xtask_online::github::{GitHub, Release};
use xtask_online::registry::Registry;

use super::sandbox::Sandbox;

/// What is to be released, and from what.
#[derive(Debug)]
pub(crate) struct Order {
    /// A release or a rehearsal of one.
    pub(crate) kind: ReleaseKind,
    /// The version.
    pub(crate) version: Version,
    /// The targets that it has an archive for.
    pub(crate) targets: Vec<String>,
    /// Where the archives come from.
    pub(crate) archives: Archives,
    /// The OCI image layout to take the images from, instead of building them.
    pub(crate) layout: Option<PathBuf>,
    /// Where its files are written.
    pub(crate) dist: PathBuf,
    /// How far it goes.
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

/// The servers that a release talks to.
pub(crate) struct Clients {
    pub(super) github: GitHub,
    pub(super) registry: Registry,
    /// The registry as users ask it, without a login.
    pub(super) anonymous: Registry,
}

/// What came of a release.
#[derive(Debug)]
pub(crate) struct Released {
    /// The images.
    pub(crate) images: Vec<Image>,
    /// The files.
    pub(crate) assets: Vec<ReleaseFile>,
    /// The release on GitHub, where it went that far.
    pub(crate) release: Option<Release>,
    /// Whether the signing key has a password; `None` where nothing was signed.
    pub(crate) protected: Option<bool>,
    /// What a person should know.
    pub(crate) warnings: Vec<String>,
}
