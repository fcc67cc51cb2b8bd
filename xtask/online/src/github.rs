//! GitHub Releases: what it takes to draft a release, fill it, look at it again and publish it.
//!
//! octocrab speaks to GitHub; its typed calls are used where they check the answer, its raw ones
//! for deleting (the typed call takes a refusal for success), uploading (it does not escape the
//! name), publishing (it sends a field that GitHub does not describe) and downloading.

mod failure;
mod model;
mod tags;
mod token;
mod tracker;
mod versions;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::http::{Method, Request, Response, Uri, header};
use http_body_util::BodyExt as _;
use octocrab::{FromResponse as _, Octocrab, OctocrabBuilder};
use polis_base::Digest;
use reqwest::Url;
use serde_json::json;

use crate::client::{careful, client};
use crate::endpoint::{Endpoints, Patience};
use crate::error::{NetError, chain};
use crate::retry::retry;

pub use model::{Asset, NewRelease, Release};
pub use tags::Tags;
pub use token::{Token, VARIABLE};
pub use tracker::{Issue, Tracker};

/// The host of GitHub's API.
pub const API: &str = "api.github.com";
/// The host that takes release assets.
pub const UPLOADS: &str = "uploads.github.com";

/// The most that a page of a list holds.
const PAGE: u8 = 100;
/// The slowest transfer of an asset that we wait for, in bytes per second.
const SLOWEST: u64 = 32 * 1024;

/// A client for the releases of one repository.
pub struct GitHub {
    crab: Octocrab,
    api: Url,
    uploads: Url,
    endpoints: Endpoints,
    owner: String,
    repo: String,
}

impl GitHub {
    /// A client for `owner/repo` that reaches GitHub through `endpoints`. Call it inside a tokio
    /// runtime.
    ///
    /// # Errors
    /// When an address is not acceptable.
    pub fn new(
        endpoints: &Endpoints,
        owner: &str,
        repo: &str,
        token: &Token,
    ) -> Result<Self, NetError> {
        let (crab, api, uploads) = connect(endpoints, Some(token))?;
        Ok(Self {
            crab,
            api,
            uploads,
            endpoints: endpoints.clone(),
            owner: owner.to_owned(),
            repo: repo.to_owned(),
        })
    }

    /// Makes a draft. It is not tried again by itself: a lost answer may hide a draft that was
    /// made, so look with [`Self::find`] first.
    ///
    /// # Errors
    /// When GitHub refuses it or does not answer.
    pub async fn create_draft(&self, release: &NewRelease) -> Result<Release, NetError> {
        let repo = self.crab.repos(&self.owner, &self.repo);
        let releases = repo.releases();
        let mut draft = releases
            .create(&release.tag)
            .name(&release.name)
            .body(&release.body)
            .prerelease(release.prerelease)
            .draft(true);
        if !release.commit.is_empty() {
            draft = draft.target_commitish(&release.commit);
        }
        let url = self.url("");
        self.within(&url, 0, draft.send()).await.map(Release::from)
    }

    /// The release of `tag`, drafts included. Of several, a public one comes first, then the
    /// newest.
    ///
    /// # Errors
    /// When the list cannot be read.
    pub async fn find(&self, tag: &str) -> Result<Option<Release>, NetError> {
        let mut found: Option<Release> = None;
        for page in 1_u32.. {
            // GitHub finds no draft by its tag, so the list is what there is to search.
            let releases = self.page(page).await?;
            let full = releases.len() == usize::from(PAGE);
            for release in releases.into_iter().filter(|release| release.tag == tag) {
                let better = found
                    .as_ref()
                    .is_none_or(|known| (!release.draft, release.id) > (!known.draft, known.id));
                if better {
                    found = Some(release);
                }
            }
            if !full {
                break;
            }
        }
        Ok(found)
    }

    async fn page(&self, page: u32) -> Result<Vec<Release>, NetError> {
        let url = self.url(&format!("?per_page={PAGE}&page={page}"));
        retry(self.endpoints.patience(), || async {
            let repo = self.crab.repos(&self.owner, &self.repo);
            let releases = repo.releases();
            let list = releases.list().per_page(PAGE).page(page).send();
            let list = self.within(&url, 0, list).await?;
            Ok(list.items.into_iter().map(Release::from).collect())
        })
        .await
    }

