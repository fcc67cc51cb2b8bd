//! Signatures of images: by key with the real cosign; for keyless ones, only the arguments of cosign.

mod scripted;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use polis_base::{Digest, ImageRef};
use serde_json::Value;
use tempfile::TempDir;
use xtask_host::secrets;
use xtask_loopback::Faults;
use xtask_online::registry::{Credentials, Logins, Registry};
use xtask_testkit::{Canary, Ran, Tree};

use crate::support::docker::DockerRegistry;
use crate::support::keys::{KEY, Keys, REPOSITORY, only_gate};
use crate::support::test_env::{COMPOSE, Others, PROGRAM, TestEnv};
use crate::support::{endpoints, external_tool, layout, run};

const GATE: &str = "ghcr.io/odralabshq/polis-gate-oss:v0.4.0";
/// An environment in which the gate image must be signed.
struct Signing {
    test_env: TestEnv,
    keys: Keys,
}

impl Signing {
    /// `None` if cosign is not installed.
    fn start() -> Option<Self> {
        let (keys, test_env) = (Keys::make()?, TestEnv::start());
        keys.demand(&test_env.tree);
        Some(Self { test_env, keys })
    }

    fn sign(&self, key: &str, digest: Digest) {
        let host = self.test_env.registry.host();
        let plain = ["--allow-http-registry"];
        self.keys.sign(key, &host, digest, &plain);
    }

    fn gate(&self) -> ImageRef {
        self.test_env.image("gate")
    }

    fn digest(&self) -> Digest {
        self.gate().digest().unwrap()
    }

    fn repository(&self) -> PathBuf {
        self.test_env
            .storage()
            .join("repositories")
            .join(REPOSITORY)
    }

    /// The file with the digest that the tag of the signature of `digest` names.
    fn tag_of(&self, digest: Digest) -> PathBuf {
        let tag = format!("sha256-{}.sig", digest.hex());
        self.repository().join("_tags").join(tag)
    }

    /// The file of the manifest of the signature of `digest`.
    fn signature_of(&self, digest: Digest) -> PathBuf {
        let named: Digest = fs::read_to_string(self.tag_of(digest))
            .unwrap()
            .trim()
            .parse()
            .unwrap();
        self.repository().join("_manifests").join(named.hex())
    }

    fn verify(&self) -> Ran {
        self.test_env
            .run(&["verify-pins", "--signatures", "--format", "json"])
    }

    /// Asserts that the signature is rejected with `said` in the reason.
    fn refused(&self, said: &str) {
        let ran = self.verify();
        let expected = format!("pin-unsigned {}", self.test_env.line_of("gate"));
        assert_eq!(
            (ran.code, ran.findings()),
            (1, vec![expected]),
            "{}",
            ran.seen()
        );
        let reason = format!("`cosign verify` found no signature by the key `{KEY}`: {said}");
        assert_eq!(
            state(&ran, GATE),
            ("unsigned".to_owned(), reason),
            "{}",
            ran.seen()
        );
    }
}

/// The state of a pin, and the reason.
fn state(ran: &Ran, name: &str) -> (String, String) {
    let pins = ran.report()["data"]["pins"].clone();
    let pin = pins
        .as_array()
        .unwrap()
        .iter()
        .find(|pin| pin["name"] == name);
    let text = |key: &str| pin.unwrap()[key].as_str().unwrap_or_default().to_owned();
    (text("state"), text("reason"))
}

#[test]
fn a_signature_by_the_right_key_is_reported() {
    let Some(signing) = Signing::start() else {
        return;
    };
    signing.sign("right", signing.digest());
    let ran = signing.verify();
    let reason = format!("signed by the key `{KEY}`");
    assert_eq!(
        (ran.code, state(&ran, GATE)),
        (0, ("ok".to_owned(), reason)),
        "{}",
        ran.seen()
    );
    let ran = signing.test_env.run(&["verify-pins", "--signatures"]);
    let told = "\nsignatures: 1 verified, 0 failed, 0 not checked\n";
    assert!(ran.stdout.contains(told), "{}", ran.seen());
    // An additional signature by another key changes nothing.
    signing.sign("wrong", signing.digest());
    assert_eq!(signing.verify().code, 0);
    // The pin itself is checked as usual, and the signature is that of the pinned digest.
    signing
        .test_env
        .push(&signing.gate(), "somebody moved the tag");
    let ran = signing.verify();
    assert_eq!(
        (ran.code, state(&ran, GATE).0),
        (2, "drifted".to_owned()),
        "{}",
        ran.seen()
    );
}

