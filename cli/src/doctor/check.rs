//! The result of one check.

use serde::Serialize;

use crate::error::cut;
use crate::instance::named;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum CheckStatus {
    Ok,
    Warn,
    Fail,
    /// Not checked, because of another failure or on this system.
    Skipped,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Check {
    pub(crate) name: &'static str,
    pub(crate) verdict: CheckStatus,
    pub(crate) detail: String,
    /// How to fix it.
    #[serde(skip_serializing_if = "Option::is_none")]
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
