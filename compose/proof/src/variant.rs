//! A variant of an image: adds a layer with one small file, so that the digests of its configuration and its manifest also differ.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::Result;
use crate::twins::{Twin, hex};

const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// A variant, with the digest of its additional layer.
#[derive(Debug, Clone)]
pub struct Variant {
    /// The image.
    pub twin: Twin,
    /// Its last layer.
    pub layer: String,
}

/// Creates a variant of `twin` below `dir`, with `text` in `/usr/share/stack-proof`.
///
/// # Errors
/// When the layout does not contain exactly one image.
pub fn of(twin: &Twin, text: &str, dir: &Path) -> Result<Variant> {
    let layout = dir.join(format!("variant-{}", &sha256(text.as_bytes())[..12]));
    let _ = fs::remove_dir_all(&layout);
    copy(&twin.layout, &layout)?;
    let index = document(&layout.join("index.json"))?;
    let old = &index["manifests"][0];
    let mut manifest = document(&blob(&layout, &old["digest"]))?;
    let mut config = document(&blob(&layout, &manifest["config"]["digest"]))?;
    let tar = layer(text)?;
    let (layer, size) = add(&layout, &tar)?;
    push(&mut config["rootfs"]["diff_ids"], json!(layer));
    push(&mut config["history"], json!({"created_by": "stack-proof"}));
    let written = add(&layout, config.to_string().as_bytes())?;
    manifest["config"]["digest"] = json!(written.0);
    manifest["config"]["size"] = json!(written.1);
    let entry = json!({"mediaType": LAYER, "digest": layer, "size": size});
    push(&mut manifest["layers"], entry);
    let (digest, size) = add(&layout, manifest.to_string().as_bytes())?;
    let mut entry = old.clone();
    entry["digest"] = json!(digest);
    entry["size"] = json!(size);
    let index = json!({"schemaVersion": 2, "manifests": [entry]});
    write(&layout.join("index.json"), index.to_string().as_bytes())?;
    let twin = Twin {
        digest,
        layout,
        ..twin.clone()
    };
    Ok(Variant { twin, layer })
}

fn push(list: &mut Value, value: Value) {
    match list.as_array_mut() {
        Some(list) => list.push(value),
        None => *list = json!([value]),
    }
}

fn layer(text: &str) -> Result<Vec<u8>> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(text.len() as u64);
    header.set_mode(0o644);
    header.set_mtime(0);
    header.set_cksum();
    tar.append_data(&mut header, "usr/share/stack-proof", text.as_bytes())
        .and_then(|()| tar.into_inner())
        .map_err(|error| error.to_string())
}

fn add(layout: &Path, bytes: &[u8]) -> Result<(String, usize)> {
    let digest = format!("sha256:{}", sha256(bytes));
    write(&blob(layout, &json!(digest)), bytes)?;
    Ok((digest, bytes.len()))
}

fn blob(layout: &Path, digest: &Value) -> PathBuf {
    let digest = digest.as_str().unwrap_or_default();
    layout.join("blobs").join(digest.replacen(':', "/", 1))
}

fn document(path: &Path) -> Result<Value> {
    let bytes = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    serde_json::from_slice(&bytes).map_err(|error| format!("{}: {error}", path.display()))
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(path, bytes).map_err(|error| format!("{}: {error}", path.display()))
}

/// Copies a layout. Hard-links its blobs, since nothing writes to them.
fn copy(from: &Path, to: &Path) -> Result<()> {
    let failed = |error: std::io::Error| format!("{} to {}: {error}", from.display(), to.display());
    fs::create_dir_all(to).map_err(failed)?;
    for entry in fs::read_dir(from).map_err(failed)?.flatten() {
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if source.is_dir() {
            copy(&source, &target)?;
        } else if source.file_name().is_some_and(|name| name == "index.json") {
            fs::copy(&source, &target).map_err(failed)?;
        } else {
            fs::hard_link(&source, &target).map_err(failed)?;
        }
    }
    Ok(())
}

fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}
