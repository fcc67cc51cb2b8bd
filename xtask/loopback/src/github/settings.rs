//! What an owner sets on GitHub's pages, and what a test lets the server do; kept in
//! `settings.json`.

use serde::{Deserialize, Serialize};

/// What `GET /repos/OWNER/REPO/immutable-releases` answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Probe {
    /// 403, as to the token of a workflow, which cannot have the permission that it takes.
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
    /// Whether a release becomes immutable when it is published.
    pub(super) immutable: bool,
    /// Whether the token may push.
    pub(super) push: bool,
    pub(super) probe: Probe,
    /// Whether users have a `gravatar_id`, which may be null by GitHub's description.
    pub(super) gravatar: bool,
    /// Whether the labels of an issue are names alone, which GitHub's description allows too.
    pub(super) plain_labels: bool,
    /// Whether the token may change workflows.
    pub(super) workflows: bool,
    /// Whether a subject without attestations is answered with an empty list, and not 404.
    pub(super) empty_list: bool,
    /// How many requests for the attestation of a release find none, though there is one.
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