    /// The files of a release.
    ///
    /// # Errors
    /// When the list cannot be read.
    pub async fn assets(&self, release: u64) -> Result<Vec<Asset>, NetError> {
        let url = self.url(&format!("/{release}/assets"));
        let mut assets = Vec::new();
        for page in 1_u32.. {
            let mut items = retry(self.endpoints.patience(), || async {
                let repo = self.crab.repos(&self.owner, &self.repo);
                let releases = repo.releases();
                let list = releases.assets(release).per_page(PAGE).page(page).send();
                Ok(self.within(&url, 0, list).await?.items)
            })
            .await?;
            let full = items.len() == usize::from(PAGE);
            assets.extend(items.drain(..).map(Asset::from));
            if !full {
                break;
            }
        }
        Ok(assets)
    }

    /// Uploads the file at `path` under its own name. When an attempt fails half-way, what it
    /// left behind is removed before the next one.
    ///
    /// # Errors
    /// Of kind `Local` when the file cannot be read, `Protocol` when the release has a file of
    /// that name already, `Mismatch` when GitHub then holds other bytes.
    pub async fn upload(&self, release: u64, path: &Path) -> Result<Asset, NetError> {
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        let mut url = self.uploads.clone();
        url.set_path(&format!(
            "/repos/{}/{}/releases/{release}/assets",
            self.owner, self.repo
        ));
        url.query_pairs_mut().append_pair("name", name);
        let bytes = tokio::fs::read(path)
            .await
            .map_err(|error| NetError::local(&url, path, &error))?;
        let (size, digest) = (bytes.len() as u64, Digest::of(&bytes));
        let bytes = axum::body::Bytes::from(bytes);
        let again = AtomicBool::new(false);
        let asset = retry(self.endpoints.patience(), || async {
            if again.swap(true, Ordering::Relaxed) {
                self.remove_leftover(release, name).await?;
            }
            self.upload_once(&url, bytes.clone()).await
        })
        .await?;
        if asset.size != size {
            return Err(NetError::mismatch(
                &url,
                format!("{size} bytes"),
                format!("{} bytes", asset.size),
            ));
        }
        match asset.digest {
            Some(found) if found != digest => Err(NetError::mismatch(&url, digest, found)),
            _ if !asset.uploaded => Err(NetError::protocol(&url, "the upload was not finished")),
            _ => Ok(asset),
        }
    }

    async fn upload_once(&self, url: &Url, bytes: axum::body::Bytes) -> Result<Asset, NetError> {
        let size = bytes.len() as u64;
        let request = Request::builder()
            .method(Method::POST)
            .uri(url.as_str())
            .header(header::CONTENT_TYPE, "application/octet-stream")
            .header(header::CONTENT_LENGTH, size)
            .body(bytes)
            .map_err(|error| NetError::protocol(url, error.to_string()))?;
        let upload = async {
            let response = self.crab.execute(request).await?;
            octocrab::map_github_error(response)
                .await?
                .into_body()
                .collect()
                .await
        };
        let answer = self.within(url, size, upload).await?.to_bytes();
        let asset: octocrab::models::repos::Asset = serde_json::from_slice(&answer)
            .map_err(|error| NetError::protocol(url, error.to_string()))?;
        Ok(asset.into())
    }

    async fn remove_leftover(&self, release: u64, name: &str) -> Result<(), NetError> {
        let assets = self.assets(release).await?;
        match assets.iter().find(|asset| asset.name == name) {
            Some(leftover) => self.delete_asset(leftover.id).await,
            None => Ok(()),
        }
    }

    /// The bytes of an asset, of a draft too. What they should be is for the caller to compare.
    ///
    /// # Errors
    /// When it is not there, or the body does not come whole.
    pub async fn download(&self, asset: &Asset) -> Result<Vec<u8>, NetError> {
        let url = self.url(&format!("/assets/{}", asset.id));
        retry(self.endpoints.patience(), || async {
            let request = Request::builder()
                .uri(url.as_str())
                .header(header::ACCEPT, "application/octet-stream")
                .body(String::new())
                .map_err(|error| NetError::protocol(&url, error.to_string()))?;
            let download = async {
                let response: Response<_> = self.crab.execute(request).await?;
                octocrab::map_github_error(response)
                    .await?
                    .into_body()
                    .collect()
                    .await
            };
            Ok(self
                .within(&url, asset.size, download)
                .await?
                .to_bytes()
                .to_vec())
        })
        .await
    }

