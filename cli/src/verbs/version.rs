//! `polis version`.

use polis_base::facts::NO_KEY;

use crate::embedded;
use crate::error::{Error, Kind, Result};
use crate::output::Done;
use crate::reports::program::Version;

/// The version, the digests of the embedded files, and the key that verifies releases.
pub(crate) fn run() -> Result<Done> {
    let facts = embedded::facts().map_err(|error| {
        Error::new(Kind::Unexpected, "this program is damaged").caused_by(&error)
    })?;
    let mut text = format!("polis {}\n", facts.label);
    // The first one is the version.
    for (name, value) in facts.fields().into_iter().skip(1) {
        let shown = if value == NO_KEY { "none" } else { &value };
        text.push_str(&format!("{} {shown}\n", name.replace('_', "-")));
    }
    let report = Version {
        compose: facts.compose.into(),
        cloud_init: facts.cloud_init.into(),
        bundle: facts.bundle.into(),
        key: Some(facts.key).filter(|key| key != NO_KEY),
    };
    Ok(Done::new(text, report))
}
