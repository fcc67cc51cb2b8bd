//! Reads an untrusted OCI image layout from disk: every file must have the digest and size of its descriptor before any
//! byte is sent.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use polis_base::Digest;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::{RawManifest, media};
use crate::error::NetError;

/// The limit on indexes within indexes.
const DEEPEST: usize = 4;

/// A verified layout, in the order in which to push it.
#[derive(Debug)]
pub(super) struct Layout {
    /// Configurations and layers, without duplicates.
    pub(super) blobs: Vec<Blob>,
    /// Manifests and indexes, each after everything that it references; the root is last.
    pub(super) manifests: Vec<RawManifest>,
}

/// A verified file of the layout.
#[derive(Debug)]
pub(super) struct Blob {
    pub(super) path: PathBuf,
    pub(super) digest: Digest,
    pub(super) size: u64,
}

#[derive(Deserialize)]
struct Marker {
    #[serde(rename = "imageLayoutVersion")]
    version: String,
}

#[derive(Deserialize)]
struct Document {
    config: Option<Descriptor>,
    #[serde(default)]
    layers: Vec<Descriptor>,
    #[serde(default)]
    manifests: Vec<Descriptor>,
}

#[derive(Deserialize)]
struct Descriptor {
    digest: String,
    size: u64,
}

impl Layout {
    /// Reads and verifies the layout in `dir`, hashing every file.
    ///
    /// # Errors
    /// `Local` if a file is missing or malformed, `Mismatch` if one does not have its digest. Both name the file.
    pub(super) fn read(dir: &Path) -> Result<Self, NetError> {
        let marker = dir.join("oci-layout");
        let Marker { version } = parse(&marker, &read(&marker)?)?;
        if version != "1.0.0" {
            return Err(bad(
                &marker,
                format!("layout version `{version}` is not 1.0.0"),
            ));
        }
        let index = dir.join("index.json");
        let Document { manifests, .. } = parse(&index, &read(&index)?)?;
        let [root] = manifests.as_slice() else {
            let found = manifests.len();
            return Err(bad(&index, format!("lists {found} images, expected one")));
        };
        let mut walk = Walk {
            dir,
            blobs: BTreeMap::new(),
            manifests: Vec::new(),
        };
        walk.manifest(&index, root, 0)?;
        Ok(Self {
            blobs: walk.blobs.into_values().collect(),
            manifests: walk.manifests,
        })
    }
}

struct Walk<'a> {
    dir: &'a Path,
    blobs: BTreeMap<Digest, Blob>,
    manifests: Vec<RawManifest>,
}

impl Walk<'_> {
    /// Adds the manifest of `descriptor`, which occurs in the file `parent`, after everything that it references.
    fn manifest(
        &mut self,
        parent: &Path,
        descriptor: &Descriptor,
        depth: usize,
    ) -> Result<(), NetError> {
        let (path, digest) = self.locate(parent, descriptor)?;
        if self.manifests.iter().any(|known| known.digest == digest) {
            return Ok(());
        }
        if depth > DEEPEST {
            return Err(bad(&path, "indexes are nested too deeply".to_owned()));
        }
        let bytes = read(&path)?;
        agree(
            &path,
            descriptor,
            &digest,
            Digest::of(&bytes),
            bytes.len() as u64,
        )?;
        let media_type = media::media_type(&bytes).map_err(|reason| bad(&path, reason))?;
        let document: Document = parse(&path, &bytes)?;
        for child in &document.manifests {
            self.manifest(&path, child, depth + 1)?;
        }
        for blob in document.config.iter().chain(&document.layers) {
            self.blob(&path, blob)?;
        }
        self.manifests.push(RawManifest {
            bytes,
            media_type,
            digest,
        });
        Ok(())
    }

    fn blob(&mut self, parent: &Path, descriptor: &Descriptor) -> Result<(), NetError> {
        let (path, digest) = self.locate(parent, descriptor)?;
        let (actual, size) = hash_file(&path).map_err(|error| unreadable(&path, &error))?;
        agree(&path, descriptor, &digest, actual, size)?;
        self.blobs.insert(digest, Blob { path, digest, size });
        Ok(())
    }

    fn locate(
        &self,
        parent: &Path,
        descriptor: &Descriptor,
    ) -> Result<(PathBuf, Digest), NetError> {
        let digest: Digest = descriptor
            .digest
            .parse()
            .map_err(|error| bad(parent, format!("`{}`: {error}", descriptor.digest)))?;
        Ok((self.dir.join("blobs/sha256").join(digest.hex()), digest))
    }
}

fn agree(
    path: &Path,
    descriptor: &Descriptor,
    expected: &Digest,
    actual: Digest,
    size: u64,
) -> Result<(), NetError> {
    if size != descriptor.size {
        let bytes = |size: u64| format!("{size} bytes");
        return Err(NetError::mismatch(
            path.display(),
            bytes(descriptor.size),
            bytes(size),
        ));
    }
    if *expected != actual {
        return Err(NetError::mismatch(path.display(), expected, actual));
    }
    Ok(())
}

/// The digest and size of a file, read in chunks.
fn hash_file(path: &Path) -> io::Result<(Digest, u64)> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut piece = vec![0_u8; 64 * 1024];
    let mut size = 0_u64;
    loop {
        let read = file.read(&mut piece)?;
        if read == 0 {
            return Ok((Digest::from_hasher(hasher), size));
        }
        hasher.update(&piece[..read]);
        size += read as u64;
    }
}

fn read(path: &Path) -> Result<Vec<u8>, NetError> {
    fs::read(path).map_err(|error| unreadable(path, &error))
}

fn parse<T: for<'de> Deserialize<'de>>(path: &Path, bytes: &[u8]) -> Result<T, NetError> {
    serde_json::from_slice(bytes).map_err(|error| bad(path, error.to_string()))
}

fn unreadable(path: &Path, error: &io::Error) -> NetError {
    NetError::local("image layout", path, error)
}

fn bad(path: &Path, reason: String) -> NetError {
    unreadable(path, &io::Error::new(io::ErrorKind::InvalidData, reason))
}
