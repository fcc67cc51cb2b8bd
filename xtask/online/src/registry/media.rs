//! What a manifest says that it is. Read from its bytes, which the digest covers, and not from
//! a header, which it does not.

use serde_json::Value;

/// An OCI image manifest.
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// An OCI image index.
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// Docker's image manifest, schema 2.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// Docker's manifest list.
pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

/// All that a registry may send us. Without this list Docker's registry converts an image to
/// schema 1 on the fly, which has another digest.
pub const ACCEPTED: [&str; 4] = [OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST];

/// Whether `media_type` is that of an index, whose manifests are for one platform each.
pub(crate) fn is_index(media_type: &str) -> bool {
    matches!(media_type, OCI_INDEX | DOCKER_LIST)
}

/// The media type of a manifest or an index.
///
/// # Errors
/// A sentence on why it is neither: not JSON, schema 1, or a type that we do not know.
pub fn media_type(bytes: &[u8]) -> Result<&'static str, String> {
    let json: Value = serde_json::from_slice(bytes)
        .map_err(|error| format!("the manifest is not JSON: {error}"))?;
    match json.get("schemaVersion").and_then(Value::as_u64) {
        Some(2) => {}
        Some(1) => return Err("the manifest is schema 1, which no digest pins".into()),
        _ => return Err("the manifest has no `schemaVersion`".into()),
    }
    if let Some(declared) = json.get("mediaType") {
        let known = ACCEPTED.into_iter().find(|known| declared == known);
        return known.ok_or_else(|| format!("{declared} is not a media type of an image"));
    }
    // The OCI specification leaves the field optional; Docker's always has it.
    match (json.get("manifests"), json.get("config")) {
        (Some(Value::Array(_)), None) => Ok(OCI_INDEX),
        (None, Some(Value::Object(_))) => Ok(OCI_MANIFEST),
        _ => Err("the manifest is neither of an image nor of an index".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_the_types_apart() {
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
                Err("the manifest is schema 1, which no digest pins"),
            ),
            (
                r#"{"schemaVersion":2,"mediaType":"text/plain"}"#,
                Err(r#""text/plain" is not a media type of an image"#),
            ),
            (
                r#"{"manifests":[]}"#,
                Err("the manifest has no `schemaVersion`"),
            ),
            (
                r#"{"schemaVersion":2}"#,
                Err("the manifest is neither of an image nor of an index"),
            ),
        ];
        for (text, expected) in cases {
            let found = media_type(text.as_bytes());
            assert_eq!(found, expected.map_err(str::to_owned), "{text}");
        }
    }
}
