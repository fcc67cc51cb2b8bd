//! The registry client: resolves tags, checks platforms, lists tags, pushes.
//!
//! Reads use our own code on the shared HTTP client: oci-client requests a challenge per repository instead of per
//! registry, hides `Retry-After`, does not support identity tokens, and continues anonymously after a failed login.
//! Pushes use oci-client with our credentials; we hash the bytes before they are sent and resolve the tag again
//! afterwards.
//!
//! Tags are resolved by HEAD first, which is cheapest for the registry. Its header is enough to confirm a pin, because
//! the pinned bytes are fetched by digest and hashed anyway. Any other digest is trusted only after hashing the bytes.

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

/// The response header with the digest of the content.
const DIGEST_HEADER: &str = "docker-content-digest";

/// A client for all registries.
pub struct Registry {
    access: Access,
    /// Created by the first push.
    pusher: OnceCell<oci_client::Client>,
    endpoints: Endpoints,
    /// When oci-client last authenticated, by repository.
    fresh: Mutex<BTreeMap<String, Instant>>,
}

/// A manifest or an index, as stored in the registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawManifest {
    /// The exact bytes.
    pub bytes: Vec<u8>,
    /// Its media type; one of [`media::ACCEPTED`].
    pub media_type: &'static str,
    /// The digest of `bytes`.
    pub digest: Digest,
}

impl Registry {
    /// A client that connects through `endpoints` with the credentials in `logins`.
    ///
    /// # Errors
    /// If the extra root certificates cannot be used.
    pub fn new(endpoints: &Endpoints, logins: Logins) -> Result<Self, NetError> {
        let access = Access::new(endpoints, logins)?;
        Ok(Self {
            access,
            pusher: OnceCell::new(),
            endpoints: endpoints.clone(),
            fresh: Mutex::default(),
        })
    }

    /// The digest that `image` names now, verified by its bytes. If `image` has a digest, its tag is ignored.
    ///
    /// # Errors
    /// As [`Self::manifest`].
    pub async fn resolve(&self, image: &ImageRef) -> Result<Digest, NetError> {
        Ok(self.manifest(image).await?.digest)
    }

    /// The digest that the tag of `image` names, by the cheapest request that confirms `expected`. A different digest
    /// is verified by its bytes.
    ///
    /// # Errors
    /// As [`Self::manifest`]; also `Mismatch` if the header contradicts the bytes.
    pub async fn confirm(&self, image: &ImageRef, expected: Digest) -> Result<Digest, NetError> {
        let tag = &image.unpinned();
        let path = manifest_path(tag)?;
        let told = match self.access.request(tag, Method::HEAD, &path).await {
            Ok(answer) => header_digest(&answer.headers),
            // Some registries do not support HEAD (405), which says nothing about the image.
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

    /// The manifest or index that `image` names, by its digest if it has one.
    ///
    /// # Errors
    /// `Mismatch` if the bytes have another digest than the reference or the response header, `Protocol` if they are
    /// not an image (such as schema 1), `NotFound`, `Unauthorised`, or `Unreachable` and `RateLimited` after all
    /// retries.
    pub async fn manifest(&self, image: &ImageRef) -> Result<RawManifest, NetError> {
        let path = manifest_path(image)?;
        let answer = self.access.request(image, Method::GET, &path).await?;
        let digest = Digest::of(&answer.body);
        // The digest in the reference takes precedence over the header.
        let promised = image.digest().or_else(|| header_digest(&answer.headers));
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

    /// The small blob `digest` from the repository of `image`, verified.
    pub(crate) async fn blob(&self, image: &ImageRef, digest: Digest) -> Result<Vec<u8>, NetError> {
        let path = format!("blobs/{digest}");
        let answer = self.access.request(image, Method::GET, &path).await?;
        match Digest::of(&answer.body) {
            found if found == digest => Ok(answer.body),
            found => Err(NetError::mismatch(image, digest, found)),
        }
    }

    /// Whether the registry of `image` implements the Referrers API for `subject`; ghcr.io does not.
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

    /// Whether the repository of `image` has the blob `digest`.
    ///
    /// # Errors
    /// If the registry answers neither yes nor no.
    pub async fn blob_exists(&self, image: &ImageRef, digest: &Digest) -> Result<bool, NetError> {
        let path = format!("blobs/{digest}");
        match self.access.request(image, Method::HEAD, &path).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// The path of `image`, by its digest if it has one.
fn manifest_path(image: &ImageRef) -> Result<String, NetError> {
    match (image.digest(), image.tag()) {
        (Some(digest), _) => Ok(format!("manifests/{digest}")),
        (None, Some(tag)) => Ok(format!("manifests/{tag}")),
        (None, None) => Err(NetError::protocol(image, "has neither a tag nor a digest")),
    }
}

/// The digest in the response header, if it is of a known algorithm.
fn header_digest(headers: &HeaderMap) -> Option<Digest> {
    headers.get(DIGEST_HEADER)?.to_str().ok()?.parse().ok()
}
