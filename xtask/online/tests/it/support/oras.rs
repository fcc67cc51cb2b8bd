//! `oras`, a client for attachments of images.

use serde_json::Value;

use super::{external_tool, run};

/// The manifests that `oras` finds attached to `reference` (`HOST/NAME@DIGEST` or `HOST/NAME:TAG`) in a registry
/// without TLS. Prints a line and returns `None` if it is neither installed nor required.
pub(crate) fn discover(reference: &str) -> Option<Vec<Value>> {
    let oras = external_tool("oras")?;
    let found = run(
        oras,
        ["discover", "--plain-http", "--format", "json", reference],
    );
    let found: Value = serde_json::from_slice(&found).unwrap();
    Some(found["manifests"].as_array().cloned().unwrap_or_default())
}
