//! The registry operations of a release, run against the embedded registry and Docker's: open, with a password, and
//! over TLS.

use std::fs;
use std::path::Path;

use polis_base::{Digest, ImageRef};
use xtask_loopback::EmbeddedRegistry;
use xtask_online::registry::{Credentials, Logins, Registry, media};
use xtask_online::{Endpoints, ErrorKind};

use crate::support::docker::DockerRegistry;
use crate::support::{endpoints, layout};

/// The public name of every registry in these tests.
const PUBLIC: &str = "ghcr.io";

fn image(text: &str) -> ImageRef {
    format!("{PUBLIC}/odralabshq/{text}").parse().expect(text)
}

fn at(url: &str) -> Endpoints {
    endpoints(&[format!("{PUBLIC}={url}")])
}

async fn suite(registry: &Registry) {
    let dir = tempfile::tempdir().unwrap();
    pushes_one_image(registry, &dir.path().join("single")).await;
    pushes_an_index(registry, &dir.path().join("index")).await;
    moves_a_tag(registry, &dir.path().join("next")).await;
    says_what_is_missing(registry).await;
}

async fn pushes_one_image(registry: &Registry, dir: &Path) {
    let root = layout::single(dir, "one");
    let to = image("polis-one-oss:v1");
    assert_eq!(registry.push_layout(dir, &to).await.unwrap(), root);
    assert_eq!(registry.resolve(&to).await.unwrap(), root);
    assert_eq!(registry.resolve(&to.pinned(root)).await.unwrap(), root);
    let manifest = registry.manifest(&to).await.unwrap();
    let bytes = fs::read(dir.join("blobs/sha256").join(root.hex())).unwrap();
    assert_eq!(
        (manifest.media_type, manifest.bytes),
        (media::OCI_MANIFEST, bytes)
    );
    let again = registry.push_layout(dir, &to).await.unwrap();
    assert_eq!(again, root, "a push is repeatable");
}

async fn pushes_an_index(registry: &Registry, dir: &Path) {
    let root = layout::index(dir, "two");
    let to = image("polis-two-oss:v1");
    assert_eq!(registry.push_layout(dir, &to).await.unwrap(), root);
    let index = registry.manifest(&to).await.unwrap();
    assert_eq!(index.media_type, media::OCI_INDEX);
    let index: serde_json::Value = serde_json::from_slice(&index.bytes).unwrap();
    for child in index["manifests"].as_array().unwrap() {
        let digest: Digest = child["digest"].as_str().unwrap().parse().unwrap();
        assert_eq!(registry.resolve(&to.pinned(digest)).await.unwrap(), digest);
    }
    for arch in ["amd64", "arm64"] {
        assert!(
            registry
                .blob_exists(&to, &layout::layer_of(arch, "two"))
                .await
                .unwrap()
        );
    }
    assert!(
        !registry
            .blob_exists(&to, &Digest::of(b"not there"))
            .await
            .unwrap()
    );
}

async fn moves_a_tag(registry: &Registry, dir: &Path) {
    let old = registry.resolve(&image("polis-two-oss:v1")).await.unwrap();
    let latest = image("polis-two-oss:latest");
    let pinned = image("polis-two-oss:v1").pinned(old);
    assert_eq!(registry.retag(&pinned, "latest").await.unwrap(), old);
    assert_eq!(registry.resolve(&latest).await.unwrap(), old);
    let new = layout::index(dir, "three");
    registry
        .push_layout(dir, &image("polis-two-oss:v2"))
        .await
        .unwrap();
    registry
        .retag(&image("polis-two-oss:v2").pinned(new), "latest")
        .await
        .unwrap();
    assert_eq!(registry.resolve(&latest).await.unwrap(), new);
    assert_eq!(
        registry.resolve(&image("polis-two-oss:v1")).await.unwrap(),
        old
    );
    let error = registry.retag(&latest, "other").await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "ghcr.io/odralabshq/polis-two-oss:latest: not acceptable: \
         a tag can only be set to a digest"
    );
}

