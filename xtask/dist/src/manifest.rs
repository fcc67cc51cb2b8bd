//! `release-manifest.json`: the machine-readable content of a release. Its schema, `schemas/release-manifest.schema.json`, is
//! generated from these types.
//!
//! Fields are written in the order of these types, so the same release always gives the same bytes.

use polis_base::Digest;
use polis_base::facts::Facts;
#[cfg(test)]
use schemars::JsonSchema;
use semver::Version;
use serde::{Deserialize, Serialize};

use xtask_build::images::Image;
use xtask_host::error::{Error, Result};
use xtask_pins::compose::Compose;
use xtask_pins::pins_env::GuestDownload;

use crate::inspect::Inspected;
use crate::name::{self, ReleaseKind};

/// The version of the format; incremented when the meaning of a field changes.
const SCHEMA: u32 = 1;

/// The form of a SHA-256 in hex.
#[cfg(test)]
const SHA256: &str = "^[0-9a-f]{64}$";

/// The contents of one release of Polis. It is one of the release's files, so SHA256SUMS and its signature cover it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(JsonSchema))]
pub struct ReleaseManifest {
    /// The version of this format; incremented when the meaning of a field changes.
    #[cfg_attr(test, schemars(extend("const" = SCHEMA)))]
    pub schema: u32,
    /// The version to release.
    #[cfg_attr(
        test,
        schemars(regex(
            pattern = r"^[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?$"
        ))
    )]
    pub version: String,
    /// Do not install a rehearsal: its images and its commit may not exist.
    #[cfg_attr(test, schemars(extend("enum" = ["release", "rehearsal"])))]
    pub kind: String,
    /// The git commit that is released, in full.
    #[cfg_attr(test, schemars(regex(pattern = "^([0-9a-f]{40}|[0-9a-f]{64})$")))]
    pub commit: String,
    /// The files embedded in every CLI of the release; `polis version` prints the same.
    pub embeds: Embeds,
    /// Every image of the compose file, in its order, without duplicates.
    #[cfg_attr(test, schemars(length(min = 1), extend("uniqueItems" = true)))]
    pub images: Vec<ManifestImage>,
    /// The downloads of the provisioning, with the required checksums.
    #[cfg_attr(test, schemars(length(min = 1)))]
    pub downloads: Vec<ManifestDownload>,
    /// The CLI, one archive per target.
    #[cfg_attr(test, schemars(length(min = 1)))]
    pub archives: Vec<ManifestArchive>,
}

/// The SHA-256 of each file embedded in the CLI, in hex.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(JsonSchema))]
pub struct Embeds {
    /// Of `docker-compose.yml`.
    #[cfg_attr(test, schemars(regex(pattern = SHA256)))]
    pub compose: String,
    /// Of `cloud-init.yaml`.
    #[cfg_attr(test, schemars(regex(pattern = SHA256)))]
    pub cloud_init: String,
    /// Of the bundle, a tar.
    #[cfg_attr(test, schemars(regex(pattern = SHA256)))]
    pub bundle: String,
}

/// An image of the compose file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(JsonSchema))]
pub struct ManifestImage {
    /// `registry/repository`.
    #[cfg_attr(test, schemars(regex(pattern = r"^[^/@\s]+/[^:@\s]+$")))]
    pub name: String,
    /// Its tag.
    #[cfg_attr(test, schemars(length(min = 1)))]
    pub tag: Option<String>,
    /// The digest of the manifest or index; null only in a rehearsal.
    #[cfg_attr(test, schemars(regex(pattern = "^sha256:[0-9a-f]{64}$")))]
    pub digest: Option<String>,
    /// Its platforms; known only for images that the release builds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(
        with = "Vec<String>",
        length(min = 1),
        inner(regex(pattern = "^[a-z0-9]+/[a-z0-9]+(/[a-z0-9]+)?$")),
        extend("uniqueItems" = true),
    ))]
    pub platforms: Option<Vec<String>>,
}

/// What the VM downloads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(JsonSchema))]
pub struct ManifestDownload {
    /// Its name in the pins.
    #[cfg_attr(test, schemars(length(min = 1)))]
    pub tool: String,
    /// Its version, as pinned.
    #[cfg_attr(test, schemars(length(min = 1)))]
    pub version: String,
    /// In Debian's terms.
    #[cfg_attr(test, schemars(extend("enum" = ["amd64", "arm64"])))]
    pub architecture: String,
    /// Its URL.
    #[cfg_attr(test, schemars(regex(pattern = "^https://")))]
    pub url: String,
    /// Its SHA-256, in hex.
    #[cfg_attr(test, schemars(regex(pattern = SHA256)))]
    pub sha256: String,
}

/// A CLI archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(JsonSchema))]
pub struct ManifestArchive {
    /// The Rust target.
    #[cfg_attr(test, schemars(regex(pattern = "^[a-z0-9_]+(-[a-z0-9_]+){1,3}$")))]
    pub triple: String,
    /// The file of the release.
    #[cfg_attr(test, schemars(regex(pattern = r"^polis-.+\.(tar\.gz|zip)$")))]
    pub name: String,
    /// Its size in bytes.
    #[cfg_attr(test, schemars(range(min = 1)))]
    pub size: u64,
    /// Its SHA-256, in hex.
    #[cfg_attr(test, schemars(regex(pattern = SHA256)))]
    pub sha256: String,
}

