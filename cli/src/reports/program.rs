//! The reports of the commands about the program itself.

#[cfg(test)]
use schemars::JsonSchema;
use serde::Serialize;

use super::Digest;

/// The result of `version`; every document contains the version itself.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
pub(crate) struct Version {
    /// The digest of the embedded compose file.
    pub(crate) compose: Digest,
    /// The digest of the embedded cloud-init file.
    pub(crate) cloud_init: Digest,
    /// The digest of the embedded bundle, a tar.
    pub(crate) bundle: Digest,
    /// The minisign key with which `update` verifies releases; null if the program was built without one.
    pub(crate) key: Option<String>,
}

/// The result of `update`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
pub(crate) struct Update {
    /// The version of the program that ran.
    pub(crate) current: String,
    /// The version of the release that was found; its signature is valid.
    pub(crate) release: String,
    /// Whether the release is newer.
    pub(crate) newer: bool,
    /// Whether the program was replaced by the release.
    pub(crate) updated: bool,
    /// The path of the program; null with `--check`.
    pub(crate) program: Option<String>,
}