async fn says_what_is_missing(registry: &Registry) {
    let unknown = image("polis-one-oss:v1").pinned(Digest::of(b"unknown"));
    for missing in [
        image("polis-one-oss:v9"),
        image("polis-none-oss:v1"),
        unknown,
    ] {
        let error = registry.resolve(&missing).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::NotFound, "{error}");
        assert!(
            error
                .to_string()
                .starts_with(&format!("{missing}: not found: ")),
            "{error}"
        );
    }
}

#[tokio::test]
async fn the_embedded_registry_supports_a_release() {
    let root = tempfile::tempdir().unwrap();
    let server = EmbeddedRegistry::start(root.path()).unwrap();
    suite(&Registry::new(&at(&server.url()), Logins::none()).unwrap()).await;
    server.stop().await;
    let tags = root
        .path()
        .join("repositories/odralabshq/polis-two-oss/_tags");
    assert_eq!(crate::support::names(&tags), ["latest", "v1", "v2"]);
    assert_eq!(crate::support::names(&root.path().join("uploads")), [""; 0]);
    // The content survives a restart of the server.
    let server = EmbeddedRegistry::start(root.path()).unwrap();
    let registry = Registry::new(&at(&server.url()), Logins::none()).unwrap();
    assert!(registry.resolve(&image("polis-one-oss:v1")).await.is_ok());
}

#[tokio::test]
async fn dockers_registry_supports_a_release() {
    let Some(server) = DockerRegistry::open() else {
        return;
    };
    let endpoints = at(&format!("http://{}", server.host()));
    suite(&Registry::new(&endpoints, Logins::none()).unwrap()).await;
}

#[tokio::test]
async fn dockers_registry_does_it_all_with_a_password() {
    let Some(server) = DockerRegistry::with_password("me", "s3cret") else {
        return;
    };
    let endpoints = at(&format!("http://{}", server.host()));
    let login = |secret: &str| Logins::none().with(PUBLIC, Credentials::new("me", secret));
    suite(&Registry::new(&endpoints, login("s3cret")).unwrap()).await;
    let elsewhere = Logins::none().with("docker.io", Credentials::new("me", "s3cret"));
    for logins in [login("s3crets"), Logins::none(), elsewhere] {
        let registry = Registry::new(&endpoints, logins).unwrap();
        let error = registry
            .resolve(&image("polis-one-oss:v1"))
            .await
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "ghcr.io/odralabshq/polis-one-oss:v1: access denied: status 401: \
             UNAUTHORIZED: authentication required"
        );
        let dir = tempfile::tempdir().unwrap();
        layout::single(dir.path(), "one");
        let error = registry
            .push_layout(dir.path(), &image("x:v1"))
            .await
            .unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unauthorised, "{error}");
    }
}

#[tokio::test]
async fn dockers_registry_does_it_all_over_tls() {
    let Some(server) = DockerRegistry::with_tls() else {
        return;
    };
    let endpoints = at(&format!("https://{}", server.host()));
    let ca = fs::read(server.dir().join("ca.pem")).unwrap();
    let trusting = endpoints.clone().with_extra_ca(ca);
    suite(&Registry::new(&trusting, Logins::none()).unwrap()).await;

    let registry = Registry::new(&endpoints, Logins::none()).unwrap();
    let error = registry
        .resolve(&image("polis-one-oss:v1"))
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unreachable, "{error}");
    assert!(error.detail.contains("certificate"), "{error}");
}

#[test]
fn a_broken_extra_ca_is_an_error_and_not_ignored() {
    let endpoints = at("https://127.0.0.1:1").with_extra_ca(b"no PEM".to_vec());
    let error = Registry::new(&endpoints, Logins::none())
        .err()
        .expect("an error");
    assert_eq!(error.kind, ErrorKind::Protocol, "{error}");
    assert_eq!(error.url, "POLIS_EXTRA_CA");
}
