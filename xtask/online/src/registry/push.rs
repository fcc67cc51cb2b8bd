//! Pushes layouts and tags with oci-client, using our own credentials.

use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::stream::{self, Stream};
use oci_client::client::{Certificate, CertificateEncoding, ClientConfig, ClientProtocol};
use oci_client::errors::OciDistributionError;
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference, RegistryOperation};
use polis_base::{Digest, ImageRef};
use tokio::fs::File;
use tokio::io::AsyncReadExt as _;
use tracing::info;

use super::access::{Actions, Grant};
use super::layout::{Blob, Layout};
use super::{RawManifest, Registry, failure};
use crate::client::USER_AGENT;
use crate::endpoint::{Endpoints, authority};
use crate::error::{ErrorKind, NetError, chain};
use crate::proxy;
use crate::retry::retry;
use crate::tls;

/// The slowest acceptable upload, in bytes per second.
const SLOWEST: u64 = 32 * 1024;
/// How long an authentication of oci-client is valid if it does not use our token.
const FRESH: Duration = Duration::from_secs(45);
/// The chunk size when sending a file.
const PIECE: usize = 256 * 1024;
/// oci-client, configured for `endpoints`.
///
/// # Errors
/// If the extra root certificates cannot be used.
pub(super) fn library(endpoints: &Endpoints) -> Result<Client, NetError> {
    let certificates = endpoints.extra_ca().map(|pem| Certificate {
        encoding: CertificateEncoding::Pem,
        data: pem.to_vec(),
    });
    let config = ClientConfig {
        protocol: ClientProtocol::HttpsExcept(endpoints.plain_hosts()),
        extra_root_certificates: certificates.into_iter().collect(),
        // One PUT per blob, as docker and containerd do, because registries differ in chunked uploads.
        use_monolithic_push: true,
        platform_resolver: None,
        connect_timeout: Some(endpoints.retry_policy().connect),
        user_agent: USER_AGENT,
        https_proxy: proxy::https(),
        // A proxy that is never used: http is for loopback only, see `proxy`.
        http_proxy: Some("http://127.0.0.1".to_owned()),
        no_proxy: Some(proxy::exceptions()),
        ..ClientConfig::default()
    };
    // Unlike this, `Client::new` ignores invalid certificates.
    Client::try_from(config).map_err(|error| NetError::protocol(tls::EXTRA_CA, chain(&error)))
}

impl Registry {
    /// Pushes the OCI image layout in `layout` and sets the tag of `to`; returns the digest of its root. Every file is
    /// verified before the first byte is sent, existing blobs are skipped, and the tag is written last and then
    /// resolved again.
    ///
    /// # Errors
    /// If `to` has no tag, the layout is invalid (`Local` or `Mismatch`, with the file), the registry rejects a part,
    /// or the tag does not name the root afterwards.
    pub async fn push_layout(&self, layout: &Path, to: &ImageRef) -> Result<Digest, NetError> {
        let to = &to.unpinned();
        if to.tag().is_none() {
            return Err(NetError::protocol(to, "a push needs a tag"));
        }
        let dir = layout.to_owned();
        let layout = tokio::task::spawn_blocking(move || Layout::read(&dir))
            .await
            .map_err(|error| NetError::protocol(to, error.to_string()))??;
        for blob in &layout.blobs {
            self.push_blob(to, blob).await?;
        }
        let Some((root, children)) = layout.manifests.split_last() else {
            return Err(NetError::protocol(to, "the layout contains no manifest"));
        };
        for child in children {
            self.push_missing(&to.pinned(child.digest), child).await?;
        }
        match self.resolve(to).await {
            Ok(there) if there == root.digest => return Ok(there),
            Err(error) if !unreadable(&error) => return Err(error),
            _ => {}
        }
        self.push_manifest(to, &root.bytes, root.media_type).await?;
        self.prove(to, root.digest).await
    }

    /// Pushes `manifest` by its digest, unless the registry has it.
    pub(super) async fn push_missing(
        &self,
        pinned: &ImageRef,
        manifest: &RawManifest,
    ) -> Result<(), NetError> {
        match self.resolve(pinned).await {
            Ok(_) => Ok(()),
            Err(error) if unreadable(&error) => {
                self.push_manifest(pinned, &manifest.bytes, manifest.media_type)
                    .await
            }
            Err(error) => Err(error),
        }
    }

    /// Sets `tag` to the digest of `pinned` in the same repository, and returns that digest.
    ///
    /// # Errors
    /// If `pinned` has no digest or `tag` is invalid; otherwise as [`Self::manifest`].
    pub async fn retag(&self, pinned: &ImageRef, tag: &str) -> Result<Digest, NetError> {
        if pinned.digest().is_none() {
            return Err(NetError::protocol(
                pinned,
                "a tag can only be set to a digest",
            ));
        }
        let target = pinned
            .unpinned()
            .with_tag(tag)
            .map_err(|error| NetError::protocol(pinned, error.to_string()))?;
        let manifest = self.manifest(pinned).await?;
        self.push_manifest(&target, &manifest.bytes, manifest.media_type)
            .await?;
        self.prove(&target, manifest.digest).await
    }

    /// Resolves `image` again after a push.
    async fn prove(&self, image: &ImageRef, expected: Digest) -> Result<Digest, NetError> {
        let found = self.resolve(image).await?;
        if found == expected {
            Ok(found)
        } else {
            Err(NetError::mismatch(image, expected, found))
        }
    }

