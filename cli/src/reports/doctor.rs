//! The report of `doctor`.

#[cfg(test)]
use schemars::JsonSchema;
use serde::Serialize;

use crate::doctor::Check;

/// The result of `doctor`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
pub(crate) struct Diagnosis {
    /// Whether no check failed.
    pub(crate) healthy: bool,
    /// The checks, in the order in which a person would fix what they find.
    pub(crate) checks: Vec<Check>,
    /// What `--fix` repaired; absent without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "Vec<Repair>"))]
    pub(crate) fixes: Option<Vec<Repair>>,
}

/// A problem that `--fix` can repair.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
pub(crate) struct Repair {
    /// The problem and its repair.
    pub(crate) what: String,
    /// False if the user has not agreed.
    pub(crate) mended: bool,
}
