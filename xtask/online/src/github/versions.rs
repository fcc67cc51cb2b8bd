//! Which versions a public repository has published.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{PAGE, Tags, exchange};
use crate::error::NetError;
use crate::retry::retry;

/// The most pages that are read of one list.
const MOST_PAGES: usize = 10;

#[derive(Deserialize)]
struct Release {
    tag_name: String,
    draft: bool,
    prerelease: bool,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

impl Tags {
    /// The tags of the releases of `repository` (`owner/name`) that are public and no
    /// prereleases; where it has none, all of its tags.
    ///
    /// # Errors
    /// As every request.
    pub async fn versions(&self, repository: &str) -> Result<Vec<String>, NetError> {
        let releases: Vec<Release> = self.list(repository, "releases").await?;
        let released: Vec<String> = releases
            .into_iter()
            .filter(|release| !release.draft && !release.prerelease)
            .map(|release| release.tag_name)
            .collect();
        if !released.is_empty() {
            return Ok(released);
        }
        let tags: Vec<Named> = self.list(repository, "tags").await?;
        Ok(tags.into_iter().map(|tag| tag.name).collect())
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
            let patience = self.endpoints.patience();
            let items: Vec<T> = retry(patience, || async {
                let get = self.crab.get(&url, None::<&()>);
                exchange(patience, &url, 0, get).await
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
