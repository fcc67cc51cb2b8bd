//! The settings of a repository, and those with which a test controls the server; stored in `settings.json`.

use serde::{Deserialize, Serialize};

/// The answer to `GET /repos/OWNER/REPO/immutable-releases`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Probe {
    /// 403, as for the token of a workflow, which cannot have the required permission.
    #[default]
    Forbidden,
    /// The setting as it is.
    Told,
    /// 404, which GitHub also answers while the setting is off.
    Missing,
}

/// The settings.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Settings {
    /// Whether publishing makes a release immutable.
    pub(super) immutable: bool,
    /// Whether the token may push.
    pub(super) push: bool,
    pub(super) probe: Probe,
    /// Whether users have a `gravatar_id`, which may be null by GitHub's description.
    pub(super) gravatar: bool,
    /// Whether the labels of an issue are plain names, which GitHub's description also allows.
    pub(super) plain_labels: bool,
    /// Whether the token may change workflows.
    pub(super) workflows: bool,
    /// Whether a subject without attestations gets an empty list, and not 404.
    pub(super) empty_list: bool,
    /// How many requests for an existing attestation of a release find none.
    #[serde(skip)]
    pub(super) attestation_lag: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            immutable: false,
            push: true,
            probe: Probe::Forbidden,
            gravatar: true,
            plain_labels: false,
            workflows: true,
            empty_list: false,
            attestation_lag: 0,
        }
    }
}
