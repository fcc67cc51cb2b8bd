//! The manifest against its schema, and against programs that contradict it.

use expect_test::expect_file;
use schemars::generate::SchemaSettings;
use serde_json::{Value, json};
use xtask_host::source::{Place, Source};
use xtask_testkit::json_file;

use super::*;

const PINNED: &str = "sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae";

fn compose(text: &str) -> Compose {
    Compose::parse(Source {
        path: "compose/docker-compose.yml".to_owned(),
        text: text.to_owned(),
    })
    .unwrap()
}

fn facts() -> Facts {
    Facts {
        label: "1.2.3".to_owned(),
        compose: Digest::of(b"compose"),
        cloud_init: Digest::of(b"cloud-init"),
        bundle: Digest::of(b"bundle"),
        key: polis_base::facts::NO_KEY.to_owned(),
    }
}

fn download() -> GuestDownload {
    let source = Source {
        path: "x".to_owned(),
        text: "x".to_owned(),
    };
    let place: Place = source.place(0..1);
    let at = || xtask_pins::edit::Location::new(&source, 0..1);
    GuestDownload {
        tool: "yq".to_owned(),
        version: "v1.0.0".to_owned(),
        architecture: "arm64",
        url: "https://e.example/v1.0.0/yq_arm64".to_owned(),
        sha256: Digest::of(b"yq"),
        place,
        at: xtask_pins::pins_env::DownloadLocations {
            version: at(),
            url: at(),
            sha256: at(),
        },
    }
}

fn manifest(
    kind: ReleaseKind,
    commit: &str,
    compose: &Compose,
    archive: &Facts,
) -> Result<ReleaseManifest> {
    let image = "r.example/a/init:v1"
        .parse::<polis_base::ImageRef>()
        .unwrap();
    let built = Image {
        image: image.pinned(PINNED.parse().unwrap()),
        platforms: vec!["linux/amd64".to_owned(), "linux/arm64".to_owned()],
        left_out: Vec::new(),
        targets: Vec::new(),
    };
    let version = Version::new(1, 2, 3);
    let facts = Facts {
        label: kind.label(&version),
        ..facts()
    };
    require_commit(commit)?;
    ReleaseManifest::new(Parts {
        version: &version,
        kind,
        commit,
        images: images(kind, compose, &[built])?,
        downloads: &[download()],
        facts: &facts,
        archives: &[Inspected {
            triple: "x86_64-unknown-linux-musl".to_owned(),
            facts: archive.clone(),
            program_size: 1,
            size: 2,
            sha256: Digest::of(b"archive"),
        }],
    })
}

fn pinned() -> Compose {
    compose(&format!(
        "services:\n  a: {{image: \"r.example/a/init:v1@{PINNED}\"}}\n  b: {{image: \"r.example/a/init:v1@{PINNED}\"}}\n  c: {{image: \"r.example/a/gate:v0@{PINNED}\"}}\n"
    ))
}

fn unpinned() -> Compose {
    compose("services:\n  a: {image: \"r.example/a/init:v1\"}\n")
}

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// The schema's errors for a document.
fn against_schema(document: &Value) -> Vec<String> {
    let validator = jsonschema::validator_for(&schema()).unwrap();
    let errors = validator.iter_errors(document);
    errors
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect()
}

/// The schema, from the types.
fn schema() -> Value {
    let settings = SchemaSettings::draft07().for_serialize();
    let generator = settings.into_generator();
    let schema = generator.into_root_schema_for::<ReleaseManifest>();
    let mut schema = schema.to_value();
    schema["$id"] =
        "https://github.com/odralabshq/polis/schemas/release-manifest.schema.json".into();
    schema["$comment"] = "Why this file exists: programs that install or verify Polis read release-manifest.json instead of \
         guessing names of files and images. A test generates it."
        .into();
    schema["title"] = "Polis release manifest".into();
    let pinned = json!({"items": {"properties": {"digest": {"type": "string"}}}});
    schema["if"] = json!({"properties": {"kind": {"const": "release"}}});
    schema["then"] = json!({"properties": {"images": pinned}});
    schema
}

