//! Every fault of a registry or a layout causes an error of the right kind that names the request and the problem.

use std::fs;
use std::path::Path;

use polis_base::{Digest, ImageRef};
use serde_json::json;
use tempfile::TempDir;
use xtask_loopback::{EmbeddedFiles, EmbeddedRegistry, Fault, Faults};
use xtask_online::registry::{Logins, Registry};
use xtask_online::{ErrorKind, NetError};

use crate::support::{endpoints, hasty, layout, names};

const MANIFESTS: &str = "/v2/a/x/manifests/";
const UPLOADS: &str = "/v2/a/x/blobs/uploads/";

/// An embedded registry with `ghcr.io/a/x:v1` and faults.
struct Site {
    root: TempDir,
    faults: Faults,
    server: EmbeddedRegistry,
    digest: Digest,
}

fn image() -> ImageRef {
    "ghcr.io/a/x:v1".parse().unwrap()
}

fn to(url: &str) -> [String; 1] {
    [format!("ghcr.io={url}")]
}

impl Site {
    async fn start() -> Self {
        let (root, faults) = (tempfile::tempdir().unwrap(), Faults::none());
        let server = EmbeddedRegistry::start_with(root.path(), &faults).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let digest = layout::single(dir.path(), "x");
        let site = Self {
            root,
            faults,
            server,
            digest,
        };
        site.client()
            .push_layout(dir.path(), &image())
            .await
            .unwrap();
        site
    }

    fn client(&self) -> Registry {
        Registry::new(&endpoints(&to(&self.server.url())), Logins::none()).unwrap()
    }

    /// The result of `resolve` if every request for the manifest is answered with `fault`.
    async fn resolve(&self, fault: Fault) -> Result<Digest, NetError> {
        self.faults.add("GET", MANIFESTS, 3, fault);
        let result = self.client().resolve(&image()).await;
        while self.faults.left() > 0 {
            // Consume faults that are left because they were not retried.
            let _ = self.client().resolve(&image()).await;
        }
        result
    }
}

#[tokio::test]
async fn each_status_has_its_kind() {
    let site = Site::start().await;
    for (status, message) in [
        (
            401,
            "ghcr.io/a/x:v1: access denied: status 401: an injected fault",
        ),
        (
            403,
            "ghcr.io/a/x:v1: access denied: status 403: an injected fault",
        ),
        (
            404,
            "ghcr.io/a/x:v1: not found: status 404: an injected fault",
        ),
        (
            418,
            "ghcr.io/a/x:v1: not acceptable: status 418: an injected fault",
        ),
        (
            429,
            "ghcr.io/a/x:v1: too many requests: status 429: an injected fault (3 attempts)",
        ),
        (
            500,
            "ghcr.io/a/x:v1: no usable response: status 500: an injected fault (3 attempts)",
        ),
    ] {
        let error = site.resolve(Fault::Status(status)).await.unwrap_err();
        assert_eq!(error.to_string(), message);
    }
    assert_eq!(site.client().resolve(&image()).await.unwrap(), site.digest);
}

#[tokio::test]
async fn a_temporary_fault_is_retried() {
    let site = Site::start().await;
    let dir = tempfile::tempdir().unwrap();
    let root = layout::index(dir.path(), "y");
    for (method, path) in [
        ("POST", UPLOADS),
        ("PUT", UPLOADS),
        ("PUT", MANIFESTS),
        ("GET", MANIFESTS),
    ] {
        site.faults.add(method, path, 1, Fault::Status(503));
    }
    site.faults.add("PUT", UPLOADS, 1, Fault::Cut(0));
    // Some registries send no `Location` of the manifest.
    site.faults
        .add("PUT", MANIFESTS, 3, Fault::Header("location", None));
    site.faults.add("GET", MANIFESTS, 1, Fault::Cut(10));
    let digest = site
        .client()
        .push_layout(dir.path(), &image())
        .await
        .unwrap();
    assert_eq!((digest, site.faults.left()), (root, 0));
}

#[tokio::test]
async fn a_truncated_or_missing_response_is_unreachable() {
    let site = Site::start().await;
    let error = site.resolve(Fault::Cut(20)).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unreachable, "{error}");
    assert!(error.to_string().ends_with("(3 attempts)"), "{error}");

    site.faults.add("GET", MANIFESTS, 1, Fault::Stall);
    let hasty_client = Registry::new(&hasty(&to(&site.server.url())), Logins::none()).unwrap();
    let error = hasty_client.resolve(&image()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "ghcr.io/a/x:v1: no usable response: no response in time"
    );

    site.server.stop().await;
    let error = hasty_client.resolve(&image()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unreachable, "{error}");
    assert!(error.detail.contains("Connection refused"), "{error}");
}

