//! Verifies that an image runs where it is used: its index lists the platform, the manifest exists, and the
//! configuration confirms the platform.

use futures_util::future::try_join_all;
use polis_base::{Digest, ImageRef};
use serde::Deserialize;

use super::{RawManifest, Registry, media};
use crate::error::NetError;

/// The platforms that Polis runs on.
pub const SERVED: [LinuxPlatform; 2] =
    [LinuxPlatform::linux("amd64"), LinuxPlatform::linux("arm64")];

/// An operating system and an architecture, in OCI's terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinuxPlatform {
    architecture: &'static str,
}

impl LinuxPlatform {
    /// Linux on `architecture`.
    pub const fn linux(architecture: &'static str) -> Self {
        Self { architecture }
    }

    fn is(self, os: &str, architecture: &str) -> bool {
        os == "linux" && architecture == self.architecture
    }
}

impl std::fmt::Display for LinuxPlatform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "linux/{}", self.architecture)
    }
}

#[derive(Deserialize)]
struct Index {
    manifests: Vec<Child>,
}

#[derive(Deserialize)]
struct Child {
    digest: String,
    size: u64,
    platform: Option<PlatformFields>,
}

#[derive(Deserialize)]
struct Image {
    config: Config,
}

#[derive(Deserialize)]
struct Config {
    digest: String,
}

/// The platform in a descriptor or a configuration.
#[derive(Deserialize)]
struct PlatformFields {
    #[serde(default)]
    os: String,
    #[serde(default)]
    architecture: String,
}

impl Registry {
    /// Verifies that `image`, which must have a digest, is complete for all `required` platforms, and for those in
    /// [`SERVED`] that it also offers. Every document is hashed.
    ///
    /// # Errors
    /// `MissingPlatform` if a platform is not listed, or its manifest or configuration does not exist; `Mismatch` if
    /// bytes do not match their digest, or a configuration is for another platform; otherwise as [`Self::manifest`].
    pub async fn check_platforms(
        &self,
        image: &ImageRef,
        required: &[LinuxPlatform],
    ) -> Result<(), NetError> {
        let root = self.manifest(image).await?;
        if !media::is_index(root.media_type) {
            let says = self.platform_of(image, &root).await?;
            let lacking = required.iter().find(|platform| !says.is(**platform));
            return lacking.map_or(Ok(()), |platform| Err(lacks(image, *platform, [&says])));
        }
        let Index { manifests } = parse(image, &root.bytes)?;
        let mut checks = Vec::new();
        for platform in SERVED {
            let of = |child: &&Child| {
                child
                    .platform
                    .as_ref()
                    .is_some_and(|says| says.is(platform))
            };
            let children: Vec<_> = manifests.iter().filter(of).collect();
            if children.is_empty() && required.contains(&platform) {
                let offered = manifests.iter().filter_map(|child| child.platform.as_ref());
                return Err(lacks(image, platform, offered));
            }
            checks.extend(
                children
                    .into_iter()
                    .map(|child| self.check_child(image, child, platform)),
            );
        }
        try_join_all(checks).await.map(drop)
    }

    async fn check_child(
        &self,
        image: &ImageRef,
        child: &Child,
        platform: LinuxPlatform,
    ) -> Result<(), NetError> {
        let pinned = image.pinned(digest(image, &child.digest)?);
        let absent = |error: NetError| match error.is_not_found() {
            true => NetError::missing_platform(
                image,
                format!("{platform} is {}, which does not exist", child.digest),
            ),
            false => error,
        };
        let manifest = self.manifest(&pinned).await.map_err(absent)?;
        if manifest.bytes.len() as u64 != child.size {
            let found = format!("{} bytes", manifest.bytes.len());
            return Err(NetError::mismatch(
                &pinned,
                format!("{} bytes", child.size),
                found,
            ));
        }
        if media::is_index(manifest.media_type) {
            let reason = format!("{platform} is another index, which engines do not follow");
            return Err(NetError::protocol(&pinned, reason));
        }
        let says = self.platform_of(&pinned, &manifest).await?;
        match says.is(platform) {
            true => Ok(()),
            false => Err(NetError::mismatch(&pinned, platform, says)),
        }
    }

    /// The platform in the configuration of the manifest `image`.
    async fn platform_of(
        &self,
        image: &ImageRef,
        manifest: &RawManifest,
    ) -> Result<PlatformFields, NetError> {
        let Image { config } = parse(image, &manifest.bytes)?;
        let config = digest(image, &config.digest)?;
        let bytes = self.blob(image, config).await;
        let bytes = bytes.map_err(|error| match error.is_not_found() {
            true => NetError::missing_platform(
                image,
                format!("its configuration {config} does not exist"),
            ),
            false => error,
        })?;
        parse(image, &bytes)
    }
}

impl PlatformFields {
    fn is(&self, platform: LinuxPlatform) -> bool {
        platform.is(&self.os, &self.architecture)
    }
}

impl std::fmt::Display for PlatformFields {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)
    }
}

fn lacks<'a>(
    image: &ImageRef,
    platform: LinuxPlatform,
    offered: impl IntoIterator<Item = &'a PlatformFields>,
) -> NetError {
    let mut offered: Vec<String> = offered.into_iter().map(PlatformFields::to_string).collect();
    offered.dedup();
    let offered = match offered.is_empty() {
        true => "none".to_owned(),
        false => offered.join(", "),
    };
    NetError::missing_platform(image, format!("no {platform}; available: {offered}"))
}

fn digest(image: &ImageRef, text: &str) -> Result<Digest, NetError> {
    text.parse()
        .map_err(|error| NetError::protocol(image, format!("`{text}`: {error}")))
}

fn parse<'a, T: Deserialize<'a>>(image: &ImageRef, bytes: &'a [u8]) -> Result<T, NetError> {
    let reason = |error| format!("one of its documents: {error}");
    serde_json::from_slice(bytes)
        .map_err(|error: serde_json::Error| NetError::protocol(image, reason(error)))
}
