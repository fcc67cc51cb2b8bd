//! Attaches a document to an image, as an OCI artifact with the image as its `subject`. The digest of the image does
//! not change.
//!
//! ghcr.io has no Referrers API, so the referrers of an image are also listed under the tag `sha256-HEX`, as the
//! distribution specification requires ("Referrers Tag Schema").

use polis_base::{Digest, ImageRef};
use serde_json::{Value, json};

use super::layout::Blob;
use super::media::{OCI_INDEX, OCI_MANIFEST};
use super::{RawManifest, Registry};
use crate::error::NetError;

/// The empty JSON document, the configuration of an artifact without one (OCI image specification 1.1, "Guidance for an
/// Empty Descriptor").
const EMPTY: (&str, &[u8]) = ("application/vnd.oci.empty.v1+json", b"{}");
/// How often to rewrite the list if another client writes it at the same time.
const MOST_WRITES: usize = 4;

impl Registry {
    /// Attaches `document` of `media_type` to the image in `image`; returns whether it was new. The same document
    /// always gives the same artifact, so it is attached only once.
    ///
    /// # Errors
    /// If `image` has no digest or does not exist, or the registry rejects a part.
    pub async fn attach(
        &self,
        image: &ImageRef,
        media_type: &str,
        document: &[u8],
    ) -> Result<bool, NetError> {
        let subject = self.manifest(image).await?;
        let artifact = artifact(&subject, media_type, document);
        let descriptor = descriptor(&artifact, media_type);
        let list = fallback(image, &subject.digest)?;
        if self.is_listed(&list, &artifact.digest).await? {
            return Ok(false);
        }
        for bytes in [EMPTY.1, document] {
            self.push_bytes(image, bytes).await?;
        }
        let pinned = image.unpinned().pinned(artifact.digest);
        self.push_missing(&pinned, &artifact).await?;
        if self.has_referrers_api(image, &subject.digest).await? {
            return Ok(true);
        }
        for _ in 0..MOST_WRITES {
            let known = self.list(&list).await?;
            if names(&known, &artifact.digest) {
                return Ok(true);
            }
            let bytes = extended(known, descriptor.clone());
            self.push_manifest(&list, &bytes, OCI_INDEX).await?;
        }
        match self.is_listed(&list, &artifact.digest).await? {
            true => Ok(true),
            false => Err(NetError::unreachable(
                &list,
                "the list of referrers keeps being overwritten",
            )),
        }
    }

    /// Whether the list under the fallback tag contains `artifact`.
    async fn is_listed(&self, list: &ImageRef, artifact: &Digest) -> Result<bool, NetError> {
        Ok(names(&self.list(list).await?, artifact))
    }

    /// The descriptors under the fallback tag.
    async fn list(&self, list: &ImageRef) -> Result<Vec<Value>, NetError> {
        let manifest = match self.manifest(list).await {
            Ok(manifest) => manifest,
            Err(error) if error.is_not_found() => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let index: Value = serde_json::from_slice(&manifest.bytes)
            .map_err(|error| NetError::protocol(list, error.to_string()))?;
        match index.get("manifests").and_then(Value::as_array) {
            Some(manifests) => Ok(manifests.clone()),
            None => Err(NetError::protocol(list, "is not a list of referrers")),
        }
    }

    async fn push_bytes(&self, to: &ImageRef, bytes: &[u8]) -> Result<(), NetError> {
        let failed = |error: std::io::Error| NetError::local(to, &std::env::temp_dir(), &error);
        let file = tempfile::NamedTempFile::new().map_err(failed)?;
        std::fs::write(file.path(), bytes).map_err(failed)?;
        let blob = Blob {
            path: file.path().to_owned(),
            digest: Digest::of(bytes),
            size: bytes.len() as u64,
        };
        self.push_blob(to, &blob).await
    }
}

/// The manifest of an artifact that attaches `document` to `subject`.
fn artifact(subject: &RawManifest, media_type: &str, document: &[u8]) -> RawManifest {
    let blob = |media_type: &str, bytes: &[u8]| {
        json!({
            "mediaType": media_type,
            "digest": Digest::of(bytes).to_string(),
            "size": bytes.len(),
        })
    };
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": media_type,
        "config": blob(EMPTY.0, EMPTY.1),
        "layers": [blob(media_type, document)],
        "subject": blob(subject.media_type, &subject.bytes),
    });
    let bytes = manifest.to_string().into_bytes();
    RawManifest {
        digest: Digest::of(&bytes),
        media_type: OCI_MANIFEST,
        bytes,
    }
}

fn descriptor(artifact: &RawManifest, artifact_type: &str) -> Value {
    json!({
        "mediaType": artifact.media_type,
        "digest": artifact.digest.to_string(),
        "size": artifact.bytes.len(),
        "artifactType": artifact_type,
    })
}

fn names(list: &[Value], digest: &Digest) -> bool {
    let digest = digest.to_string();
    list.iter()
        .any(|descriptor| descriptor["digest"] == digest.as_str())
}

/// The list with one descriptor added.
fn extended(mut list: Vec<Value>, more: Value) -> Vec<u8> {
    list.push(more);
    let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": list});
    index.to_string().into_bytes()
}

/// The tag of the list.
fn fallback(image: &ImageRef, subject: &Digest) -> Result<ImageRef, NetError> {
    let tag = image
        .unpinned()
        .with_tag(&format!("sha256-{}", subject.hex()));
    tag.map_err(|error| NetError::protocol(image, error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_document_gives_the_same_artifact() {
        let subject = RawManifest {
            bytes: b"{}".to_vec(),
            media_type: OCI_INDEX,
            digest: Digest::of(b"{}"),
        };
        let one = artifact(&subject, "application/x", b"doc");
        assert_eq!(one, artifact(&subject, "application/x", b"doc"));
        assert_ne!(
            one.digest,
            artifact(&subject, "application/x", b"other").digest
        );
        let list = vec![descriptor(&one, "application/x")];
        assert!(names(&list, &one.digest) && !names(&list, &subject.digest));
    }
}
