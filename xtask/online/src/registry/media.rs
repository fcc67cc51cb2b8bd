//! The media type of a manifest, read from its bytes, which the digest covers, instead of from a header, which it does
//! not.

use serde_json::Value;

/// An OCI image manifest.
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// An OCI image index.
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// Docker's image manifest, schema 2.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// Docker's manifest list.
pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

/// The media types that we accept. Without this list, Docker's registry converts images to schema 1 on the fly, which
/// changes the digest.
pub const ACCEPTED: [&str; 4] = [OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST];

/// Whether `media_type` is an index, which lists one manifest per platform.
pub(crate) fn is_index(media_type: &str) -> bool {
    matches!(media_type, OCI_INDEX | DOCKER_LIST)
}

/// The media type of a manifest or an index.
///
/// # Errors
/// A sentence on why it is neither: not JSON, schema 1, or an unknown type.
pub fn media_type(bytes: &[u8]) -> Result<&'static str, String> {
    let json: Value = serde_json::from_slice(bytes)
        .map_err(|error| format!("the manifest is not JSON: {error}"))?;
    match json.get("schemaVersion").and_then(Value::as_u64) {
        Some(2) => {}
        Some(1) => return Err("the manifest is schema 1, which cannot be pinned".into()),
        _ => return Err("the manifest has no `schemaVersion`".into()),
    }
    if let Some(declared) = json.get("mediaType") {
        let known = ACCEPTED.into_iter().find(|known| declared == known);
        return known.ok_or_else(|| format!("{declared} is not a media type of images"));
    }
    // The OCI specification makes the field optional; Docker's documents always have it.
    match (json.get("manifests"), json.get("config")) {
        (Some(Value::Array(_)), None) => Ok(OCI_INDEX),
        (None, Some(Value::Object(_))) => Ok(OCI_MANIFEST),
        _ => Err("the manifest describes neither an image nor an index".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_types_are_distinguished() {
        let docker = format!(r#"{{"schemaVersion":2,"mediaType":"{DOCKER_LIST}"}}"#);
        let cases = [
            (r#"{"schemaVersion":2,"manifests":[]}"#, Ok(OCI_INDEX)),
            (
                r#"{"schemaVersion":2,"config":{},"layers":[]}"#,
                Ok(OCI_MANIFEST),
            ),
            (&docker, Ok(DOCKER_LIST)),
            (
                r#"{"schemaVersion":1,"name":"x"}"#,
                Err("the manifest is schema 1, which cannot be pinned"),
            ),
            (
                r#"{"schemaVersion":2,"mediaType":"text/plain"}"#,
                Err(r#""text/plain" is not a media type of images"#),
            ),
            (
                r#"{"manifests":[]}"#,
                Err("the manifest has no `schemaVersion`"),
            ),
            (
                r#"{"schemaVersion":2}"#,
                Err("the manifest describes neither an image nor an index"),
            ),
        ];
        for (text, expected) in cases {
            let found = media_type(text.as_bytes());
            assert_eq!(found, expected.map_err(str::to_owned), "{text}");
        }
    }
}