#[test]
fn no_signature_and_every_wrong_one_are_findings() {
    let Some(signing) = Signing::start() else {
        return;
    };
    signing.refused("no signatures found");
    signing.sign("wrong", signing.digest());
    signing.refused(
        "no matching signatures: invalid signature when validating ASN.1 encoded signature",
    );
    fs::remove_file(signing.tag_of(signing.digest())).unwrap();

    // A valid signature of another image, moved here.
    let other = signing.gate().with_tag("other").unwrap();
    let other = signing.test_env.push(&other.unpinned(), "another image");
    signing.sign("right", other);
    fs::copy(signing.tag_of(other), signing.tag_of(signing.digest())).unwrap();
    signing.refused(&format!(
        "no matching signatures: invalid or missing digest in claim: {other}"
    ));
    fs::remove_file(signing.tag_of(signing.digest())).unwrap();
    signing.sign("right", signing.digest());
    assert_eq!(signing.verify().code, 0);
}

#[test]
fn a_manipulated_signature_is_a_finding() {
    let Some(signing) = Signing::start() else {
        return;
    };
    signing.sign("right", signing.digest());
    let whole = fs::read_to_string(signing.signature_of(signing.digest())).unwrap();
    let manifest: Value = serde_json::from_str(&whole).unwrap();
    let layer = &manifest["layers"][0];
    let signature = layer["annotations"]["dev.cosignproject.cosign/signature"]
        .as_str()
        .unwrap();
    // A position within the first of its two numbers.
    let at = 20;
    let digit = if signature[at..].starts_with('A') {
        "B"
    } else {
        "A"
    };
    let changed = [&signature[..at], digit, &signature[at + 1..]].concat();
    let tampered = whole.replace(signature, &changed).into_bytes();
    let digest = Digest::of(&tampered);
    let manifests = signing.repository().join("_manifests");
    fs::write(manifests.join(digest.hex()), &tampered).unwrap();
    let kind = manifest["mediaType"].as_str().unwrap();
    fs::write(manifests.join(format!("{}.type", digest.hex())), kind).unwrap();
    let tag = signing.tag_of(signing.digest());
    let before = fs::read(&tag).unwrap();
    fs::write(&tag, digest.to_string()).unwrap();
    signing.refused(
        "no matching signatures: invalid signature when validating ASN.1 encoded signature",
    );
    fs::write(&tag, before).unwrap();
    assert_eq!(signing.verify().code, 0);
    // The signed payload with another digest.
    let payload: Digest = layer["digest"].as_str().unwrap().parse().unwrap();
    let payload = signing
        .test_env
        .storage()
        .join("blobs/sha256")
        .join(payload.hex());
    let text = fs::read_to_string(&payload).unwrap();
    let other = Digest::of(b"another image").to_string();
    fs::write(
        &payload,
        text.replace(&signing.digest().to_string(), &other),
    )
    .unwrap();
    let ran = signing.verify();
    assert_eq!(
        (ran.code, state(&ran, GATE).0),
        (1, "unsigned".to_owned()),
        "{}",
        ran.seen()
    );
}

#[test]
fn a_missing_key_is_named() {
    let Some(signing) = Signing::start() else {
        return;
    };
    fs::remove_file(signing.test_env.tree.root().join(KEY)).unwrap();
    let ran = signing.verify();
    assert_eq!(ran.code, 1, "{}", ran.seen());
    assert!(
        ran.seen().contains("keys/images.pub` is missing"),
        "{}",
        ran.seen()
    );
}

#[test]
fn missing_images_are_not_verified() {
    let Some(signing) = Signing::start() else {
        return;
    };
    fs::remove_dir_all(signing.repository().join("_tags")).unwrap();
    let ran = signing.test_env.run(&["verify-pins", "--signatures"]);
    assert_eq!(ran.code, 2, "{}", ran.seen());
    let told = "signatures: 0 verified, 0 failed, 1 not checked\n";
    assert!(ran.stdout.contains(told), "{}", ran.seen());
}