    pub(super) async fn push_blob(&self, to: &ImageRef, blob: &Blob) -> Result<(), NetError> {
        match self.blob_exists(to, &blob.digest).await {
            Ok(true) => return Ok(()),
            Err(error) if !unreadable(&error) => return Err(error),
            _ => {}
        }
        let reference = self.reference(to)?;
        let digest = blob.digest.to_string();
        let allowance = Duration::from_secs(blob.size / SLOWEST);
        retry(self.endpoints.retry_policy(), || async {
            self.log_in(to, &reference).await?;
            let file = File::open(&blob.path)
                .await
                .map_err(|error| NetError::local(to, &blob.path, &error))?;
            let pusher = self.pusher().await?;
            let push = pusher.push_blob_stream(&reference, pieces(file), &digest, Some(blob.size));
            self.within(to, ("blob", allowance), push).await.map(drop)
        })
        .await
    }

    pub(super) async fn push_manifest(
        &self,
        to: &ImageRef,
        bytes: &[u8],
        media_type: &'static str,
    ) -> Result<(), NetError> {
        let mut reference = self.reference(to)?;
        if let Some(digest) = reference.digest().map(str::to_owned) {
            // As a tag, the URL is the same, and the library does not panic if a registry omits the `Location` of a
            // push by digest.
            let (host, repository) = (reference.registry(), reference.repository());
            reference = Reference::with_tag(host.to_owned(), repository.to_owned(), digest);
        }
        retry(self.endpoints.retry_policy(), || async {
            self.log_in(to, &reference).await?;
            let kind = http::HeaderValue::from_static(media_type);
            let pusher = self.pusher().await?;
            let push = pusher.push_manifest_raw(&reference, bytes.to_vec(), kind);
            self.within(to, ("manifest", Duration::ZERO), push)
                .await
                .map(drop)
        })
        .await
    }

    async fn pusher(&self) -> Result<&Client, NetError> {
        let make = || async { library(&self.endpoints) };
        self.pusher.get_or_try_init(make).await
    }

    /// Passes our credentials to oci-client. It uses a token without any request, and otherwise authenticates itself
    /// once.
    async fn log_in(&self, image: &ImageRef, reference: &Reference) -> Result<(), NetError> {
        let auth = match self.access.grant(image, Actions::PullPush).await? {
            Grant::Nothing => RegistryAuth::Anonymous,
            Grant::Basic(login) => {
                RegistryAuth::Basic(login.user, login.secret.reveal().to_owned())
            }
            Grant::Bearer(token) => RegistryAuth::Bearer(token),
        };
        let mut fresh = self.fresh.lock().await;
        let known = fresh.get(&image.name());
        let known = known.is_some_and(|since| since.elapsed() < FRESH);
        if known && !matches!(auth, RegistryAuth::Bearer(_)) {
            return Ok(());
        }
        let pusher = self.pusher().await?;
        let login = pusher.auth(reference, &auth, RegistryOperation::Push);
        self.within(image, ("login", Duration::ZERO), login).await?;
        fresh.insert(image.name(), Instant::now());
        Ok(())
    }

    /// Limits the time of one exchange to that of connecting and one response, plus `extra`; the log calls it `what`.
    async fn within<T>(
        &self,
        image: &ImageRef,
        (what, extra): (&str, Duration),
        exchange: impl Future<Output = Result<T, OciDistributionError>>,
    ) -> Result<T, NetError> {
        let policy = self.endpoints.retry_policy();
        let limit = policy.left(policy.connect + policy.read + extra);
        let begun = Instant::now();
        let done = match tokio::time::timeout(limit, exchange).await {
            Ok(result) => result.map_err(|error| failure::translate(image, error)),
            Err(_) => Err(NetError::unreachable(image, "no response in time")),
        };
        let (ok, ms) = (done.is_ok(), begun.elapsed().as_millis());
        info!(%image, what, ok, ms, "push");
        done
    }

    /// `image` at its actual address.
    fn reference(&self, image: &ImageRef) -> Result<Reference, NetError> {
        let base = self
            .endpoints
            .base(image.registry())
            .map_err(|error| error.at(image))?;
        let repository = image.repository().to_owned();
        let host = authority(&base);
        match (image.digest(), image.tag()) {
            (Some(digest), _) => Ok(Reference::with_digest(host, repository, digest.to_string())),
            (None, Some(tag)) => Ok(Reference::with_tag(host, repository, tag.to_owned())),
            (None, None) => Err(NetError::protocol(image, "has neither a tag nor a digest")),
        }
    }
}

/// Whether something does not exist, or may not be read, which is how registries answer for a repository that the push
/// will create.
fn unreadable(error: &NetError) -> bool {
    error.is_not_found() || error.kind == ErrorKind::Unauthorised
}

/// A file as a stream of chunks, so that no layer is completely in memory.
fn pieces(file: File) -> impl Stream<Item = Result<Bytes, OciDistributionError>> + Send + 'static {
    stream::try_unfold(file, |mut file| async move {
        let mut piece = vec![0_u8; PIECE];
        let read = file.read(&mut piece).await?;
        piece.truncate(read);
        Ok((read > 0).then(|| (Bytes::from(piece), file)))
    })
}
