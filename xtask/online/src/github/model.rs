//! What we read from GitHub's answers: the few fields a release needs, in our types.

use octocrab::models::repos as model;
use polis_base::Digest;

/// What a draft is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRelease {
    /// The tag, which need not exist yet.
    pub tag: String,
    /// The commit or branch that the tag is made on when the release is published; GitHub's
    /// default branch where it is empty.
    pub commit: String,
    /// The title.
    pub name: String,
    /// The notes, in Markdown.
    pub body: String,
    /// Whether it is a prerelease.
    pub prerelease: bool,
}

/// A release as GitHub holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// GitHub's number for it.
    pub id: u64,
    /// The tag.
    pub tag: String,
    /// The title.
    pub name: String,
    /// The notes.
    pub body: String,
    /// Whether only people with write access see it.
    pub draft: bool,
    /// Whether it is a prerelease.
    pub prerelease: bool,
    /// The page for people.
    pub page: String,
    /// The files.
    pub assets: Vec<Asset>,
}

/// A file of a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asset {
    /// GitHub's number for it.
    pub id: u64,
    /// The file name.
    pub name: String,
    /// Whether GitHub has all of it.
    pub uploaded: bool,
    /// The size in bytes.
    pub size: u64,
    /// The digest that GitHub computed, where it tells one.
    pub digest: Option<Digest>,
    /// Where everyone downloads it once the release is public.
    pub download: String,
}

impl From<model::Release> for Release {
    fn from(release: model::Release) -> Self {
        Self {
            id: release.id.into_inner(),
            tag: release.tag_name,
            name: release.name.unwrap_or_default(),
            body: release.body.unwrap_or_default(),
            draft: release.draft,
            prerelease: release.prerelease,
            page: release.html_url.into(),
            assets: release.assets.into_iter().map(Asset::from).collect(),
        }
    }
}

impl From<model::Asset> for Asset {
    fn from(asset: model::Asset) -> Self {
        Self {
            id: asset.id.into_inner(),
            name: asset.name,
            uploaded: asset.state == "uploaded",
            size: asset.size.try_into().unwrap_or_default(),
            digest: asset.digest.and_then(|digest| digest.parse().ok()),
            download: asset.browser_download_url.into(),
        }
    }
}
