//! The registry client: tags to digests, images to their platforms, and images to tags.
//!
//! Reading is ours, on the project's one HTTP client: oci-client asks for a challenge for each
//! repository and not once for each registry, hides `Retry-After`, knows no identity tokens and
//! goes on anonymously when a login fails. Pushing is oci-client's, with the login that our half
//! has got; its bytes are hashed here before they go, and what a tag names is asked again after.
//!
//! A tag is first asked by HEAD, which costs the registry least. What its header says is enough to
//! confirm a pin, whose bytes are read and hashed by digest anyway; whatever else it says is only
//! believed when the bytes of the tag hash to it.

mod access;
mod blob;
mod challenge;
mod credentials;
mod docker_config;
mod failure;
#[cfg(test)]
mod fuzz;
mod layout;
mod login;
pub mod media;
mod platform;
mod push;
mod referrer;
mod tags;
mod token;

use std::collections::BTreeMap;
use std::time::Instant;

use polis_base::{Digest, ImageRef};
use reqwest::Method;
use reqwest::header::HeaderMap;
use tokio::sync::{Mutex, OnceCell};

use crate::endpoint::Endpoints;
use crate::error::{ErrorKind, NetError};

pub use credentials::Credentials;
pub use docker_config::{DIRECTORY, DockerConfig};
pub use login::{HOST, Logins, PASSWORD, USER};
pub use platform::{LinuxPlatform, SERVED};

use access::Access;
pub(crate) use blob::Received;

/// The header in which a registry tells the digest of what it sends.
const DIGEST_HEADER: &str = "docker-content-digest";

/// A client for every registry that references name.
pub struct Registry {
    access: Access,
    /// Made by the first push.
    pusher: OnceCell<oci_client::Client>,
    endpoints: Endpoints,
    /// When the pushing half last found out how to log in, by repository.
    fresh: Mutex<BTreeMap<String, Instant>>,
}

/// A manifest or an index as the registry holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawManifest {
    /// The exact bytes.
    pub bytes: Vec<u8>,
    /// What it is; one of [`media::ACCEPTED`].
    pub media_type: &'static str,
    /// The digest of `bytes`.
    pub digest: Digest,
}

impl Registry {
    /// A client that reaches registries through `endpoints` and presents `logins` to them.
    ///
    /// # Errors
    /// When the extra root certificates cannot be used.
    pub fn new(endpoints: &Endpoints, logins: Logins) -> Result<Self, NetError> {
        let access = Access::new(endpoints, logins)?;
        Ok(Self {
            access,
            pusher: OnceCell::new(),
            endpoints: endpoints.clone(),
            fresh: Mutex::default(),
        })
    }

    /// The digest of what `image` names now, proven by its bytes. Where `image` has a digest, that
    /// one is looked up; the tag beside it is not.
    ///
    /// # Errors
    /// As [`Self::manifest`].
    pub async fn resolve(&self, image: &ImageRef) -> Result<Digest, NetError> {
        Ok(self.manifest(image).await?.digest)
    }

    /// The digest that the tag of `image` names, asked in the cheapest way in which a registry can
    /// confirm that it is still `expected`. Another one is proven by its bytes before it is told.
    ///
    /// # Errors
    /// As [`Self::manifest`]; of kind `Mismatch` also when the registry's header contradicts the
    /// bytes.
    pub async fn confirm(&self, image: &ImageRef, expected: Digest) -> Result<Digest, NetError> {
        let tag = &image.unpinned();
        let path = manifest_path(tag)?;
        let told = match self.access.request(tag, Method::HEAD, &path).await {
            Ok(answer) => told_digest(&answer.headers),
            // Some registries answer no HEAD (405), which says nothing about the image.
            Err(error) if error.kind == ErrorKind::Protocol => None,
            Err(error) => return Err(error),
        };
        if told == Some(expected) {
            return Ok(expected);
        }
        let found = self.resolve(tag).await?;
        match told.filter(|told| *told != found) {
            Some(told) => Err(NetError::mismatch(tag, told, found)),
            None => Ok(found),
        }
    }

    /// The manifest or index that `image` names, by its digest where it has one.
    ///
    /// # Errors
    /// Of kind `Mismatch` when the bytes have another digest than the reference or the
    /// registry's own header says, `Protocol` when they are no image (schema 1 included),
    /// `NotFound`, `Unauthorised`, or `Unreachable` and `RateLimited` after all retries.
    pub async fn manifest(&self, image: &ImageRef) -> Result<RawManifest, NetError> {
        let path = manifest_path(image)?;
        let answer = self.access.request(image, Method::GET, &path).await?;
        let digest = Digest::of(&answer.body);
        // What the reference promises goes before what the registry says.
        let promised = image.digest().or_else(|| told_digest(&answer.headers));
        if let Some(expected) = promised.filter(|expected| *expected != digest) {
            return Err(NetError::mismatch(image, expected, digest));
        }
        let media_type =
            media::media_type(&answer.body).map_err(|reason| NetError::protocol(image, reason))?;
        Ok(RawManifest {
            bytes: answer.body,
            media_type,
            digest,
        })
    }

    /// The small blob `digest` of the repository of `image`, hashed.
    pub(crate) async fn blob(&self, image: &ImageRef, digest: Digest) -> Result<Vec<u8>, NetError> {
        let path = format!("blobs/{digest}");
        let answer = self.access.request(image, Method::GET, &path).await?;
        match Digest::of(&answer.body) {
            found if found == digest => Ok(answer.body),
            found => Err(NetError::mismatch(image, digest, found)),
        }
    }

    /// Whether the registry of `image` lists by itself what refers to `subject`; ghcr.io does not.
    async fn has_referrers_api(
        &self,
        image: &ImageRef,
        subject: &Digest,
    ) -> Result<bool, NetError> {
        let path = format!("referrers/{subject}");
        match self.access.request(image, Method::GET, &path).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether the repository of `image` holds the blob `digest`.
    ///
    /// # Errors
    /// When the registry answers neither yes nor no.
    pub async fn blob_exists(&self, image: &ImageRef, digest: &Digest) -> Result<bool, NetError> {
        let path = format!("blobs/{digest}");
        match self.access.request(image, Method::HEAD, &path).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// The path of what `image` names, by its digest where it has one.
fn manifest_path(image: &ImageRef) -> Result<String, NetError> {
    match (image.digest(), image.tag()) {
        (Some(digest), _) => Ok(format!("manifests/{digest}")),
        (None, Some(tag)) => Ok(format!("manifests/{tag}")),
        (None, None) => Err(NetError::protocol(image, "has neither a tag nor a digest")),
    }
}

/// The digest that the registry tells; nothing where it tells none that we know, as the bytes then
/// say it better.
fn told_digest(headers: &HeaderMap) -> Option<Digest> {
    headers.get(DIGEST_HEADER)?.to_str().ok()?.parse().ok()
}
