//! Access to a registry: how often, how long, and with which credentials. The registry is Docker's, behind a proxy that
//! counts requests and injects faults.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use polis_base::{Digest, ImageRef};
use xtask_loopback::{EmbeddedProxy, Fault, Faults};
use xtask_online::registry::{Credentials, DockerConfig, Logins, Registry};
use xtask_online::{Endpoints, ErrorKind};

use crate::support::docker::DockerRegistry;
use crate::support::tokens::{Issuer, Policy};
use crate::support::{endpoints, hasty, layout};

/// Docker's registry behind a proxy, with `ghcr.io/a/{x,y,z}:{v1,v2}`.
struct Site {
    _server: DockerRegistry,
    issuer: Issuer,
    faults: Faults,
    proxy: EmbeddedProxy,
    digest: Digest,
}

fn image(name: &str) -> ImageRef {
    format!("ghcr.io/a/{name}").parse().unwrap()
}

impl Site {
    /// `None` if an external tool is not installed.
    async fn start(policy: Policy) -> Option<Self> {
        let issuer = Issuer::start(policy).await?;
        let server = DockerRegistry::with_tokens(&issuer.realm())?;
        issuer.sign_with(server.dir());
        let dir = tempfile::tempdir().unwrap();
        let digest = layout::index(dir.path(), "x");
        let direct = endpoints(&[format!("ghcr.io=http://{}", server.host())]);
        let writer = Registry::new(&direct, login("s3cret")).unwrap();
        for name in ["x", "y", "z"] {
            let to = image(&format!("{name}:v1"));
            writer.push_layout(dir.path(), &to).await.unwrap();
            writer.retag(&to.pinned(digest), "v2").await.unwrap();
        }
        issuer.take_scopes();
        let faults = Faults::none();
        let target = format!("http://{}", server.host());
        let proxy = EmbeddedProxy::start(&target, Duration::ZERO, &faults).unwrap();
        Some(Self {
            _server: server,
            issuer,
            faults,
            proxy,
            digest,
        })
    }

    fn endpoints(&self) -> Endpoints {
        endpoints(&[format!("ghcr.io={}", self.proxy.url())])
    }

    fn client(&self) -> Registry {
        Registry::new(&self.endpoints(), login("s3cret")).unwrap()
    }
}

fn login(secret: &str) -> Logins {
    Logins::none().with("ghcr.io", Credentials::new("me", secret))
}

#[tokio::test]
async fn requests_are_not_repeated() {
    let Some(site) = Site::start(Policy::Password).await else {
        return;
    };
    let registry = site.client();
    let images = ["x:v1", "y:v1", "z:v1", "x:v2", "y:v2", "z:v2"].map(image);
    let asked = images
        .iter()
        .map(|image| registry.confirm(image, site.digest));
    for found in join_all(asked).await {
        assert_eq!(found.unwrap(), site.digest);
    }
    let mut seen = site.proxy.take_seen();
    seen.sort();
    let mut expected = vec!["GET /v2/".to_owned()];
    for image in &images {
        let (repository, tag) = (image.repository(), image.tag().unwrap());
        expected.push(format!("HEAD /v2/{repository}/manifests/{tag}"));
    }
    expected.sort();
    assert_eq!(seen, expected);
    let mut scopes = site.issuer.take_scopes();
    scopes.sort();
    let expected = ["x", "y", "z"].map(|name| format!("repository:a/{name}:pull"));
    assert_eq!(scopes, expected);
}

#[tokio::test]
async fn another_digest_is_returned_only_after_verifying_the_bytes() {
    let Some(site) = Site::start(Policy::Password).await else {
        return;
    };
    let (registry, x) = (site.client(), image("x:v1"));
    let old = Digest::of(b"what was pinned");
    assert_eq!(registry.confirm(&x, old).await.unwrap(), site.digest);
    let heads = |seen: Vec<String>| seen.iter().filter(|line| line.starts_with("HEAD")).count();
    assert_eq!(heads(site.proxy.take_seen()), 1);
    // A header with the digest of other bytes is a mismatch. One without a digest is ignored.
    let lie = Digest::of(b"no such bytes");
    site.faults.add(
        "HEAD",
        "/v2/a/x/manifests",
        1,
        Fault::DigestHeader(lie.to_string()),
    );
    let error = registry.confirm(&x, site.digest).await.unwrap_err();
    let (expected, actual) = (lie.to_string(), site.digest.to_string());
    assert_eq!(error.kind, ErrorKind::Mismatch { expected, actual });
    for fault in [
        Fault::Header("docker-content-digest", None),
        Fault::DigestHeader("nonsense".to_owned()),
        Fault::Status(405),
    ] {
        site.faults.add("HEAD", "/v2/a/x/manifests", 1, fault);
        assert_eq!(
            registry.confirm(&x, site.digest).await.unwrap(),
            site.digest
        );
    }
    site.faults
        .add("GET", "/v2/a/x/manifests", 1, Fault::Corrupt);
    let error = registry.manifest(&x.pinned(site.digest)).await.unwrap_err();
    assert!(matches!(error.kind, ErrorKind::Mismatch { .. }), "{error}");
}

