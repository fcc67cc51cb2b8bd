//! OCI image documents and the image layout on disk, always written with the same bytes.
//!
//! The structs fix the order of fields, because digests must not depend on how another crate configures its map type.
//! Field names are those of the image specification (v1.1).

use std::collections::BTreeMap;
use std::path::Path;

use polis_base::Digest;
use serde::{Deserialize, Serialize};

use xtask_host::error::{Error, Result};
use xtask_host::write;

/// The media type of an image index.
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// The media type of an image manifest.
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// The media type of an image configuration.
pub const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// The media type of a gzip-compressed layer.
pub const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
/// The annotation that names an image in a layout.
pub const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// The annotation that holds the version of the packaged software.
pub const VERSION: &str = "org.opencontainers.image.version";

/// Images carry no build date, so that their digest depends only on their content.
const CREATED: &str = "1970-01-01T00:00:00Z";

/// A content descriptor.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// The media type of the content.
    pub media_type: String,
    /// Its digest.
    pub digest: String,
    /// Its size in bytes.
    pub size: u64,
    /// The platform, in an index.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// Annotations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// A platform.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Platform {
    /// `amd64` or `arm64`.
    pub architecture: String,
    /// `linux`.
    pub os: String,
}

/// An image index, also the `index.json` of a layout.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// 2.
    pub schema_version: u32,
    /// [`INDEX`].
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub media_type: String,
    /// The children.
    pub manifests: Vec<Descriptor>,
    /// Annotations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    schema_version: u32,
    media_type: &'static str,
    config: Descriptor,
    layers: Vec<Descriptor>,
}

#[derive(Serialize)]
struct Config<'a> {
    architecture: &'a str,
    os: &'a str,
    created: &'static str,
    config: &'a Execution,
    rootfs: RootFs,
    history: Vec<History>,
}

#[derive(Serialize)]
struct RootFs {
    r#type: &'static str,
    diff_ids: Vec<String>,
}

#[derive(Serialize)]
struct History {
    created: &'static str,
    created_by: &'static str,
}

/// The execution parameters of an image configuration.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Execution {
    /// The user, if one is set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The entry point.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub entrypoint: Vec<String>,
    /// The default arguments.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cmd: Vec<String>,
    /// Labels.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// The content-addressed store of a layout under construction.
#[derive(Debug, Default)]
pub struct Blobs(BTreeMap<Digest, Vec<u8>>);

impl Blobs {
    /// Adds content and returns its descriptor.
    pub fn add(&mut self, media_type: &str, bytes: Vec<u8>) -> Descriptor {
        let digest = Digest::of(&bytes);
        let descriptor = Descriptor {
            media_type: media_type.to_owned(),
            digest: digest.to_string(),
            size: bytes.len() as u64,
            platform: None,
            annotations: BTreeMap::new(),
        };
        self.0.insert(digest, bytes);
        descriptor
    }

    /// Adds a single-layer image, given as an uncompressed tar. Returns the descriptor of its manifest, with the
    /// platform set.
    pub fn add_image(
        &mut self,
        platform: &Platform,
        execution: &Execution,
        layer: &[u8],
    ) -> Descriptor {
        let diff_id = Digest::of(layer).to_string();
        let layer = self.add(LAYER, gzip(layer));
        let config = Config {
            architecture: &platform.architecture,
            os: &platform.os,
            created: CREATED,
            config: execution,
            rootfs: RootFs {
                r#type: "layers",
                diff_ids: vec![diff_id],
            },
            history: vec![History {
                created: CREATED,
                created_by: "COPY",
            }],
        };
        let config = self.add(CONFIG, json(&config));
        let manifest = Manifest {
            schema_version: 2,
            media_type: MANIFEST,
            config,
            layers: vec![layer],
        };
        let mut descriptor = self.add(MANIFEST, json(&manifest));
        descriptor.platform = Some(platform.clone());
        descriptor
    }

    /// Adds content whose digest the caller has verified.
    pub fn keep(&mut self, digest: Digest, bytes: Vec<u8>) {
        self.0.insert(digest, bytes);
    }

    /// The platforms of the image that `entry` describes, as `linux/amd64`.
    pub fn platforms(&self, entry: &Descriptor) -> Vec<String> {
        let index = entry
            .digest
            .parse()
            .ok()
            .and_then(|digest| self.0.get(&digest));
        let index = index.and_then(|bytes| serde_json::from_slice::<Index>(bytes).ok());
        let children = index.map_or(vec![entry.clone()], |index| index.manifests);
        let platforms = children.into_iter().filter_map(|child| child.platform);
        platforms
            .map(|platform| format!("{}/{}", platform.os, platform.architecture))
            .collect()
    }

    /// Adds the index over `manifests` and returns its descriptor.
    pub fn add_index(
        &mut self,
        manifests: Vec<Descriptor>,
        annotations: BTreeMap<String, String>,
    ) -> Descriptor {
        let index = Index {
            schema_version: 2,
            media_type: INDEX.to_owned(),
            manifests,
            annotations,
        };
        self.add(INDEX, json(&index))
    }

    /// Writes the layout into the empty directory `dir`, with `images` as its entries.
    ///
    /// # Errors
    /// If the file system fails.
    pub fn write_layout(&self, dir: &Path, images: Vec<Descriptor>) -> Result<()> {
        let blobs = dir.join("blobs/sha256");
        std::fs::create_dir_all(&blobs).map_err(|error| Error::io("create", &blobs, &error))?;
        for (digest, bytes) in &self.0 {
            write::atomically(&blobs.join(digest.hex()), bytes)?;
        }
        let index = Index {
            schema_version: 2,
            media_type: INDEX.to_owned(),
            manifests: images,
            annotations: BTreeMap::new(),
        };
        write::atomically(&dir.join("index.json"), &json(&index))?;
        write::atomically(
            &dir.join("oci-layout"),
            br#"{"imageLayoutVersion":"1.0.0"}"#,
        )
    }
}

/// Compact JSON.
///
/// # Panics
/// Never: the structs of this module have only text keys, which JSON can hold.
fn json(document: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(document).expect("our documents are JSON")
}

/// A gzip stream without a name or time.
///
/// # Panics
/// Never: writing into memory does not fail.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::GzBuilder::new()
        .mtime(0)
        .operating_system(255)
        .write(Vec::new(), flate2::Compression::best());
    let written = encoder.write_all(bytes).and_then(|()| encoder.finish());
    written.expect("memory takes every byte")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A change of this digest changes every image that we pin.
    #[test]
    fn the_digest_of_fixed_content_is_stable() {
        let platform = Platform {
            architecture: "amd64".to_owned(),
            os: "linux".to_owned(),
        };
        let execution = Execution {
            entrypoint: vec!["/p".to_owned()],
            ..Execution::default()
        };
        let mut blobs = Blobs::default();
        let manifest = blobs.add_image(&platform, &execution, &[0; 1024]);
        let index = blobs.add_index(vec![manifest], BTreeMap::new());
        assert_eq!(
            index.digest,
            "sha256:b9647a24c81621c86fd724d85891eae246bd8ac4de076b78c63baa0784b1d9f9"
        );
    }
}
