//! The files of a release: listed, uploaded, downloaded. A file that GitHub has whole is never
//! deleted.

use bytes::Bytes;
use http::{Method, Request, header};
use polis_base::Digest;
use reqwest::Url;

use super::model::{Asset, ExistingAsset};
use super::{GitHub, MOST_PAGES, PAGE, call};
use crate::error::NetError;
use crate::retry::retry;

/// What an upload came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Upload {
    /// The very bytes are there.
    There(Asset),
    /// Other bytes stand under that name; nothing was touched.
    Other(Asset),
}

impl GitHub {
    /// The files of a release, each with its digest: where GitHub tells none, its bytes are read.
    ///
    /// # Errors
    /// When the list cannot be read.
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

    /// Uploads `bytes` under `name`. After an attempt without an answer, or where another client was
    /// faster, it is first looked at what the release holds: an answer that was lost costs nothing,
    /// and the beginning of a broken upload, which holds no byte, is cleared away.
    ///
    /// # Errors
    /// `Mismatch` when GitHub then holds other bytes than were sent, or as every request.
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
                Err(error) if error.is_passing() || error.is_settled() => error,
                Err(error) => return Err(error),
            };
            match ExistingAsset::find(&self.assets(release).await?, name, size, digest) {
                ExistingAsset::Same(asset) => Ok(Upload::There(asset)),
                ExistingAsset::Other(asset) => Ok(Upload::Other(asset)),
                ExistingAsset::Unfinished(asset) => {
                    self.delete_unfinished(release, &asset).await?;
                    Err(NetError::unreachable(
                        &url,
                        format!("the upload broke off: {}", failed.detail),
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

    /// Deletes what an upload that broke off has left. GitHub is asked again just before: a file
    /// that has become whole meanwhile stays.
    ///
    /// # Errors
    /// When GitHub refuses or does not answer.
    pub async fn delete_unfinished(&self, release: u64, asset: &Asset) -> Result<(), NetError> {
        let now = self.assets(release).await?;
        match now.iter().find(|now| now.id == asset.id) {
            Some(now) if !now.uploaded => {
                self.delete(&format!("/releases/assets/{}", asset.id)).await
            }
            _ => Ok(()),
        }
    }

    /// The bytes of an asset, of a draft too. What they should be is for the caller to compare.
    ///
    /// # Errors
    /// When it is not there, or the body does not come whole.
    pub async fn download(&self, asset: &Asset) -> Result<Vec<u8>, NetError> {
        let url = self.url(&format!("/releases/assets/{}", asset.id));
        if asset.size > call::LARGEST_FILE {
            let reason = format!("a file of {} bytes is larger than any of ours", asset.size);
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

/// `asset`, if GitHub took in what was sent.
fn proven(url: &Url, asset: Asset, size: u64, digest: Digest) -> Result<Asset, NetError> {
    if asset.size != size {
        let bytes = |size: u64| format!("{size} bytes");
        return Err(NetError::mismatch(url, bytes(size), bytes(asset.size)));
    }
    match asset.digest {
        Some(found) if found != digest => Err(NetError::mismatch(url, digest, found)),
        _ if !asset.uploaded => Err(NetError::protocol(url, "the upload was not finished")),
        _ => Ok(asset),
    }
}
