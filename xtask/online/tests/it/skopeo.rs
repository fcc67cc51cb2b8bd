//! skopeo, an external client, reads what we push and writes what we pin.

use std::fs;
use std::path::Path;

use polis_base::{Digest, ImageRef};
use xtask_loopback::EmbeddedRegistry;
use xtask_online::registry::{Logins, Registry};

use crate::support::docker::DockerRegistry;
use crate::support::{endpoints, external_tool, layout, names, run};

fn client(host: &str) -> Registry {
    let endpoints = endpoints(&[format!("{host}=http://{host}")]);
    Registry::new(&endpoints, Logins::none()).unwrap()
}

fn image(host: &str, name: &str) -> ImageRef {
    format!("{host}/a/{name}:v1").parse().unwrap()
}

/// skopeo reads what `push_layout` pushed to the registry at `host`, byte for byte.
async fn reads_what_we_pushed(skopeo: &Path, host: &str) {
    let dir = tempfile::tempdir().unwrap();
    for name in ["single", "index"] {
        let (from, to) = (
            dir.path().join(name),
            dir.path().join(format!("{name}-copy")),
        );
        let root = match name {
            "single" => layout::single(&from, name),
            _ => layout::index(&from, name),
        };
        client(host)
            .push_layout(&from, &image(host, name))
            .await
            .unwrap();
        let remote = format!("docker://{host}/a/{name}:v1");
        let raw = run(skopeo, ["inspect", "--tls-verify=false", "--raw", &remote]);
        assert_eq!(Digest::of(&raw), root);
        let copy = format!("oci:{}:v1", to.display());
        let options = [
            "--insecure-policy",
            "copy",
            "--all",
            "--preserve-digests",
            "--src-tls-verify=false",
        ];
        run(
            skopeo,
            options.into_iter().chain([remote.as_str(), copy.as_str()]),
        );
        let blobs = |dir: &Path| names(&dir.join("blobs/sha256"));
        assert_eq!(blobs(&to), blobs(&from), "every blob and no other");
        let bytes = fs::read(to.join("blobs/sha256").join(root.hex())).unwrap();
        assert_eq!(Digest::of(&bytes), root);
    }
}

/// We resolve, verify and tag what skopeo pushed to the registry at `host`.
async fn pushes_what_we_pin(skopeo: &Path, host: &str) {
    let dir = tempfile::tempdir().unwrap();
    let root = layout::index(dir.path(), "theirs");
    let local = format!("oci:{}", dir.path().display());
    let remote = format!("docker://{host}/a/theirs:v1");
    let options = [
        "--insecure-policy",
        "copy",
        "--all",
        "--preserve-digests",
        "--dest-tls-verify=false",
    ];
    run(
        skopeo,
        options.into_iter().chain([local.as_str(), remote.as_str()]),
    );
    let (client, theirs) = (client(host), image(host, "theirs"));
    assert_eq!(client.resolve(&theirs).await.unwrap(), root);
    assert_eq!(
        client.retag(&theirs.pinned(root), "latest").await.unwrap(),
        root
    );
    assert!(
        client
            .blob_exists(&theirs, &layout::layer_of("arm64", "theirs"))
            .await
            .unwrap()
    );
    // skopeo's default: an image for one platform, with a compressed layer.
    let remote = format!("docker://{host}/a/packed:v1");
    let options = [
        "--insecure-policy",
        "--override-arch",
        "arm64",
        "--override-os",
        "linux",
        "copy",
        "--dest-tls-verify=false",
        "--dest-compress-format=gzip",
    ];
    run(
        skopeo,
        options.into_iter().chain([local.as_str(), remote.as_str()]),
    );
    let raw = run(skopeo, ["inspect", "--tls-verify=false", "--raw", &remote]);
    assert_eq!(
        client.resolve(&image(host, "packed")).await.unwrap(),
        Digest::of(&raw)
    );
    // It can also delete.
    run(skopeo, ["delete", "--tls-verify=false", &remote]);
    assert!(
        client
            .resolve(&image(host, "packed"))
            .await
            .unwrap_err()
            .is_not_found()
    );
}

#[tokio::test]
async fn skopeo_and_the_embedded_registry_agree() {
    let Some(skopeo) = external_tool("skopeo") else {
        return;
    };
    let root = tempfile::tempdir().unwrap();
    let server = EmbeddedRegistry::start(root.path()).unwrap();
    reads_what_we_pushed(&skopeo, &server.host()).await;
    pushes_what_we_pin(&skopeo, &server.host()).await;
}

#[tokio::test]
async fn skopeo_and_dockers_registry_agree_with_us() {
    let Some(skopeo) = external_tool("skopeo") else {
        return;
    };
    let Some(server) = DockerRegistry::open() else {
        return;
    };
    reads_what_we_pushed(&skopeo, server.host()).await;
    pushes_what_we_pin(&skopeo, server.host()).await;
}
