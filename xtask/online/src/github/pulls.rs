//! The pull requests of one branch.

use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use super::{GitHub, PAGE};
use crate::error::NetError;

/// A pull request.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Pull {
    /// Its number.
    pub number: u64,
    /// Its page.
    #[serde(rename = "html_url")]
    pub url: String,
    /// Its description.
    #[serde(default, deserialize_with = "text")]
    pub body: String,
    /// Whether it is open.
    #[serde(rename = "state", deserialize_with = "is_open")]
    pub open: bool,
    head: Head,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Head {
    label: Option<String>,
}

/// GitHub writes `null` for an empty text.
fn text<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    Option::<String>::deserialize(from).map(Option::unwrap_or_default)
}

fn is_open<'de, D: Deserializer<'de>>(from: D) -> Result<bool, D::Error> {
    String::deserialize(from).map(|state| state == "open")
}

impl GitHub {
    /// The newest hundred pull requests, open or closed, from `branch` of this repository into `base`, newest first.
    ///
    /// # Errors
    /// As every request.
    pub async fn pulls(&self, branch: &str, base: &str) -> Result<Vec<Pull>, NetError> {
        let owner = self.repository.split('/').next().unwrap_or_default();
        let label = format!("{owner}:{branch}");
        let url = self.url(&format!(
            "/pulls?state=all&head={label}&base={base}&sort=created&direction=desc&per_page={PAGE}"
        ));
        let mut pulls: Vec<Pull> = self.get(&url).await?;
        // GitHub ignores a `head` that it does not understand, and then lists all pull requests.
        let ours = |pull: &Pull| {
            let found = pull.head.label.as_deref();
            found.is_some_and(|found| found.eq_ignore_ascii_case(&label))
        };
        pulls.retain(ours);
        Ok(pulls)
    }

    /// Opens a pull request from `branch` into `base`.
    ///
    /// # Errors
    /// If GitHub refuses, for example because one is already open, or does not respond.
    pub async fn open_pull(
        &self,
        branch: &str,
        base: &str,
        title: &str,
        body: &str,
    ) -> Result<Pull, NetError> {
        let new = json!({"title": title, "head": branch, "base": base, "body": body});
        self.post("/pulls", &new).await
    }

    /// Updates the fields of the pull request `number` from `change`.
    ///
    /// # Errors
    /// If GitHub refuses or does not respond.
    pub async fn change_pull(&self, number: u64, change: &Value) -> Result<(), NetError> {
        let url = self.url(&format!("/pulls/{number}"));
        self.patch(&url, change).await.map(drop)
    }

    /// Comments on the issue or pull request `number`.
    ///
    /// # Errors
    /// If GitHub refuses or does not respond.
    pub async fn comment(&self, number: u64, text: &str) -> Result<(), NetError> {
        let tail = format!("/issues/{number}/comments");
        let new = json!({"body": text});
        self.post::<Value>(&tail, &new).await.map(drop)
    }
}
