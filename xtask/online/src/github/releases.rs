//! The releases of a repository: find, draft, correct and publish.

use http::Method;
use serde::Deserialize as _;
use serde_json::{Value, json};

use super::model::{Release, ReleaseFields};
use super::{GitHub, MOST_PAGES, PAGE, call};
use crate::error::NetError;

impl GitHub {
    /// All releases, newest first. Includes drafts only if the token may write.
    ///
    /// # Errors
    /// If the list cannot be read.
    pub async fn releases(&self) -> Result<Vec<Release>, NetError> {
        let mut all: Vec<Release> = Vec::new();
        for page in 1..=MOST_PAGES {
            let url = self.url(&format!("/releases?per_page={PAGE}&page={page}"));
            let releases: Vec<Release> = self.get(&url).await?;
            let full = releases.len() == usize::from(PAGE);
            // A release created meanwhile shifts the others to the next page.
            all.extend(releases);
            if !full {
                break;
            }
        }
        all.sort_by_key(|release| std::cmp::Reverse(release.id));
        all.dedup_by_key(|release| release.id);
        Ok(all)
    }

    /// The release with GitHub's id `id`.
    ///
    /// # Errors
    /// `NotFound` if it does not exist; otherwise as every request.
    pub async fn release(&self, id: u64) -> Result<Release, NetError> {
        self.get(&self.url(&format!("/releases/{id}"))).await
    }

    /// The release that GitHub marks as the latest, if any.
    ///
    /// # Errors
    /// As every request.
    pub async fn latest(&self) -> Result<Option<Release>, NetError> {
        match self.get(&self.url("/releases/latest")).await {
            Ok(release) => Ok(Some(release)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Creates a draft. Never retried, because after a lost response the draft may exist; look for it first.
    ///
    /// # Errors
    /// If GitHub refuses or does not respond.
    pub async fn create_draft(&self, fields: &ReleaseFields) -> Result<Release, NetError> {
        let url = self.url("/releases");
        let mut new = to_json(fields);
        new["draft"] = json!(true);
        let post = (Method::POST, url.as_str());
        call::json(&self.crab, self.endpoints.retry_policy(), post, Some(&new)).await
    }

    /// Sets the fields of the draft `id`.
    ///
    /// # Errors
    /// If GitHub refuses or does not respond.
    pub async fn correct(&self, id: u64, fields: &ReleaseFields) -> Result<Release, NetError> {
        self.change(id, &to_json(fields)).await
    }

    /// Publishes a draft, and marks it as the latest release if `latest`. Safe to repeat. `fields` are sent again,
    /// because a draft that is edited without its tag loses it.
    ///
    /// # Errors
    /// If GitHub refuses or does not respond, or the release is still a draft afterwards.
    pub async fn publish(
        &self,
        id: u64,
        fields: &ReleaseFields,
        latest: bool,
    ) -> Result<Release, NetError> {
        let mut change = to_json(fields);
        change["draft"] = json!(false);
        change["make_latest"] = json!(latest.to_string());
        let published = self.change(id, &change).await?;
        match published.draft {
            true => {
                let url = self.url(&format!("/releases/{id}"));
                Err(NetError::protocol(&url, "the release is still a draft"))
            }
            false => Ok(published),
        }
    }

    /// Marks the public release `id` as the latest.
    ///
    /// # Errors
    /// If GitHub refuses or does not respond.
    pub async fn make_latest(&self, id: u64) -> Result<Release, NetError> {
        self.change(id, &json!({"make_latest": "true"})).await
    }

    /// Deletes the draft `id` if it is still a draft without files. Returns whether it no longer exists.
    ///
    /// # Errors
    /// If GitHub refuses or does not respond.
    pub async fn delete_empty_draft(&self, id: u64) -> Result<bool, NetError> {
        match self.release(id).await {
            Ok(release) if !release.draft || !self.assets(id).await?.is_empty() => Ok(false),
            Ok(_) => self.delete(&format!("/releases/{id}")).await.map(|()| true),
            Err(error) if error.is_not_found() => Ok(true),
            Err(error) => Err(error),
        }
    }

    async fn change(&self, id: u64, change: &Value) -> Result<Release, NetError> {
        let url = self.url(&format!("/releases/{id}"));
        let answer: Value = self.patch(&url, change).await?;
        Release::deserialize(answer).map_err(|error| NetError::protocol(&url, error.to_string()))
    }
}

fn to_json(fields: &ReleaseFields) -> Value {
    json!({
        "tag_name": fields.tag,
        "target_commitish": fields.commit,
        "name": fields.name,
        "body": fields.body,
        "prerelease": fields.prerelease,
    })
}
