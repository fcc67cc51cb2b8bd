//! The parts of GitHub's responses that a release needs, in our own structs.
//!
//! octocrab's models require more than GitHub's API description guarantees (`gravatar_id` may be null, labels may be
//! strings), so a valid response would fail a release.

use polis_base::Digest;
use serde::{Deserialize, Deserializer};

/// The fields of a release without its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseFields {
    /// The tag.
    pub tag: String,
    /// The target commit of the tag. GitHub uses it only if the tag does not exist.
    pub commit: String,
    /// The title.
    pub name: String,
    /// The notes, in Markdown.
    pub body: String,
    /// Whether it is a prerelease.
    pub prerelease: bool,
}

/// A release on GitHub.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Release {
    /// GitHub's number for it.
    pub id: u64,
    /// The tag.
    #[serde(rename = "tag_name")]
    pub tag: String,
    /// The commit or branch on which the tag is created if it does not exist.
    #[serde(rename = "target_commitish", default)]
    pub commit: String,
    /// The title.
    #[serde(default, deserialize_with = "or_empty")]
    pub name: String,
    /// The notes.
    #[serde(default, deserialize_with = "or_empty")]
    pub body: String,
    /// Whether only people with write access see it.
    pub draft: bool,
    /// Whether it is a prerelease.
    pub prerelease: bool,
    /// Whether GitHub has frozen its tag and files.
    #[serde(default)]
    pub immutable: bool,
    /// The URL of its page.
    #[serde(rename = "html_url")]
    pub page: String,
    /// Its files, if this response includes them.
    #[serde(default)]
    pub assets: Vec<Asset>,
}

impl Release {
    /// Whether its fields equal `wanted`. Ignores the form of line ends, because browsers change them.
    pub fn says(&self, wanted: &ReleaseFields) -> bool {
        self.tag == wanted.tag
            && self.commit == wanted.commit
            && self.name == wanted.name
            && self.body.replace("\r\n", "\n").trim_end() == wanted.body.trim_end()
            && self.prerelease == wanted.prerelease
    }
}

/// A file of a release.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Asset {
    /// GitHub's number for it.
    pub id: u64,
    /// The file name.
    pub name: String,
    /// Whether the upload is complete.
    #[serde(rename = "state", deserialize_with = "is_uploaded")]
    pub uploaded: bool,
    /// The size in bytes.
    pub size: u64,
    /// The digest that GitHub computed, for files uploaded since June 2025.
    #[serde(default, deserialize_with = "digest")]
    pub digest: Option<Digest>,
    /// The public download URL, valid once the release is public.
    #[serde(rename = "browser_download_url")]
    pub download: String,
}

/// The existing asset under the name of a file to upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExistingAsset {
    /// There is none.
    Absent,
    /// It has the same bytes.
    Same(Asset),
    /// An interrupted upload, which has no bytes and blocks the name.
    Unfinished(Asset),
    /// It has other bytes.
    Other(Asset),
}

impl ExistingAsset {
    /// Looks up `name` in `assets` and compares it with `size` and `digest`.
    pub fn find(assets: &[Asset], name: &str, size: u64, digest: Digest) -> Self {
        match assets.iter().find(|asset| asset.name == name) {
            None => Self::Absent,
            Some(asset) if !asset.uploaded => Self::Unfinished(asset.clone()),
            Some(asset) if asset.size == size && asset.digest == Some(digest) => {
                Self::Same(asset.clone())
            }
            Some(asset) => Self::Other(asset.clone()),
        }
    }
}

/// GitHub writes `null` for an empty text.
fn or_empty<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    Option::<String>::deserialize(from).map(Option::unwrap_or_default)
}

fn is_uploaded<'de, D: Deserializer<'de>>(from: D) -> Result<bool, D::Error> {
    String::deserialize(from).map(|state| state == "uploaded")
}

/// A digest, unless it is of an algorithm that we cannot compare.
fn digest<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Digest>, D::Error> {
    let text = Option::<String>::deserialize(from)?;
    Ok(text.and_then(|text| text.parse().ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_response_that_github_describes_is_accepted() {
        let release: Release = serde_json::from_str(
            r#"{"id": 1, "tag_name": "v1.0.0", "target_commitish": "main", "name": null,
                "body": null, "draft": false, "prerelease": false, "immutable": true,
                "html_url": "https://github.com/o/r/releases/tag/v1.0.0",
                "author": {"login": "x", "gravatar_id": null},
                "assets": [{"id": 2, "name": "a", "state": "starter", "size": 0, "digest": null,
                            "browser_download_url": "https://github.com/o/r/a"}]}"#,
        )
        .unwrap();
        assert!(release.immutable && release.name.is_empty() && release.body.is_empty());
        let held = ExistingAsset::find(&release.assets, "a", 0, Digest::of(b""));
        assert_eq!(held, ExistingAsset::Unfinished(release.assets[0].clone()));
        assert_eq!(
            ExistingAsset::find(&release.assets, "b", 0, Digest::of(b"")),
            ExistingAsset::Absent
        );
    }
}
