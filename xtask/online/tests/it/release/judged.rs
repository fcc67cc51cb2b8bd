//! A release, checked by external tools: GitHub's own API description, oras, and Docker's registry.

use polis_base::{Digest, ImageRef};
use xtask_online::registry::{Logins, Registry};

use super::release_env::{ReleaseEnv, finish};
use crate::support::docker::DockerRegistry;
use crate::support::{endpoints, layout, oras, prism};

#[test]
fn githubs_description_accepts_every_request_and_every_answer() {
    let test_env = ReleaseEnv::new("0.5.0");
    let Some(prism) = prism::start(&test_env.github.url()) else {
        return;
    };
    for _ in 0..2 {
        let hosts = (prism.url(), test_env.registry.url());
        let ran = finish(test_env.start("0.5.0", &hosts, &[], &[]));
        assert_eq!(ran.code, 0, "{}\n{}", ran.seen(), prism.log());
    }
    assert_eq!(prism.violations(), [""; 0]);
    assert!(
        prism.log().contains("PATCH"),
        "the judge saw the release: {}",
        prism.log()
    );
}

#[test]
fn oras_finds_the_sbom_beside_the_released_image() {
    let test_env = ReleaseEnv::new("0.5.0");
    let ran = test_env.release();
    assert_eq!(ran.code, 0, "{}", ran.seen());
    let host = test_env.registry.host();
    let image = format!("{host}/odralabshq/polis-init-oss:v0.5.0");
    let Some(referrers) = oras::discover(&image) else {
        return;
    };
    let types: Vec<&str> = referrers
        .iter()
        .filter_map(|referrer| referrer["artifactType"].as_str())
        .collect();
    assert_eq!(types, ["application/vnd.cyclonedx+json"]);
    assert_eq!(
        test_env.tags()["v0.5.0"],
        test_env.image("0.5.0"),
        "the image is the same"
    );
}

/// An attachment exists only once, beside those of others, and changes no digest.
#[tokio::test]
async fn dockers_registry_keeps_attachments() {
    let Some(docker) = DockerRegistry::open() else {
        return;
    };
    let host = docker.host();
    let endpoint = format!("{host}=http://{host}");
    let registry = Registry::new(&endpoints(&[endpoint]), Logins::none()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let digest = layout::index(dir.path(), "an image");
    let image: ImageRef = format!("{host}/a/x:v1").parse().unwrap();
    assert_eq!(
        registry.push_layout(dir.path(), &image).await.unwrap(),
        digest
    );
    let pinned = image.pinned(digest);
    for (document, fresh) in [
        (&b"{\"one\":1}"[..], true),
        (b"{\"one\":1}", false),
        (b"{\"two\":2}", true),
    ] {
        let attached = registry.attach(&pinned, "application/vnd.cyclonedx+json", document);
        assert_eq!(attached.await.unwrap(), fresh);
    }
    assert_eq!(registry.resolve(&image).await.unwrap(), digest);
    let list = image.with_tag(&format!("sha256-{}", digest.hex())).unwrap();
    let list = registry.manifest(&list).await.unwrap();
    let list: serde_json::Value = serde_json::from_slice(&list.bytes).unwrap();
    let digests: Vec<Digest> = list["manifests"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["digest"].as_str().unwrap().parse().unwrap())
        .collect();
    assert_eq!(digests.len(), 2, "{list:#}");
    for artifact in digests {
        let manifest = registry.manifest(&image.pinned(artifact)).await.unwrap();
        let manifest: serde_json::Value = serde_json::from_slice(&manifest.bytes).unwrap();
        assert_eq!(manifest["subject"]["digest"], digest.to_string());
    }
}
