//! The result of one check.

use serde::Serialize;

use crate::error::cut;
use crate::instance::named;

/// The verdict of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) enum CheckStatus {
    /// Nothing to do.
    Ok,
    /// It may cause a problem.
    Warn,
    /// It has to be fixed.
    Fail,
    /// Not checked, because of another failure or on this system.
    Skipped,
}

/// The result of one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Check {
    /// What was checked.
    #[cfg_attr(test, schemars(extend("enum" = [
        "installed", "version", "daemon", "authenticated", "instance", "disk", "vm-disk", "memory", "virtualisation",
        "architecture", "network", "proxy", "known-trouble",
    ])))]
    pub(crate) name: &'static str,
    pub(crate) verdict: CheckStatus,
    /// What was found.
    pub(crate) detail: String,
    /// How to fix it; absent if nothing is to be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "String"))]
    pub(crate) fix: Option<String>,
}

impl Check {
    pub(super) fn new(name: &'static str, verdict: CheckStatus, detail: impl Into<String>) -> Self {
        Self {
            name,
            verdict,
            detail: cut(&detail.into()),
            fix: None,
        }
    }

    pub(super) fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(cut(&named(&fix.into())));
        self
    }
}
