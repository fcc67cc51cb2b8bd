//! Resolves tags of public repositories to commits.

use http::Method;
use octocrab::Octocrab;
use reqwest::Url;
use serde::Deserialize;

use super::repository::TagRef;
use super::{Token, call, connect};
use crate::endpoint::Endpoints;
use crate::error::NetError;
use crate::retry::retry;

/// The limit on tags that name tags, which git allows without limit.
const DEEPEST: usize = 4;

/// Resolves tags. Without a token, GitHub allows sixty requests an hour.
#[derive(Clone)]
pub struct Tags {
    pub(super) crab: Octocrab,
    pub(super) api: Url,
    pub(super) endpoints: Endpoints,
}

#[derive(Deserialize)]
struct Named {
    object: Object,
}

#[derive(Deserialize)]
struct Object {
    #[serde(rename = "type")]
    kind: String,
    sha: String,
}

impl Tags {
    /// A client that connects through `endpoints`. Call it inside a tokio runtime.
    ///
    /// # Errors
    /// If an address is not acceptable.
    pub fn new(endpoints: &Endpoints, token: Option<&Token>) -> Result<Self, NetError> {
        let (crab, api, _) = connect(endpoints, token)?;
        Ok(Self {
            crab,
            api,
            endpoints: endpoints.clone(),
        })
    }

    /// The commit that `tag` of `repository` (`owner/name`) names, directly or through annotated tags.
    ///
    /// # Errors
    /// As [`Self::resolve`].
    pub async fn commit(&self, repository: &str, tag: &str) -> Result<String, NetError> {
        Ok(self.resolve(repository, tag).await?.commit)
    }

    /// The object that `tag` of `repository` (`owner/name`) names, and its commit.
    ///
    /// # Errors
    /// `NotFound` if the tag does not exist, `RateLimited` if GitHub limits our requests; otherwise as every request.
    pub async fn resolve(&self, repository: &str, tag: &str) -> Result<TagRef, NetError> {
        let mut object = self.object(repository, &format!("ref/tags/{tag}")).await?;
        let named = object.sha.clone();
        for _ in 0..DEEPEST {
            match object.kind.as_str() {
                "commit" => {
                    return Ok(TagRef {
                        object: named,
                        commit: object.sha,
                    });
                }
                "tag" => {
                    let path = format!("tags/{}", object.sha);
                    object = self.object(repository, &path).await?;
                }
                _ => break,
            }
        }
        let reason = format!("the tag `{tag}` names a {}, not a commit", object.kind);
        Err(NetError::protocol(repository, reason))
    }

    async fn object(&self, repository: &str, path: &str) -> Result<Object, NetError> {
        let url = format!("{}repos/{repository}/git/{path}", self.api);
        let policy = self.endpoints.retry_policy();
        retry(policy, || async {
            let get = (Method::GET, url.as_str());
            let named: Named = call::json(&self.crab, policy, get, None).await?;
            Ok(named.object)
        })
        .await
    }
}
