//! What a repository allows, and what GitHub says about its tags and its published releases.

use serde::Deserialize;
use serde_json::Value;

use super::GitHub;
use crate::error::{ErrorKind, NetError};

/// Something that GitHub may not tell us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setting {
    /// It is on.
    On,
    /// It is off.
    Off,
    /// This token may not know: `GITHUB_TOKEN` never has the permission.
    Unknown,
}

/// A tag of the repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagRef {
    /// The object that the tag names: a commit, or an annotated tag.
    pub object: String,
    /// The commit behind it.
    pub commit: String,
}

#[derive(Deserialize)]
struct Repository {
    permissions: Option<Permissions>,
}

#[derive(Deserialize)]
struct Permissions {
    push: bool,
}

#[derive(Deserialize)]
struct Immutable {
    enabled: bool,
}

#[derive(Deserialize)]
struct Attestations {
    attestations: Vec<Value>,
}

impl GitHub {
    /// Whether the token may write; `None` where GitHub does not say. To a token of an app it tells
    /// `push: false` whatever that may do, because these permissions are those of a user.
    ///
    /// # Errors
    /// Of kind `NotFound` when the repository does not exist for the token.
    pub async fn may_write(&self) -> Result<Option<bool>, NetError> {
        let repository: Repository = self.get(&self.url("")).await?;
        let permissions = repository.permissions.filter(|_| !self.of_an_app);
        Ok(permissions.map(|permissions| permissions.push))
    }

    /// Whether releases of the repository become immutable when they are published.
    ///
    /// # Errors
    /// As every request; a refusal is [`Setting::Unknown`].
    pub async fn immutable_releases(&self) -> Result<Setting, NetError> {
        let setting: Result<Immutable, NetError> = self.get(&self.url("/immutable-releases")).await;
        match setting {
            Ok(Immutable { enabled: true }) => Ok(Setting::On),
            Ok(Immutable { enabled: false }) => Ok(Setting::Off),
            Err(error) if error.is_not_found() => Ok(Setting::Off),
            Err(error) if error.kind == ErrorKind::Unauthorised => Ok(Setting::Unknown),
            Err(error) => Err(error),
        }
    }

    /// What `tag` names in the repository; `None` where there is no such tag.
    ///
    /// # Errors
    /// When it names no commit, or as every request.
    pub async fn tag(&self, tag: &str) -> Result<Option<TagRef>, NetError> {
        match self.tags().resolve(&self.repository, tag).await {
            Ok(found) => Ok(Some(found)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// How many attestations of a release there are for the object of its tag.
    ///
    /// # Errors
    /// As every request.
    pub async fn release_attestations(&self, object: &str) -> Result<usize, NetError> {
        let url = self.url(&format!(
            "/attestations/sha1:{object}?predicate_type=release"
        ));
        match self.get::<Attestations>(&url).await {
            Ok(found) => Ok(found.attestations.len()),
            Err(error) if error.is_not_found() => Ok(0),
            Err(error) => Err(error),
        }
    }
}