#[tokio::test]
async fn a_busy_registry_is_retried_when_it_says() {
    let Some(site) = Site::start(Policy::Password).await else {
        return;
    };
    let x = image("x:v1");
    let heads = |seen: Vec<String>| seen.iter().filter(|line| line.starts_with("HEAD")).count();
    site.faults.add("HEAD", "/v2/a/x", 1, Fault::Busy(429, "1"));
    site.faults.add("HEAD", "/v2/a/x", 1, Fault::Status(500));
    let start = Instant::now();
    site.client().confirm(&x, site.digest).await.unwrap();
    assert!(
        start.elapsed() >= Duration::from_secs(1),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(heads(site.proxy.take_seen()), 3);
    // Past the deadline, there is neither a wait nor another attempt.
    site.faults
        .add("HEAD", "/v2/a/x", 1, Fault::Busy(429, "3600"));
    let pressed = site.endpoints().with_time_limit(Duration::from_secs(20));
    let start = Instant::now();
    let registry = Registry::new(&pressed, login("s3cret")).unwrap();
    let error = registry.confirm(&x, site.digest).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "ghcr.io/a/x:v1: too many requests: status 429 \
         (the server asks to wait 3600 s, which is past the deadline)"
    );
    assert!(start.elapsed() < Duration::from_secs(15));
    assert_eq!(heads(site.proxy.take_seen()), 1);
}

#[tokio::test]
async fn a_slow_response_ends_at_the_deadline() {
    let Some(site) = Site::start(Policy::Password).await else {
        return;
    };
    let drip = Fault::Drip(Duration::from_millis(100));
    site.faults.add("GET", "/v2/a/x/manifests", 1, drip.clone());
    let hasty = hasty(&[format!("ghcr.io={}", site.proxy.url())]);
    let registry = Registry::new(&hasty, login("s3cret")).unwrap();
    let error = registry.resolve(&image("x:v1")).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "ghcr.io/a/x:v1: no usable response: no response in time"
    );
    site.faults.add("GET", "/v2/a/y/manifests", 9, drip);
    let pressed = site.endpoints().with_time_limit(Duration::from_secs(1));
    let start = Instant::now();
    let registry = Registry::new(&pressed, login("s3cret")).unwrap();
    let error = registry.resolve(&image("y:v1")).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unreachable, "{error}");
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test]
async fn a_rejected_token_is_renewed_once() {
    let Some(site) = Site::start(Policy::Password).await else {
        return;
    };
    let (registry, x) = (site.client(), image("x:v1"));
    registry.confirm(&x, site.digest).await.unwrap();
    site.faults.add("HEAD", "/v2/a/x", 1, Fault::Status(401));
    registry.confirm(&x, site.digest).await.unwrap();
    assert_eq!(site.issuer.take_scopes().len(), 2);
    site.proxy.take_seen();
    site.faults.add("HEAD", "/v2/a/x", 9, Fault::Status(401));
    let error = registry.confirm(&x, site.digest).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "ghcr.io/a/x:v1: access denied: status 401"
    );
    assert_eq!(site.proxy.take_seen().len(), 2, "no third attempt");
    assert_eq!(site.issuer.take_scopes().len(), 1);
}

#[tokio::test]
async fn a_token_is_reused_until_it_expires() {
    let Some(site) = Site::start(Policy::Brief).await else {
        return;
    };
    let (registry, x) = (site.client(), image("x:v1"));
    registry.confirm(&x, site.digest).await.unwrap();
    tokio::time::sleep(Duration::from_millis(1100)).await;
    registry.confirm(&x, site.digest).await.unwrap();
    assert_eq!(site.issuer.take_scopes().len(), 2, "expires_in was 1");
}

#[tokio::test]
async fn an_identity_token_is_posted_and_a_rejected_one_is_an_error() {
    let Some(site) = Site::start(Policy::Identity).await else {
        return;
    };
    let docker = |token: &str| {
        let text = format!(r#"{{"auths": {{"https://ghcr.io": {{"identitytoken": "{token}"}}}}}}"#);
        let logins = Logins::none().with_docker(DockerConfig::parse("config.json", &text).unwrap());
        Registry::new(&site.endpoints(), logins).unwrap()
    };
    let x = image("x:v1");
    assert_eq!(
        docker("id3ntity").confirm(&x, site.digest).await.unwrap(),
        site.digest
    );
    site.proxy.take_seen();
    let error = docker("old").confirm(&x, site.digest).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "ghcr.io/a/x:v1: access denied: the login was rejected: wrong identity token"
    );
    let seen = site.proxy.take_seen();
    assert_eq!(
        seen,
        ["GET /v2/"],
        "a failed login never becomes anonymous access"
    );
}

#[tokio::test]
async fn an_unreachable_registry_is_tried_once_for_all_images() {
    let faults = Faults::none();
    faults.add("GET", "/v2/", 100, Fault::Status(503));
    let proxy = EmbeddedProxy::start("http://127.0.0.1:9", Duration::ZERO, &faults).unwrap();
    let endpoints = endpoints(&[format!("ghcr.io={}", proxy.url())]);
    let registry = Registry::new(&endpoints, Logins::none()).unwrap();
    let images: Vec<ImageRef> = (0..50).map(|n| image(&format!("x{n}:v1"))).collect();
    let asked = images
        .iter()
        .map(|image| registry.confirm(image, Digest::of(b"")));
    for (image, found) in images.iter().zip(join_all(asked).await) {
        let message =
            format!("{image}: no usable response: status 503: an injected fault (3 attempts)");
        assert_eq!(found.unwrap_err().to_string(), message);
    }
    assert_eq!(proxy.take_seen(), ["GET /v2/"; 3]);
}