#[tokio::test]
async fn a_digest_header_must_agree_with_the_bytes() {
    let site = Site::start().await;
    let other = Digest::of(b"other");
    let error = site
        .resolve(Fault::DigestHeader(other.to_string()))
        .await
        .unwrap_err();
    let message = format!("ghcr.io/a/x:v1: expected {other}, got {}", site.digest);
    assert_eq!(error.to_string(), message);
    // Without a header of a known algorithm, the bytes decide.
    for header in ["sha256:00", "nonsense", "md5:00"] {
        let fault = Fault::DigestHeader(header.to_owned());
        assert_eq!(site.resolve(fault).await.unwrap(), site.digest, "{header}");
    }
    let without = site
        .resolve(Fault::Header("docker-content-digest", None))
        .await;
    assert_eq!(without.unwrap(), site.digest);
}

#[tokio::test]
async fn a_manifest_must_match_its_digest_and_not_be_schema_1() {
    let pinned = image().pinned(Digest::of(b"the right one"));
    let digest = Digest::of(b"the right one");
    let wrong = json!({"schemaVersion": 2, "manifests": []}).to_string();
    let schema1 = json!({"schemaVersion": 1, "name": "a/x"}).to_string();
    let server = EmbeddedFiles::start([
        ("/v2/".to_owned(), b"{}".to_vec()),
        (format!("{MANIFESTS}{digest}"), wrong.clone().into_bytes()),
        (format!("{MANIFESTS}v1"), schema1.into_bytes()),
        (format!("{MANIFESTS}v2"), b"<html>".to_vec()),
    ])
    .unwrap();
    let registry = Registry::new(&endpoints(&to(&server.url())), Logins::none()).unwrap();
    let error = registry.resolve(&pinned).await.unwrap_err();
    let found = Digest::of(wrong.as_bytes());
    let message = format!("ghcr.io/a/x:v1@{digest}: expected {digest}, got {found}");
    assert_eq!(error.to_string(), message);
    let error = registry.resolve(&image()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "ghcr.io/a/x:v1: not acceptable: the manifest is schema 1, which cannot be pinned"
    );
    let error = registry
        .resolve(&"ghcr.io/a/x:v2".parse().unwrap())
        .await
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("not acceptable: the manifest is not JSON"),
        "{error}"
    );
}

#[tokio::test]
async fn an_invalid_layout_is_rejected_before_anything_is_sent() {
    let site = Site::start().await;
    let before = names(&site.root.path().join("blobs/sha256"));
    type Break = fn(&Path, &Digest);
    let cases: [(&str, Break, &str); 6] = [
        (
            "flipped",
            |dir, _| edit(&blob(dir, &layer()), |bytes| bytes[600] ^= 1),
            "expected sha256:",
        ),
        (
            "short",
            |dir, _| edit(&blob(dir, &layer()), |bytes| bytes.truncate(9)),
            "bytes, got 9 bytes",
        ),
        (
            "lost",
            |dir, _| fs::remove_file(blob(dir, &layer())).unwrap(),
            "No such file",
        ),
        (
            "root",
            |dir, root| edit(&blob(dir, root), |bytes| bytes.push(b'\n')),
            " bytes, got ",
        ),
        (
            "version",
            |dir, _| {
                fs::write(dir.join("oci-layout"), r#"{"imageLayoutVersion":"2.0.0"}"#).unwrap();
            },
            "layout version `2.0.0` is not 1.0.0",
        ),
        (
            "index",
            |dir, _| {
                fs::write(dir.join("index.json"), r#"{"manifests":[]}"#).unwrap();
            },
            "lists 0 images, expected one",
        ),
    ];
    for (name, break_it, message) in cases {
        let dir = tempfile::tempdir().unwrap();
        let root = layout::index(dir.path(), "broken");
        break_it(dir.path(), &root);
        let error = site
            .client()
            .push_layout(dir.path(), &image())
            .await
            .unwrap_err();
        assert!(error.to_string().contains(message), "{name}: {error}");
        assert!(
            error.to_string().contains(&*dir.path().to_string_lossy()),
            "{name}: {error}"
        );
    }
    assert_eq!(names(&site.root.path().join("blobs/sha256")), before);
    assert_eq!(site.client().resolve(&image()).await.unwrap(), site.digest);
}

fn layer() -> Digest {
    layout::layer_of("arm64", "broken")
}

fn blob(dir: &Path, digest: &Digest) -> std::path::PathBuf {
    dir.join("blobs/sha256").join(digest.hex())
}

fn edit(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}
