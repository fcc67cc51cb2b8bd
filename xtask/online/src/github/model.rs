//! What we read from GitHub's answers: the few fields that a release needs, in structs of our own.
//!
//! octocrab's models demand more than GitHub's description promises (`gravatar_id` may be null,
//! labels may be strings), so that an answer which is right would fail a release.

use polis_base::Digest;
use serde::{Deserialize, Deserializer};

/// What a release says about itself, apart from its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseFields {
    /// The tag.
    pub tag: String,
    /// The commit that the tag names. GitHub only uses it where the tag does not exist.
    pub commit: String,
    /// The title.
    pub name: String,
    /// The notes, in Markdown.
    pub body: String,
    /// Whether it is a prerelease.
    pub prerelease: bool,
}

/// A release as GitHub holds it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Release {
    /// GitHub's number for it.
    pub id: u64,
    /// The tag.
    #[serde(rename = "tag_name")]
    pub tag: String,
    /// The commit or branch that the tag is made on, where it does not exist yet.
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
    /// Whether GitHub has frozen its tag and its files.
    #[serde(default)]
    pub immutable: bool,
    /// The page for people.
    #[serde(rename = "html_url")]
    pub page: String,
    /// The files, as far as the release itself lists them.
    #[serde(default)]
    pub assets: Vec<Asset>,
}

impl Release {
    /// Whether it says what `wanted` says. Line ends do not count: a browser changes them.
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
    /// Whether GitHub has all of it; it has not after an upload that broke off.
    #[serde(rename = "state", deserialize_with = "is_uploaded")]
    pub uploaded: bool,
    /// The size in bytes.
    pub size: u64,
    /// The digest that GitHub computed, where it tells one (since June 2025).
    #[serde(default, deserialize_with = "digest")]
    pub digest: Option<Digest>,
    /// Where everyone downloads it once the release is public.
    #[serde(rename = "browser_download_url")]
    pub download: String,
}

/// What stands under the name of a file that is to be uploaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExistingAsset {
    /// Nothing.
    Absent,
    /// The very bytes.
    Same(Asset),
    /// The beginning of an upload that broke off; it holds no byte and blocks the name.
    Unfinished(Asset),
    /// Other bytes.
    Other(Asset),
}

impl ExistingAsset {
    /// What `assets` hold under `name`, compared with `size` and `digest`.
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

/// A digest of another algorithm is none that we can compare.
fn digest<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Digest>, D::Error> {
    let text = Option::<String>::deserialize(from)?;
    Ok(text.and_then(|text| text.parse().ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_as_github_describes_it_is_taken() {
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
