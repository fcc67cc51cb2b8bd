//! The permissions and settings of a repository, its tags, and the attestations of its releases.

use serde::Deserialize;
use serde_json::Value;

use super::GitHub;
use crate::error::{ErrorKind, NetError};

/// A setting that the token may not be allowed to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setting {
    /// It is on.
    On,
    /// It is off.
    Off,
    /// The token may not read it; `GITHUB_TOKEN` never may.
    Unknown,
}

/// A tag of the repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagRef {
    /// The object that the tag names: a commit, or an annotated tag.
    pub object: String,
    /// The commit that it finally names.
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
    /// Whether the token may write; `None` if GitHub does not say. For an app's token, GitHub always reports `push:
    /// false`, because these permissions are a user's.
    ///
    /// # Errors
    /// `NotFound` if the token cannot see the repository.
    pub async fn may_write(&self) -> Result<Option<bool>, NetError> {
        let repository: Repository = self.get(&self.url("")).await?;
        let permissions = repository.permissions.filter(|_| !self.of_an_app);
        Ok(permissions.map(|permissions| permissions.push))
    }

    /// Whether releases become immutable when published.
    ///
    /// # Errors
    /// As every request; if the token may not read it, the result is [`Setting::Unknown`].
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

    /// The object and commit of `tag`; `None` if it does not exist.
    ///
    /// # Errors
    /// If it names no commit; otherwise as every request.
    pub async fn tag(&self, tag: &str) -> Result<Option<TagRef>, NetError> {
        match self.tags().resolve(&self.repository, tag).await {
            Ok(found) => Ok(Some(found)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The number of release attestations for the object of its tag.
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
