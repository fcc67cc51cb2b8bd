//! The JSON of GitHub's answers, with every field that its description requires. All URLs in it point to this server, so
//! that a rehearsed release cannot be mistaken for a public one.

use serde_json::{Value, json};

use super::site::{Site, TIME};
use super::state::{StoredAsset, StoredRelease};

impl Site {
    /// A release.
    pub(super) fn release(&self, release: &StoredRelease) -> Value {
        let Self {
            url, owner, repo, ..
        } = self;
        let StoredRelease {
            id,
            tag_name,
            draft,
            ..
        } = release;
        let api = format!("{url}/repos/{owner}/{repo}");
        let when_public = |value: String| if *draft { Value::Null } else { value.into() };
        json!({
            "url": format!("{api}/releases/{id}"),
            "html_url": format!("{url}/{owner}/{repo}/releases/tag/{tag_name}"),
            "assets_url": format!("{api}/releases/{id}/assets"),
            "upload_url": format!("{api}/releases/{id}/assets{{?name,label}}"),
            "tarball_url": when_public(format!("{api}/tarball/{tag_name}")),
            "zipball_url": when_public(format!("{api}/zipball/{tag_name}")),
            "id": id,
            "node_id": format!("RE_{id}"),
            "tag_name": tag_name,
            "target_commitish": release.target_commitish,
            "name": release.name,
            "body": release.body,
            "draft": draft,
            "prerelease": release.prerelease,
            "immutable": release.immutable,
            "created_at": TIME,
            "updated_at": TIME,
            "published_at": when_public(TIME.to_owned()),
            "author": self.user(),
            "assets": release.assets.iter().map(|asset| self.asset(release, asset))
                .collect::<Vec<_>>(),
        })
    }

    /// An asset of `release`.
    pub(super) fn asset(&self, release: &StoredRelease, asset: &StoredAsset) -> Value {
        let Self {
            url, owner, repo, ..
        } = self;
        let StoredAsset { id, name, .. } = asset;
        let tag = &release.tag_name;
        json!({
            "url": format!("{url}/repos/{owner}/{repo}/releases/assets/{id}"),
            "browser_download_url":
                format!("{url}/{owner}/{repo}/releases/download/{tag}/{name}"),
            "id": id,
            "node_id": format!("RA_{id}"),
            "name": name,
            "label": asset.label,
            "state": asset.state,
            "content_type": asset.content_type,
            "size": asset.size,
            "digest": asset.digest,
            "download_count": 0,
            "created_at": TIME,
            "updated_at": TIME,
            "uploader": self.user(),
        })
    }

    /// The URL of the bytes of an asset, which is separate from the API, as on GitHub.
    pub(super) fn storage(&self, asset: u64) -> String {
        format!("{}/storage/{asset}", self.url)
    }
}