    /// Deletes an asset; one that is gone already is no error.
    ///
    /// # Errors
    /// When GitHub refuses or does not answer.
    pub async fn delete_asset(&self, asset: u64) -> Result<(), NetError> {
        self.delete(&format!("/assets/{asset}")).await
    }

    async fn delete(&self, tail: &str) -> Result<(), NetError> {
        let url = self.url(tail);
        let deleted = retry(self.endpoints.patience(), || async {
            let uri: Uri = url
                .as_str()
                .parse()
                .map_err(|_| NetError::protocol(&url, "is not an address"))?;
            let delete = async {
                let response = self.crab._delete(uri, None::<&()>).await?;
                octocrab::map_github_error(response).await.map(drop)
            };
            self.within(&url, 0, delete).await
        })
        .await;
        deleted.or_else(|error| {
            if error.is_not_found() {
                Ok(())
            } else {
                Err(error)
            }
        })
    }

    /// Makes a draft public, and GitHub's latest release where `latest` says so.
    ///
    /// # Errors
    /// When GitHub refuses or does not answer, or the release is still a draft afterwards.
    pub async fn publish(&self, release: u64, latest: bool) -> Result<Release, NetError> {
        let url = self.url(&format!("/{release}"));
        let change = json!({"draft": false, "make_latest": latest.to_string()});
        let published = retry(self.endpoints.patience(), || async {
            let patch = async {
                let response = self.crab._patch(url.as_str(), Some(&change)).await?;
                let answer = octocrab::map_github_error(response).await?;
                octocrab::models::repos::Release::from_response(answer).await
            };
            self.within(&url, 0, patch).await.map(Release::from)
        })
        .await?;
        match published.draft {
            true => Err(NetError::protocol(&url, "the release is still a draft")),
            false => Ok(published),
        }
    }

    /// The address of the releases, and `tail` behind it.
    fn url(&self, tail: &str) -> String {
        let Self {
            api, owner, repo, ..
        } = self;
        format!("{api}repos/{owner}/{repo}/releases{tail}")
    }

    /// Bounds the time of one exchange in which about `size` bytes travel.
    async fn within<T>(
        &self,
        url: impl std::fmt::Display,
        size: u64,
        call: impl Future<Output = octocrab::Result<T>>,
    ) -> Result<T, NetError> {
        exchange(self.endpoints.patience(), url, size, call).await
    }
}

/// octocrab on our client, and the addresses of the API and of what takes uploads.
fn connect(endpoints: &Endpoints, token: Option<&Token>) -> Result<(Octocrab, Url, Url), NetError> {
    let base = |host| {
        endpoints
            .base(host)
            .map_err(|error| NetError::endpoint(host, &error))
    };
    let (api, uploads) = (base(API)?, base(UPLOADS)?);
    let client = client(endpoints, careful(), None)?;
    let mut builder = OctocrabBuilder::new();
    if let Some(token) = token {
        builder = builder.personal_token(token.reveal().to_owned());
    }
    let crab = builder
        .base_uri(api.as_str())
        .and_then(|builder| builder.upload_uri(uploads.as_str()))
        .and_then(|builder| builder.build_with_reqwest(client))
        .map_err(|error| NetError::protocol(&api, chain(&error)))?;
    Ok((crab, api, uploads))
}

/// Bounds the time of one exchange in which about `size` bytes travel.
async fn exchange<T>(
    patience: Patience,
    url: impl std::fmt::Display,
    size: u64,
    call: impl Future<Output = octocrab::Result<T>>,
) -> Result<T, NetError> {
    let limit = patience.connect + patience.read + Duration::from_secs(size / SLOWEST);
    match tokio::time::timeout(patience.left(limit), call).await {
        Ok(result) => result.map_err(|error| failure::translate(url, error)),
        Err(_) => Err(NetError::unreachable(url, "no answer in time")),
    }
}
