//! Which commit a tag of any public repository names.

use http::Method;
use octocrab::Octocrab;
use reqwest::Url;
use serde::Deserialize;

use super::repository::TagRef;
use super::{Token, call, connect};
use crate::endpoint::Endpoints;
use crate::error::NetError;
use crate::retry::retry;

/// How many tags of tags are followed; git allows them without end.
const DEEPEST: usize = 4;

/// Asks for tags, with a token or without: without one GitHub answers sixty times an hour.
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
    /// A client that reaches GitHub through `endpoints`. Call it inside a tokio runtime.
    ///
    /// # Errors
    /// When an address is not acceptable.
    pub fn new(endpoints: &Endpoints, token: Option<&Token>) -> Result<Self, NetError> {
        let (crab, api, _) = connect(endpoints, token)?;
        Ok(Self {
            crab,
            api,
            endpoints: endpoints.clone(),
        })
    }

    /// The commit that `tag` of `repository` (`owner/name`) names; an annotated tag is followed.
    ///
    /// # Errors
    /// As [`Self::resolve`].
    pub async fn commit(&self, repository: &str, tag: &str) -> Result<String, NetError> {
        Ok(self.resolve(repository, tag).await?.commit)
    }

    /// What `tag` of `repository` (`owner/name`) names, and the commit behind it.
    ///
    /// # Errors
    /// Of kind `NotFound` when there is no such tag, `RateLimited` when GitHub wants fewer
    /// requests, or as every request.
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
        let reason = format!("the tag `{tag}` names a {} and no commit", object.kind);
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
