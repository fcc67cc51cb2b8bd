//! `oras`, a client for what is attached to images.

use serde_json::Value;

use super::{real_part, run};

/// The manifests that `oras` finds attached to `reference` (`HOST/NAME@DIGEST` or `HOST/NAME:TAG`)
/// in a registry without TLS. `None`, with a line that says so, where it is not installed and need
/// not be.
pub(crate) fn discover(reference: &str) -> Option<Vec<Value>> {
    let oras = real_part("oras")?;
    let found = run(
        oras,
        ["discover", "--plain-http", "--format", "json", reference],
    );
    let found: Value = serde_json::from_slice(&found).unwrap();
    Some(found["manifests"].as_array().cloned().unwrap_or_default())
}
