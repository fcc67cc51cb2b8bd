//! Hand-made OCI image layouts, so that a test knows every byte that it pushes.

use std::fs;
use std::path::{Path, PathBuf};

use polis_base::archive::{Files, PLAIN};
use polis_base::{Digest, ImageRef};
use serde_json::{Value, json};
use xtask_online::registry::media;
use xtask_online::stand_in;

/// Writes a layout of one image for amd64; returns the digest of its manifest.
pub(crate) fn single(dir: &Path, text: &str) -> Digest {
    let root = image(dir, "amd64", text);
    finish(dir, &root)
}

/// Writes a layout of an index over amd64 and arm64; returns the digest of the index.
pub(crate) fn index(dir: &Path, text: &str) -> Digest {
    let manifests: Vec<Value> = ["amd64", "arm64"]
        .into_iter()
        .map(|arch| image(dir, arch, text))
        .collect();
    let index = json!({
        "schemaVersion": 2,
        "mediaType": media::OCI_INDEX,
        "manifests": manifests,
    });
    let root = blob(dir, media::OCI_INDEX, index.to_string().as_bytes());
    finish(dir, &root)
}

/// Writes a layout for the published `image`, made unique by `text`: a stand-in that meets its contract in the tree at
/// `root`, or any index if it has no contract. Returns the digest of the index.
pub(crate) fn published(root: &Path, image: &ImageRef, text: &str, dir: &Path) -> Digest {
    let stand_in = stand_in::write(root, image, text, dir).expect("a stand-in");
    stand_in.unwrap_or_else(|| index(dir, text))
}

/// The digest of the only layer of a layout made by this module with `arch` and `text`.
pub(crate) fn layer_of(arch: &str, text: &str) -> Digest {
    Digest::of(&layer(arch, text))
}

/// The file of the first layer of the pinned `image` in the storage of an embedded registry.
pub(crate) fn stored_layer(storage: &Path, image: &ImageRef) -> PathBuf {
    let manifests = storage
        .join("repositories")
        .join(image.repository())
        .join("_manifests");
    let read = |digest: Digest| -> Value {
        let bytes = fs::read(manifests.join(digest.hex())).expect("a manifest");
        serde_json::from_slice(&bytes).expect("JSON")
    };
    let digest =
        |value: &Value| -> Digest { value.as_str().expect("a digest").parse().expect("a digest") };
    let index = read(image.digest().expect("a pin"));
    let manifest = read(digest(&index["manifests"][0]["digest"]));
    let layer = digest(&manifest["layers"][0]["digest"]);
    storage.join("blobs/sha256").join(layer.hex())
}

fn image(dir: &Path, arch: &str, text: &str) -> Value {
    let layer = layer(arch, text);
    let config = json!({
        "architecture": arch,
        "os": "linux",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": [Digest::of(&layer).to_string()]},
    });
    let config = config.to_string();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": media::OCI_MANIFEST,
        "config": blob(dir, "application/vnd.oci.image.config.v1+json", config.as_bytes()),
        "layers": [blob(dir, "application/vnd.oci.image.layer.v1.tar", &layer)],
    });
    let mut descriptor = blob(dir, media::OCI_MANIFEST, manifest.to_string().as_bytes());
    descriptor["platform"] = json!({"architecture": arch, "os": "linux"});
    descriptor
}

/// A layer larger than one chunk of a streamed upload.
fn layer(arch: &str, text: &str) -> Vec<u8> {
    let mut files = Files::new();
    files.add(
        "hello.txt",
        PLAIN,
        format!("{text} on {arch}\n").into_bytes(),
    );
    files.add("filler", PLAIN, vec![b'x'; 700_000]);
    files.to_tar().expect("tar")
}

fn blob(dir: &Path, media_type: &str, bytes: &[u8]) -> Value {
    let digest = Digest::of(bytes);
    let blobs = dir.join("blobs/sha256");
    fs::create_dir_all(&blobs).expect("blobs");
    fs::write(blobs.join(digest.hex()), bytes).expect("blob");
    json!({"mediaType": media_type, "digest": digest.to_string(), "size": bytes.len()})
}

fn finish(dir: &Path, root: &Value) -> Digest {
    let index = json!({"schemaVersion": 2, "manifests": [root]});
    fs::write(dir.join("index.json"), index.to_string()).expect("index.json");
    fs::write(dir.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).expect("oci-layout");
    root["digest"]
        .as_str()
        .expect("digest")
        .parse()
        .expect("digest")
}