/// `UPDATE_EXPECT=1 cargo test --package xtask-dist the_schema_is_that_of_the_types` writes it.
#[test]
fn the_schema_is_that_of_the_types() {
    // An absolute path: other tests run this one in other directories.
    expect_file![concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../schemas/release-manifest.schema.json"
    )]
    .assert_eq(&json_file(schema()));
}

#[test]
fn a_manifest_is_valid_and_round_trips() {
    let manifest = manifest(ReleaseKind::Release, COMMIT, &pinned(), &facts()).unwrap();
    let bytes = manifest.to_bytes().unwrap();
    let document: Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(against_schema(&document), [] as [String; 0]);
    assert_eq!(document["images"].as_array().map(Vec::len), Some(2));
    assert_eq!(document["images"][0]["platforms"][1], "linux/arm64");
    assert_eq!(document["images"][1].get("platforms"), None);
    let read: ReleaseManifest = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(read, manifest);
}

/// The schema rejects each of these changed manifests.
#[test]
fn the_schema_rejects_invalid_manifests() {
    let manifest = manifest(ReleaseKind::Release, COMMIT, &pinned(), &facts()).unwrap();
    let good: Value = serde_json::to_value(&manifest).unwrap();
    for (pointer, value) in [
        ("/version", Value::from("soon")),
        ("/kind", Value::from("nightly")),
        ("/commit", Value::from("abc")),
        ("/embeds/compose", Value::from("sha256:abc")),
        ("/images", Value::from(Vec::<Value>::new())),
        ("/images/0/digest", Value::Null),
        ("/downloads/0/url", Value::from("http://e.example")),
        ("/archives/0/size", Value::from(0)),
        ("/archives/0/name", Value::from("polis.exe")),
        ("/schema", Value::from(2)),
    ] {
        let mut bad = good.clone();
        *bad.pointer_mut(pointer).unwrap() = value;
        assert!(!against_schema(&bad).is_empty(), "{pointer}");
    }
    let mut more = good;
    more["more"] = Value::from(1);
    assert!(!against_schema(&more).is_empty());
}

#[test]
fn only_a_rehearsal_may_lack_a_digest() {
    let error =
        manifest(ReleaseKind::Release, COMMIT, &unpinned(), &facts()).expect_err("unpinned");
    let text = error.to_string();
    assert!(
        text.contains("`r.example/a/init:v1` is not pinned"),
        "{text}"
    );
    let rehearsed = Facts {
        label: "1.2.3-rehearsal".to_owned(),
        ..facts()
    };
    let rehearsal = manifest(ReleaseKind::Rehearsal, COMMIT, &unpinned(), &rehearsed).unwrap();
    let document = serde_json::to_value(&rehearsal).unwrap();
    assert_eq!(against_schema(&document), [] as [String; 0]);
}

#[test]
fn a_program_with_other_content_is_rejected() {
    for other in [
        Facts {
            label: "1.2.2".to_owned(),
            ..facts()
        },
        Facts {
            compose: Digest::of(b"another"),
            ..facts()
        },
        Facts {
            cloud_init: Digest::of(b"another"),
            ..facts()
        },
        Facts {
            bundle: Digest::of(b"another"),
            ..facts()
        },
    ] {
        let error = manifest(ReleaseKind::Release, COMMIT, &pinned(), &other).expect_err("another");
        let text = error.to_string();
        assert!(text.contains("does not match the manifest"), "{text}");
    }
}

#[test]
fn an_abbreviated_commit_is_rejected() {
    for commit in [
        "",
        "main",
        "0123456",
        "0123456789ABCDEF0123456789abcdef01234567",
    ] {
        let error =
            manifest(ReleaseKind::Release, commit, &pinned(), &facts()).expect_err("no commit");
        assert!(error.to_string().contains("is not a commit"), "{error}");
    }
}
