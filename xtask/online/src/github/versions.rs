//! The published versions of a public repository.

use http::Method;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{PAGE, Tags, call};
use crate::error::NetError;
use crate::retry::retry;

/// The limit on pages of a list.
const MOST_PAGES: usize = 10;

#[derive(Deserialize)]
struct PublicRelease {
    tag_name: String,
    draft: bool,
    prerelease: bool,
    published_at: Option<String>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

#[derive(Deserialize)]
struct CommitFields {
    commit: Inner,
}

#[derive(Deserialize)]
struct Inner {
    committer: Dated,
}

#[derive(Deserialize)]
struct Dated {
    date: String,
}

/// A published version of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedVersion {
    /// Its tag.
    pub tag: String,
    /// When its release was published, as GitHub writes it (`2026-01-02T03:04:05Z`); `None` for a tag without a
    /// release.
    pub published: Option<String>,
}

impl Tags {
    /// The tags of all public releases of `repository` (`owner/name`) that are not prereleases, or all of its tags if
    /// it has no such release.
    ///
    /// # Errors
    /// As every request.
    pub async fn versions(&self, repository: &str) -> Result<Vec<PublishedVersion>, NetError> {
        let releases: Vec<PublicRelease> = self.list(repository, "releases").await?;
        let released: Vec<PublishedVersion> = releases
            .into_iter()
            .filter(|release| !release.draft && !release.prerelease)
            .map(|release| PublishedVersion {
                tag: release.tag_name,
                published: release.published_at,
            })
            .collect();
        if !released.is_empty() {
            return Ok(released);
        }
        let tags: Vec<Named> = self.list(repository, "tags").await?;
        let version = |tag: Named| PublishedVersion {
            tag: tag.name,
            published: None,
        };
        Ok(tags.into_iter().map(version).collect())
    }

    /// The date of the commit that a tag names, as GitHub writes it.
    ///
    /// # Errors
    /// As every request.
    pub async fn committed(&self, repository: &str, tag: &str) -> Result<String, NetError> {
        let commit = self.commit(repository, tag).await?;
        let url = format!("{}repos/{repository}/commits/{commit}", self.api);
        let policy = self.endpoints.retry_policy();
        let fields: CommitFields = retry(policy, || async {
            call::json(&self.crab, policy, (Method::GET, &url), None).await
        })
        .await?;
        Ok(fields.commit.committer.date)
    }

    async fn list<T: DeserializeOwned>(
        &self,
        repository: &str,
        what: &str,
    ) -> Result<Vec<T>, NetError> {
        let mut all = Vec::new();
        for page in 1..=MOST_PAGES {
            let url = format!(
                "{}repos/{repository}/{what}?per_page={PAGE}&page={page}",
                self.api
            );
            let policy = self.endpoints.retry_policy();
            let items: Vec<T> = retry(policy, || async {
                call::json(&self.crab, policy, (Method::GET, &url), None).await
            })
            .await?;
            let full = items.len() == usize::from(PAGE);
            all.extend(items);
            if !full {
                break;
            }
        }
        Ok(all)
    }
}
