//! The GitHub client: drafts, files, verification and publication of a release.
//!
//! Uses octocrab for authentication, errors and rate limits. Responses are parsed into our own structs (see [`model`]).
//! Uploads, downloads and deletions use octocrab's raw calls, because the typed ones do not escape names, read
//! everything twice, or mistake a rejection for success.

mod assets;
mod call;
mod failure;
mod git;
mod model;
mod pulls;
mod releases;
mod repository;
mod tags;
mod token;
mod tracker;
mod versions;

use http::Method;
use octocrab::{Octocrab, OctocrabBuilder};
use reqwest::Url;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value;

use crate::client::{client, redirect_policy};
use crate::endpoint::Endpoints;
use crate::error::{NetError, chain};
use crate::retry::retry;

pub use assets::Upload;
pub use git::{Branch, Entry, blob_name};
pub use model::{Asset, ExistingAsset, Release, ReleaseFields};
pub use pulls::Pull;
pub use repository::{Setting, TagRef};
pub use tags::Tags;
pub use token::{Token, VARIABLE};
pub use tracker::{Issue, Tracker};
pub use versions::PublishedVersion;

/// The host of GitHub's API.
pub const API: &str = "api.github.com";
/// The host that accepts release assets.
pub const UPLOADS: &str = "uploads.github.com";

/// The maximum page size of lists.
const PAGE: u8 = 100;
/// The limit on pages of a list.
const MOST_PAGES: u32 = 100;

/// A client for the releases of one repository.
pub struct GitHub {
    crab: Octocrab,
    api: Url,
    uploads: Url,
    endpoints: Endpoints,
    /// `owner/name`.
    repository: String,
    /// Whether the token is an app's.
    of_an_app: bool,
}

impl GitHub {
    /// A client for `repository` (`owner/name`) that connects through `endpoints`. Without a token, it sees public data
    /// and is limited to sixty requests an hour. Call it inside a tokio runtime.
    ///
    /// # Errors
    /// If an address is not acceptable.
    pub fn new(
        endpoints: &Endpoints,
        repository: &str,
        token: Option<&Token>,
    ) -> Result<Self, NetError> {
        let (crab, api, uploads) = connect(endpoints, token)?;
        Ok(Self {
            crab,
            api,
            uploads,
            endpoints: endpoints.clone(),
            repository: repository.to_owned(),
            of_an_app: token.is_some_and(Token::is_of_an_app),
        })
    }

    fn tags(&self) -> Tags {
        Tags {
            crab: self.crab.clone(),
            api: self.api.clone(),
            endpoints: self.endpoints.clone(),
        }
    }

    async fn get<T: DeserializeOwned>(&self, url: &str) -> Result<T, NetError> {
        retry(self.endpoints.retry_policy(), || async {
            call::json(
                &self.crab,
                self.endpoints.retry_policy(),
                (Method::GET, url),
                None,
            )
            .await
        })
        .await
    }

    /// Patches `url`. All changes that we make are idempotent.
    async fn patch(&self, url: &str, change: &Value) -> Result<Value, NetError> {
        retry(self.endpoints.retry_policy(), || async {
            let patch = (Method::PATCH, url);
            call::json(
                &self.crab,
                self.endpoints.retry_policy(),
                patch,
                Some(change),
            )
            .await
        })
        .await
    }

    /// Posts `new` to `tail`. Never retried, because after a lost response the object may exist.
    async fn post<T: DeserializeOwned>(&self, tail: &str, new: &Value) -> Result<T, NetError> {
        let url = self.url(tail);
        let post = (Method::POST, url.as_str());
        call::json(&self.crab, self.endpoints.retry_policy(), post, Some(new)).await
    }

    /// Deletes `tail`. It is not an error if it no longer exists.
    async fn delete(&self, tail: &str) -> Result<(), NetError> {
        let url = self.url(tail);
        let deleted = retry(self.endpoints.retry_policy(), || async {
            let delete = (Method::DELETE, url.as_str());
            call::json::<Option<IgnoredAny>>(
                &self.crab,
                self.endpoints.retry_policy(),
                delete,
                None,
            )
            .await
        })
        .await;
        match deleted {
            Err(error) if !error.is_not_found() => Err(error),
            _ => Ok(()),
        }
    }

    /// The URL of `tail` in the repository.
    fn url(&self, tail: &str) -> String {
        format!("{}repos/{}{tail}", self.api, self.repository)
    }
}

/// octocrab with our HTTP client, and the base URLs of the API and of uploads.
fn connect(endpoints: &Endpoints, token: Option<&Token>) -> Result<(Octocrab, Url, Url), NetError> {
    let base = |host| endpoints.base(host).map_err(|error| error.at(host));
    let (api, uploads) = (base(API)?, base(UPLOADS)?);
    let client = client(endpoints, redirect_policy(), None)?;
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
