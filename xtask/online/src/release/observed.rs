//! The observed state of GitHub and the registry. Nothing here changes anything.

use std::collections::BTreeMap;

use futures_util::future::try_join_all;
use polis_base::{Digest, ImageRef};
use semver::Version;
use serde::Deserialize;

use xtask_build::oci;
use xtask_host::error::{Error, Result};
use xtask_online::github::{Asset, GitHub, Release, Setting, TagRef};
use xtask_online::registry::Registry;
use xtask_online::{ErrorKind, NetError};

/// The result of a request.
type Asked<T> = std::result::Result<T, NetError>;

/// The state that determines what a release has to do.
#[derive(Debug, Clone)]
pub(crate) struct Observed {
    /// Whether the token may write; `None` if GitHub does not say.
    pub(crate) may_write: Option<bool>,
    /// Whether releases become immutable when published.
    pub(crate) immutable: Setting,
    /// The release's tag on GitHub.
    pub(crate) tag: Option<TagRef>,
    /// All releases, newest first.
    pub(crate) releases: Vec<Release>,
    /// The files of the release or the draft of the tag, by its id.
    pub(crate) assets: BTreeMap<u64, Vec<Asset>>,
    /// The release that GitHub calls the latest.
    pub(crate) latest: Option<Release>,
    /// The state of each released image in the registry, by name and tag.
    pub(crate) images: BTreeMap<ImageRef, PublishedImage>,
}

/// The state of an image in a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PublishedImage {
    /// The digest that the version tag names.
    pub(crate) version: Option<Digest>,
    /// The target of `latest`.
    pub(crate) latest: LatestTag,
}

/// The target of the tag `latest` of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LatestTag {
    /// The tag does not exist.
    Missing,
    /// The digest, and the version in its annotation, if any.
    At(Digest, Option<Version>),
}

impl Observed {
    /// Observes the state for a release of `images` (with their version tags) as `tag`.
    ///
    /// # Errors
    /// If something cannot be read.
    pub(crate) async fn observe(
        github: &GitHub,
        registry: &Registry,
        tag: &str,
        images: &[ImageRef],
    ) -> Result<Self> {
        let held = try_join_all(images.iter().map(|image| async move {
            let held = PublishedImage::observe(registry, image).await?;
            Ok::<_, NetError>((image.unpinned(), held))
        }));
        let (may_write, immutable, tag_ref, releases, latest, held) = tokio::try_join!(
            github.may_write(),
            github.immutable_releases(),
            github.tag(tag),
            github.releases(),
            github.latest(),
            held,
        )?;
        let mut assets = BTreeMap::new();
        for release in of_tag(&releases, tag) {
            assets.insert(release.id, github.assets(release.id).await?);
        }
        Ok(Self {
            may_write,
            immutable,
            tag: tag_ref,
            releases,
            assets,
            latest,
            images: held.into_iter().collect(),
        })
    }
}

/// The releases and drafts of `tag`.
pub(crate) fn of_tag<'a>(
    releases: &'a [Release],
    tag: &'a str,
) -> impl Iterator<Item = &'a Release> {
    releases.iter().filter(move |release| release.tag == tag)
}

/// The digest that the version tag of `image` names.
///
/// # Errors
/// If the registry does not say.
pub(crate) async fn version_tag(registry: &Registry, image: &ImageRef) -> Asked<Option<Digest>> {
    match registry.resolve(&image.unpinned()).await {
        Ok(digest) => Ok(Some(digest)),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

impl PublishedImage {
    async fn observe(registry: &Registry, image: &ImageRef) -> Asked<Self> {
        let version = version_tag(registry, image).await?;
        let latest = match LatestTag::observe(registry, image).await {
            Err(error) if is_absent(&error) => LatestTag::Missing,
            latest => latest?,
        };
        Ok(Self { version, latest })
    }
}

impl LatestTag {
    /// The target of `latest` in the repository of `image`.
    ///
    /// # Errors
    /// If the registry does not say.
    pub(crate) async fn observe(registry: &Registry, image: &ImageRef) -> Asked<Self> {
        let latest = latest_of(image)?;
        match registry.manifest(&latest).await {
            Ok(manifest) => Ok(Self::At(manifest.digest, version_of(&manifest.bytes))),
            Err(error) if error.is_not_found() => Ok(Self::Missing),
            Err(error) => Err(error),
        }
    }
}

/// The reference of `latest` in the repository of `image`.
fn latest_of(image: &ImageRef) -> Asked<ImageRef> {
    let latest = image.unpinned().with_tag("latest");
    latest.map_err(|error| NetError::unusable(image, error.to_string()))
}

/// Whether an image does not exist. ghcr.io denies access to what does not exist; a push then shows which of the two it
/// is.
fn is_absent(error: &NetError) -> bool {
    error.is_not_found() || error.kind == ErrorKind::Unauthorised
}

/// The version in the annotation of an index or a manifest.
pub(crate) fn version_of(manifest: &[u8]) -> Option<Version> {
    #[derive(Deserialize)]
    struct Annotated {
        #[serde(default)]
        annotations: BTreeMap<String, String>,
    }
    let manifest: Annotated = serde_json::from_slice(manifest).ok()?;
    manifest.annotations.get(oci::VERSION)?.parse().ok()
}

/// Requires that the git tag on GitHub names the released commit.
///
/// # Errors
/// If it is missing or names a different commit.
pub(crate) fn require_tag(found: Option<&TagRef>, tag: &str, commit: &str) -> Result<()> {
    match found {
        Some(found) if found.commit == commit => Ok(()),
        Some(found) => Err(Error::findings(format!(
            "the tag `{tag}` on GitHub names a different commit than the one being released"
        ))
        .because(format!(
            "on GitHub: {}\nreleased:  {commit}",
            found.commit
        ))
        .hint(format!(
            "release the tag's commit, or recreate the tag: `git push --delete origin {tag}`, then tag and push"
        ))),
        None => Err(
            Error::findings(format!("the tag `{tag}` does not exist on GitHub"))
                .because(format!("a release of {commit} needs its tag first"))
                .hint(format!("git push origin {tag}")),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_an_index_is_read_from_its_annotation() {
        let index = br#"{"annotations": {"org.opencontainers.image.version": "1.2.3"}}"#;
        assert_eq!(version_of(index), Some(Version::new(1, 2, 3)));
        assert_eq!(version_of(b"{}"), None);
        assert_eq!(
            version_of(b"{\"annotations\": {\"org.opencontainers.image.version\": \"x\"}}"),
            None
        );
    }

    #[test]
    fn the_tag_must_exist_and_name_the_commit() {
        let tag = |commit: &str| TagRef {
            object: "0".repeat(40),
            commit: commit.to_owned(),
        };
        assert!(require_tag(Some(&tag("abc")), "v1.0.0", "abc").is_ok());
        let other = require_tag(Some(&tag("def")), "v1.0.0", "abc").expect_err("another commit");
        assert!(
            other.to_string().contains("names a different commit"),
            "{other}"
        );
        let missing = require_tag(None, "v1.0.0", "abc").expect_err("no tag");
        assert!(
            missing.to_string().contains("git push origin v1.0.0"),
            "{missing}"
        );
    }
}
