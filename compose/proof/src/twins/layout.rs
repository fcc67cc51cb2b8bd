//! An image on disk, as an OCI layout: one gzip-compressed layer, one configuration, one manifest.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use flate2::{Compression, GzBuilder};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::files::hex;
use super::tree::Tree;
use crate::Result;

const CREATED: &str = "1970-01-01T00:00:00Z";

/// Writes the image of `tree` with the configuration `config` into the new directory `dir`; returns the digest of its
/// manifest.
pub(crate) fn write(dir: &Path, tree: &Tree, config: &Value) -> Result<String> {
    let blobs = dir.join("blobs/sha256");
    let failed = |error: io::Error| format!("{}: {error}", dir.display());
    fs::create_dir_all(&blobs).map_err(failed)?;
    let (diff_id, layer) = layer(&blobs, tree)?;
    let config = json!({
        "architecture": "amd64",
        "os": "linux",
        "created": CREATED,
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": [diff_id]},
        "history": [{"created": CREATED, "created_by": "twin of a published image, built for tests"}],
    });
    let config = blob(&blobs, &config, "application/vnd.oci.image.config.v1+json")?;
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": xtask_build::oci::MANIFEST,
        "config": config,
        "layers": [layer],
    });
    let manifest = blob(&blobs, &manifest, xtask_build::oci::MANIFEST)?;
    let digest = manifest["digest"].as_str().unwrap_or_default().to_owned();
    let index = json!({"schemaVersion": 2, "manifests": [manifest]});
    fs::write(dir.join("index.json"), index.to_string())
        .and_then(|()| fs::write(dir.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#))
        .map_err(failed)?;
    Ok(digest)
}

/// Writes a document and returns its descriptor.
fn blob(blobs: &Path, document: &Value, media_type: &str) -> Result<Value> {
    let text = document.to_string();
    let hex = hex(&Sha256::digest(&text));
    let path = blobs.join(&hex);
    fs::write(&path, &text).map_err(|error| format!("{}: {error}", path.display()))?;
    let digest = format!("sha256:{hex}");
    Ok(json!({"mediaType": media_type, "digest": digest, "size": text.len()}))
}

/// Writes the layer; returns the digest of its uncompressed content, and its descriptor.
fn layer(blobs: &Path, tree: &Tree) -> Result<(String, Value)> {
    let new = blobs.join("new");
    let failed = |error: io::Error| format!("{}: {error}", new.display());
    let file = Hashed::new(io::BufWriter::new(fs::File::create(&new).map_err(failed)?));
    let gzip = GzBuilder::new().mtime(0).operating_system(255);
    // It is read once or twice, from the same disk, so speed matters more than size.
    let mut plain = Hashed::new(gzip.write(file, Compression::fast()));
    tree.write(&mut plain)?;
    let diff_id = format!("sha256:{}", hex(&plain.hash.finalize()));
    let mut file = plain.out.finish().map_err(failed)?;
    file.flush().map_err(failed)?;
    let (size, hex) = (file.size, hex(&file.hash.finalize()));
    fs::rename(&new, blobs.join(&hex)).map_err(failed)?;
    let digest = format!("sha256:{hex}");
    let descriptor = json!({"mediaType": xtask_build::oci::LAYER, "digest": digest, "size": size});
    Ok((diff_id, descriptor))
}

/// Hashes and counts the bytes that are written through it.
struct Hashed<W> {
    out: W,
    hash: Sha256,
    size: u64,
}

impl<W: Write> Hashed<W> {
    fn new(out: W) -> Self {
        let hash = Sha256::new();
        Self { out, hash, size: 0 }
    }
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.hash.update(&bytes[..written]);
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// The programs of the image in `dir`, as absolute paths.
pub(crate) fn programs(dir: &Path) -> Result<Vec<String>> {
    let failed = |error: io::Error| format!("{}: {error}", dir.display());
    let document = |digest: &Value| -> Result<Value> {
        let text = fs::read(blob_path(dir, digest)).map_err(failed)?;
        serde_json::from_slice(&text).map_err(|error| format!("{}: {error}", dir.display()))
    };
    let index = fs::read(dir.join("index.json")).map_err(failed)?;
    let index: Value = serde_json::from_slice(&index)
        .map_err(|error| format!("{}: {error}", dir.join("index.json").display()))?;
    let mut found = Vec::new();
    for manifest in index["manifests"].as_array().into_iter().flatten() {
        let manifest = document(&manifest["digest"])?;
        for layer in manifest["layers"].as_array().into_iter().flatten() {
            let file = fs::File::open(blob_path(dir, &layer["digest"])).map_err(failed)?;
            let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(file));
            for entry in archive.entries().map_err(failed)? {
                let entry = entry.map_err(failed)?;
                let path = format!("/{}", entry.path().map_err(failed)?.display());
                let mode = entry.header().mode().map_err(failed)?;
                let kind = entry.header().entry_type();
                let (above, _) = path.rsplit_once('/').unwrap_or_default();
                let runs = kind.is_symlink() || (kind.is_file() && mode & 0o111 != 0);
                if runs && xtask_pins::contract::SEARCHED.contains(&above) {
                    found.push(path);
                }
            }
        }
    }
    found.sort();
    Ok(found)
}

fn blob_path(dir: &Path, digest: &Value) -> std::path::PathBuf {
    let digest = digest.as_str().unwrap_or_default();
    let hex = digest.strip_prefix("sha256:").unwrap_or(digest);
    dir.join("blobs/sha256").join(hex)
}
