//! The files of a release: list, upload, download. A file that GitHub has completely is never deleted.

use bytes::Bytes;
use http::{Method, Request, header};
use polis_base::Digest;
use reqwest::Url;

use super::model::{Asset, ExistingAsset};
use super::{GitHub, MOST_PAGES, PAGE, call};
use crate::error::NetError;
use crate::retry::retry;

/// The result of an upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Upload {
    /// The release has exactly these bytes.
    There(Asset),
    /// The name is taken by other bytes, which were left alone.
    Other(Asset),
}

impl GitHub {
    /// The files of a release with their digests. Downloads files whose digest GitHub does not know.
    ///
    /// # Errors
    /// If the list cannot be read.
    pub async fn assets(&self, release: u64) -> Result<Vec<Asset>, NetError> {
        let mut assets: Vec<Asset> = Vec::new();
        for page in 1..=MOST_PAGES {
            let url = self.url(&format!(
                "/releases/{release}/assets?per_page={PAGE}&page={page}"
            ));
            let items: Vec<Asset> = self.get(&url).await?;
            let full = items.len() == usize::from(PAGE);
            assets.extend(items);
            if !full {
                break;
            }
        }
        for asset in &mut assets {
            if asset.uploaded && asset.digest.is_none() {
                asset.digest = Some(Digest::of(&self.download(asset).await?));
            }
        }
        Ok(assets)
    }

    /// Uploads `bytes` as `name`. After a lost response or a conflict, the release is inspected first: a completed
    /// upload is not repeated, and an interrupted one, which has no bytes, is deleted.
    ///
    /// # Errors
    /// `Mismatch` if GitHub then has other bytes than were sent; otherwise as every request.
    pub async fn upload(
        &self,
        release: u64,
        name: &str,
        bytes: Vec<u8>,
    ) -> Result<Upload, NetError> {
        let mut url = self.uploads.clone();
        let path = format!("/repos/{}/releases/{release}/assets", self.repository);
        url.set_path(&path);
        url.query_pairs_mut().append_pair("name", name);
        let (size, digest) = (bytes.len() as u64, Digest::of(&bytes));
        let bytes = Bytes::from(bytes);
        let upload = retry(self.endpoints.retry_policy(), || async {
            let failed = match self.upload_once(&url, bytes.clone()).await {
                Ok(asset) => return Ok(Upload::There(asset)),
                Err(error) if error.is_temporary() || error.is_settled() => error,
                Err(error) => return Err(error),
            };
            match ExistingAsset::find(&self.assets(release).await?, name, size, digest) {
                ExistingAsset::Same(asset) => Ok(Upload::There(asset)),
                ExistingAsset::Other(asset) => Ok(Upload::Other(asset)),
                ExistingAsset::Unfinished(asset) => {
                    self.delete_unfinished(release, &asset).await?;
                    Err(NetError::unreachable(
                        &url,
                        format!("the upload was interrupted: {}", failed.detail),
                    ))
                }
                ExistingAsset::Absent => Err(failed),
            }
        })
        .await?;
        match upload {
            Upload::There(asset) => proven(&url, asset, size, digest).map(Upload::There),
            other => Ok(other),
        }
    }

    async fn upload_once(&self, url: &Url, bytes: Bytes) -> Result<Asset, NetError> {
        let size = bytes.len() as u64;
        let request = Request::builder()
            .method(Method::POST)
            .uri(url.as_str())
            .header(header::CONTENT_TYPE, "application/octet-stream")
            .header(header::CONTENT_LENGTH, size)
            .body(bytes)
            .map_err(|error| NetError::protocol(url, error.to_string()))?;
        let policy = self.endpoints.retry_policy();
        let sent = (url.as_str(), request);
        let answer = call::bytes(&self.crab, policy, sent, (size, call::LARGEST)).await?;
        serde_json::from_slice(&answer).map_err(|error| NetError::protocol(url, error.to_string()))
    }

    /// Deletes an interrupted upload. Checks again just before, and keeps the file if it has been completed meanwhile.
    ///
    /// # Errors
    /// If GitHub refuses or does not respond.
    pub async fn delete_unfinished(&self, release: u64, asset: &Asset) -> Result<(), NetError> {
        let now = self.assets(release).await?;
        match now.iter().find(|now| now.id == asset.id) {
            Some(now) if !now.uploaded => {
                self.delete(&format!("/releases/assets/{}", asset.id)).await
            }
            _ => Ok(()),
        }
    }

    /// The bytes of an asset, which may belong to a draft. The caller must verify them.
    ///
    /// # Errors
    /// If it does not exist, or the body is incomplete.
    pub async fn download(&self, asset: &Asset) -> Result<Vec<u8>, NetError> {
        let url = self.url(&format!("/releases/assets/{}", asset.id));
        if asset.size > call::LARGEST_FILE {
            let reason = format!("the file has {} bytes, more than any of ours", asset.size);
            return Err(NetError::protocol(&url, reason));
        }
        retry(self.endpoints.retry_policy(), || async {
            let request = Request::builder()
                .uri(url.as_str())
                .header(header::ACCEPT, "application/octet-stream")
                .body(String::new())
                .map_err(|error| NetError::protocol(&url, error.to_string()))?;
            let policy = self.endpoints.retry_policy();
            let sizes = (asset.size, asset.size);
            let body = call::bytes(&self.crab, policy, (url.as_str(), request), sizes).await?;
            Ok(body.to_vec())
        })
        .await
    }
}

/// `asset`, if GitHub received what was sent.
fn proven(url: &Url, asset: Asset, size: u64, digest: Digest) -> Result<Asset, NetError> {
    if asset.size != size {
        let bytes = |size: u64| format!("{size} bytes");
        return Err(NetError::mismatch(url, bytes(size), bytes(asset.size)));
    }
    match asset.digest {
        Some(found) if found != digest => Err(NetError::mismatch(url, digest, found)),
        _ if !asset.uploaded => Err(NetError::protocol(url, "the upload is incomplete")),
        _ => Ok(asset),
    }
}
