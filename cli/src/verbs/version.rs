//! `polis version`.

use polis_base::facts::NO_KEY;
use serde_json::{Map, Value};

use crate::embedded;
use crate::error::{Error, Kind, Result};
use crate::output::Done;

/// The version, the digests of the embedded files, and the key that verifies releases.
pub(crate) fn run() -> Result<Done> {
    let facts = embedded::facts().map_err(|error| {
        Error::new(Kind::Unexpected, "this program is damaged").caused_by(&error)
    })?;
    let mut text = format!("polis {}\n", facts.label);
    let mut data = Map::new();
    // Every document already contains the version.
    for (name, value) in facts.fields().into_iter().skip(1) {
        let value = Some(value).filter(|value| value != NO_KEY);
        let shown = value.as_deref().unwrap_or("none");
        text.push_str(&format!("{} {shown}\n", name.replace('_', "-")));
        data.insert(name.to_owned(), Value::from(value));
    }
    Ok(Done::new(text, Value::Object(data)))
}
