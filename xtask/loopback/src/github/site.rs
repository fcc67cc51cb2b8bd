//! The server's address and repository, for the URLs in its answers.

use serde_json::{Value, json};

/// The time in every answer, so that rehearsals do not depend on the date.
pub(super) const TIME: &str = "1970-01-01T00:00:00Z";

#[derive(Debug, Clone)]
pub(super) struct Site {
    /// `http://127.0.0.1:PORT`.
    pub(super) url: String,
    pub(super) owner: String,
    pub(super) repo: String,
    /// Whether users have a `gravatar_id`.
    pub(super) gravatar: bool,
    /// Whether the labels of an issue are plain names.
    pub(super) plain_labels: bool,
}

impl Site {
    pub(super) fn user(&self) -> Value {
        let api = format!("{}/users/{}", self.url, self.owner);
        json!({
            "login": self.owner,
            "id": 1,
            "node_id": "U_1",
            "avatar_url": format!("{}/avatars/1", self.url),
            "gravatar_id": self.gravatar.then_some(""),
            "url": api,
            "html_url": format!("{}/{}", self.url, self.owner),
            "followers_url": format!("{api}/followers"),
            "following_url": format!("{api}/following{{/other_user}}"),
            "gists_url": format!("{api}/gists{{/gist_id}}"),
            "starred_url": format!("{api}/starred{{/owner}}{{/repo}}"),
            "subscriptions_url": format!("{api}/subscriptions"),
            "organizations_url": format!("{api}/orgs"),
            "repos_url": format!("{api}/repos"),
            "events_url": format!("{api}/events{{/privacy}}"),
            "received_events_url": format!("{api}/received_events"),
            "type": "User",
            "site_admin": false,
        })
    }
}
