//! The parts of an image's documents that we read: indexes and manifests.

use polis_base::ImageRef;
use serde::Deserialize;

use super::state::{ImageStatus, Problem};

#[derive(Deserialize)]
pub(super) struct Index {
    pub(super) manifests: Vec<Child>,
}

#[derive(Deserialize)]
pub(super) struct Child {
    pub(super) digest: String,
    pub(super) size: u64,
    pub(super) platform: Option<PlatformFields>,
}

#[derive(Deserialize)]
pub(super) struct PlatformFields {
    #[serde(default)]
    pub(super) os: String,
    #[serde(default)]
    pub(super) architecture: String,
}

#[derive(Deserialize)]
pub(super) struct Content {
    pub(super) config: Descriptor,
    pub(super) layers: Vec<Descriptor>,
}

#[derive(Deserialize)]
pub(super) struct Descriptor {
    #[serde(default, rename = "mediaType")]
    pub(super) media_type: String,
    pub(super) digest: String,
    pub(super) size: u64,
}

pub(super) fn parse<'b, T: Deserialize<'b>>(
    image: &ImageRef,
    bytes: &'b [u8],
) -> Result<T, Problem> {
    serde_json::from_slice(bytes).map_err(|error| {
        Problem::new(
            ImageStatus::Unreadable,
            format!("cannot parse a document of {}: {error}", image.unpinned()),
        )
    })
}