/// The inputs of a manifest.
pub(crate) struct Parts<'a> {
    pub(crate) version: &'a Version,
    pub(crate) kind: ReleaseKind,
    pub(crate) commit: &'a str,
    pub(crate) images: Vec<ManifestImage>,
    pub(crate) downloads: &'a [GuestDownload],
    /// The facts that this tree puts into a CLI.
    pub(crate) facts: &'a Facts,
    /// The archives, as inspected.
    pub(crate) archives: &'a [Inspected],
}

impl ReleaseManifest {
    /// Builds the manifest, and compares it with the archives.
    pub(crate) fn new(parts: Parts<'_>) -> Result<Self> {
        let label = parts.kind.label(parts.version);
        let archives = parts.archives.iter().map(|archive| ManifestArchive {
            triple: archive.triple.clone(),
            name: name::archive_name(&label, &archive.triple),
            size: archive.size,
            sha256: archive.sha256.hex(),
        });
        let downloads = parts.downloads.iter().map(|download| ManifestDownload {
            tool: download.tool.to_owned(),
            version: download.version.clone(),
            architecture: download.architecture.to_owned(),
            url: download.url.clone(),
            sha256: download.sha256.hex(),
        });
        let manifest = Self {
            schema: SCHEMA,
            version: parts.version.to_string(),
            kind: parts.kind.word().to_owned(),
            commit: parts.commit.to_owned(),
            embeds: Embeds {
                compose: parts.facts.compose.hex(),
                cloud_init: parts.facts.cloud_init.hex(),
                bundle: parts.facts.bundle.hex(),
            },
            images: parts.images,
            downloads: downloads.collect(),
            archives: archives.collect(),
        };
        manifest.compare(&label, parts.archives)?;
        Ok(manifest)
    }

    /// Compares the manifest with the facts in the programs.
    ///
    /// # Errors
    /// If they differ.
    fn compare(&self, label: &str, archives: &[Inspected]) -> Result<()> {
        let ours = [
            label,
            &self.embeds.compose,
            &self.embeds.cloud_init,
            &self.embeds.bundle,
        ];
        for archive in archives {
            let facts = &archive.facts;
            let hex = [&facts.compose, &facts.cloud_init, &facts.bundle].map(Digest::hex);
            let theirs = [&facts.label, &hex[0], &hex[1], &hex[2]].map(String::as_str);
            if theirs != ours {
                return Err(Error::findings(format!(
                    "the CLI for {} does not match the manifest",
                    archive.triple
                ))
                .because(format!(
                    "manifest: {}\nCLI:      {}",
                    ours.join(" "),
                    theirs.join(" ")
                )));
            }
        }
        Ok(())
    }

    /// The file.
    ///
    /// # Errors
    /// Never for these types, although the library's signature allows it.
    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut bytes = serde_json::to_vec_pretty(self).map_err(|error| {
            Error::machine(format!("cannot write `{}`", name::MANIFEST)).because(error.to_string())
        })?;
        bytes.push(b'\n');
        Ok(bytes)
    }
}

/// Requires a commit in full, SHA-1 or SHA-256.
pub(crate) fn require_commit(text: &str) -> Result<()> {
    let hex = text
        .bytes()
        .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    match hex && matches!(text.len(), 40 | 64) {
        true => Ok(()),
        false => Err(Error::usage(format!("`{text}` is not a commit"))
            .because("expected its 40 or 64 hex digits, as `git rev-parse HEAD` prints them")),
    }
}

/// The images of the compose file, in its order and without duplicates, with the platforms of those in `built`.
///
/// # Errors
/// If one cannot be read, or a release has one that is not pinned.
pub(crate) fn images(
    kind: ReleaseKind,
    compose: &Compose,
    built: &[Image],
) -> Result<Vec<ManifestImage>> {
    let mut images: Vec<ManifestImage> = Vec::new();
    let mut unpinned = Vec::new();
    for image_use in compose.readable_images()? {
        let Ok(image) = image_use.image else { continue };
        if image.digest().is_none() {
            unpinned.push(image.to_string());
        }
        let built = built.iter().find(|built| {
            built.image.name() == image.name() && built.image.digest() == image.digest()
        });
        let image = ManifestImage {
            name: image.name(),
            tag: image.tag().map(str::to_owned),
            digest: image.digest().map(|digest| digest.to_string()),
            platforms: built.map(|built| built.platforms.clone()),
        };
        if !images.contains(&image) {
            images.push(image);
        }
    }
    unpinned.sort();
    unpinned.dedup();
    if kind == ReleaseKind::Release && !unpinned.is_empty() {
        let error = Error::findings("a release pins every image by digest");
        return Err(unpinned
            .into_iter()
            .fold(error, |error, image| {
                error.because(format!("`{image}` is not pinned"))
            })
            .hint("run `cargo xtask pin`, delete the waivers and commit"));
    }
    Ok(images)
}

#[cfg(test)]
mod tests;