/// A tree with one image, which is in `server` (reached at `url`) and signed there.
fn in_dockers_registry(
    server: &DockerRegistry,
    url: &str,
    ca: Option<&Path>,
    sign: &[&str],
) -> Option<(Tree, [String; 2])> {
    let (keys, tree) = (Keys::make()?, Tree::data());
    keys.demand(&tree);
    let image: ImageRef = GATE.parse().unwrap();
    let dir = tempfile::tempdir().unwrap();
    layout::published(tree.root(), &image, "signed", dir.path());
    let endpoint = format!("ghcr.io={url}");
    let mut there = endpoints(std::slice::from_ref(&endpoint));
    if let Some(ca) = ca {
        there = there.with_extra_ca(fs::read(ca).unwrap());
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let digest = runtime.block_on(async {
        let logins = Logins::none().with("ghcr.io", Credentials::new("me", "s3cret"));
        let registry = Registry::new(&there, logins).unwrap();
        registry.push_layout(dir.path(), &image).await.unwrap()
    });
    keys.sign("right", server.host(), digest, sign);
    let compose = format!("name: signed\nservices:\n  gate:\n    image: {GATE}@{digest}\n");
    tree.write(COMPOSE, &compose);
    tree.write("compose/pin-waivers.yaml", "version: 1\nwaivers: []\n");
    Some((tree, ["--endpoint".to_owned(), endpoint]))
}

fn verify_there(tree: &Tree, endpoint: &[String; 2], env: &[(&str, &str)]) -> Ran {
    let mut others = Others::of(tree);
    others.list(tree);
    let (_server, more) = others.serve(&Faults::none());
    let mut args = vec!["verify-pins", "--signatures", "--quiet"];
    args.extend(endpoint.iter().map(String::as_str));
    args.extend(more.iter().flat_map(|endpoint| ["--endpoint", endpoint]));
    tree.run_with(PROGRAM, &args, env)
}

#[test]
fn cosign_authenticates_if_the_registry_requires_it() {
    let Some(server) = DockerRegistry::with_password("me", "s3cret") else {
        return;
    };
    let url = format!("http://{}", server.host());
    let login = [
        "--registry-username=me",
        "--registry-password=s3cret",
        "--allow-http-registry",
    ];
    let Some((tree, endpoint)) = in_dockers_registry(&server, &url, None, &login) else {
        return;
    };
    let login = [
        ("POLIS_REGISTRY_USER", "me"),
        ("POLIS_REGISTRY_PASSWORD", "s3cret"),
    ];
    let ran = verify_there(&tree, &endpoint, &login);
    let told = "signatures: 1 verified, 0 failed, 0 not checked\n";
    assert!(ran.code == 0 && ran.stdout.contains(told), "{}", ran.seen());
    assert!(!ran.seen().contains("s3cret"), "{}", ran.seen());
    let ran = verify_there(&tree, &endpoint, &[]);
    let told = "signatures: 0 verified, 0 failed, 1 not checked\n";
    assert!(ran.code == 3 && ran.stdout.contains(told), "{}", ran.seen());
}

#[test]
fn cosign_trusts_the_extra_root_of_a_redirected_registry() {
    let Some(server) = DockerRegistry::with_tls() else {
        return;
    };
    let (url, ca) = (
        format!("https://{}", server.host()),
        server.dir().join("ca.pem"),
    );
    let ca_path = ca.display().to_string();
    let sign = ["--registry-cacert", &ca_path];
    let Some((tree, endpoint)) = in_dockers_registry(&server, &url, Some(&ca), &sign) else {
        return;
    };
    let ran = verify_there(&tree, &endpoint, &[("POLIS_EXTRA_CA", &ca_path)]);
    let told = "signatures: 1 verified, 0 failed, 0 not checked\n";
    assert!(ran.code == 0 && ran.stdout.contains(told), "{}", ran.seen());
}

/// Debian's cosign prints no version, so it may not see signatures by cosign 3.
#[test]
fn a_cosign_that_may_not_see_the_signatures_is_rejected() {
    if external_tool("cosign").is_none() {
        return;
    }
    let test_env = TestEnv::start();
    let ran = test_env.run(&["verify-pins", "--signatures"]);
    assert_eq!(ran.code, 5, "{}", ran.seen());
    for words in [
        "cosign 3 or newer is required",
        "`devel`",
        "compose/images/",
        "https://docs.sigstore.dev/",
    ] {
        assert!(ran.stderr.contains(words), "{words}: {}", ran.seen());
    }
}
