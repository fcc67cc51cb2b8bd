//! Attachments of an image in a registry without a Referrers API, such as GHCR: an artifact whose `subject` is the
//! image, listed by an index at the image's tag `sha256-HEX`.

use polis_base::Digest;
use reqwest::{Client, Response};
use serde_json::{Value, json};
use tempfile::TempDir;
use xtask_loopback::EmbeddedRegistry;
use xtask_online::registry::media;

use crate::support::twin::client;
use crate::support::{external_tool, oras, run};

const SBOM: &str = "application/vnd.cyclonedx+json";
const EMPTY: &str = "application/vnd.oci.empty.v1+json";

struct Site {
    dir: TempDir,
    server: EmbeddedRegistry,
    client: Client,
}

impl Site {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let server = EmbeddedRegistry::start(&dir.path().join("registry")).unwrap();
        Self {
            dir,
            server,
            client: client(),
        }
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        let url = format!("{}/v2/a/x/{path}", self.server.url());
        let answer = self.client.get(url).send().await.unwrap();
        let status = answer.status().as_u16();
        let body = serde_json::from_str(&answer.text().await.unwrap());
        (status, body.unwrap_or_default())
    }

    async fn blob(&self, bytes: &str) -> Value {
        let digest = Digest::of(bytes.as_bytes()).to_string();
        let url = format!(
            "{}/v2/a/x/blobs/uploads/?digest={digest}",
            self.server.url()
        );
        let pushed = self.client.post(url).body(bytes.to_owned()).send().await;
        assert_eq!(pushed.unwrap().status(), 201);
        json!({"mediaType": SBOM, "digest": digest, "size": bytes.len()})
    }

    async fn put(&self, at: &str, manifest: &Value) -> Response {
        let url = format!("{}/v2/a/x/manifests/{at}", self.server.url());
        let kind = manifest["mediaType"].as_str().unwrap();
        let request = self.client.put(url).header("content-type", kind);
        let answer = request.body(manifest.to_string()).send().await.unwrap();
        assert_eq!(answer.status(), 201, "{at}");
        answer
    }

    /// The manifests of an image, an artifact about it and the index of its referrers, all still to be pushed.
    async fn manifests(&self) -> [Value; 3] {
        let mut config = self.blob("{}").await;
        config["mediaType"] = EMPTY.into();
        let image = json!({"schemaVersion": 2, "mediaType": media::OCI_MANIFEST,
                           "config": config, "layers": []});
        let artifact = json!({
            "schemaVersion": 2,
            "mediaType": media::OCI_MANIFEST,
            "artifactType": SBOM,
            "config": config,
            "layers": [self.blob(r#"{"bomFormat":"CycloneDX"}"#).await],
            "subject": descriptor(&image),
        });
        let mut entry = descriptor(&artifact);
        entry["artifactType"] = SBOM.into();
        let index = json!({"schemaVersion": 2, "mediaType": media::OCI_INDEX,
                           "manifests": [entry]});
        [image, artifact, index]
    }
}

fn digest(manifest: &Value) -> String {
    Digest::of(manifest.to_string().as_bytes()).to_string()
}

fn descriptor(manifest: &Value) -> Value {
    let (kind, size) = (&manifest["mediaType"], manifest.to_string().len());
    json!({"mediaType": kind, "digest": digest(manifest), "size": size})
}

#[tokio::test]
async fn an_artifact_is_found_by_its_fallback_tag() {
    let site = Site::start();
    let [image, artifact, index] = site.manifests().await;
    // Its subject may be pushed later, or never.
    let pushed = site.put(&digest(&artifact), &artifact).await;
    let headers = pushed.headers();
    assert!(
        !headers.contains_key("oci-subject"),
        "a registry that answers this keeps the list itself"
    );
    let referrers = format!("referrers/{}", digest(&image));
    assert_eq!(site.get(&referrers).await.0, 404);
    site.put("v1", &image).await;
    assert_eq!(site.get(&referrers).await.0, 404, "as at GHCR");
    let tags = site.get("tags/list").await.1["tags"].clone();
    assert_eq!(tags, json!(["v1"]));
    let fallback = digest(&image).replace(':', "-");
    site.put(&fallback, &index).await;
    let listed = site.get(&format!("manifests/{fallback}")).await;
    assert_eq!(listed, (200, index));
}

#[tokio::test]
async fn oras_finds_artifacts_by_the_fallback_tag() {
    let site = Site::start();
    let [image, artifact, index] = site.manifests().await;
    site.put("v1", &image).await;
    let reference = format!("{}/a/x:v1", site.server.host());
    let Some(found) = oras::discover(&reference) else {
        return;
    };
    assert_eq!(found, [] as [Value; 0]);
    site.put(&digest(&artifact), &artifact).await;
    site.put(&digest(&image).replace(':', "-"), &index).await;
    let found = oras::discover(&reference).unwrap();
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!(
        (&found[0]["digest"], &found[0]["artifactType"]),
        (&json!(digest(&artifact)), &json!(SBOM))
    );
}

#[tokio::test]
async fn artifacts_attached_by_oras_are_listed_by_the_fallback_tag() {
    let site = Site::start();
    let Some(oras) = external_tool("oras") else {
        return;
    };
    let [image, artifact, index] = site.manifests().await;
    site.put("v1", &image).await;
    site.put(&digest(&artifact), &artifact).await;
    let fallback = digest(&image).replace(':', "-");
    site.put(&fallback, &index).await;
    let reference = format!("{}/a/x:v1", site.server.host());
    let file = site.dir.path().join("notes.txt");
    std::fs::write(&file, "notes").unwrap();
    let kind = "text/plain";
    let attach = ["attach", "--plain-http", "--disable-path-validation"];
    let attach = attach.map(str::to_owned).into_iter().chain([
        "--artifact-type".to_owned(),
        kind.to_owned(),
        reference,
        format!("{}:{kind}", file.display()),
    ]);
    run(oras, attach);
    let (_, listed) = site.get(&format!("manifests/{fallback}")).await;
    let listed = listed["manifests"].as_array().unwrap();
    let kinds: Vec<&Value> = listed.iter().map(|entry| &entry["artifactType"]).collect();
    assert_eq!(kinds, [SBOM, kind], "ours stays, and its own is added");
    let (_, attached) = site
        .get(&format!(
            "manifests/{}",
            listed[1]["digest"].as_str().unwrap()
        ))
        .await;
    assert_eq!(attached["subject"], descriptor(&image));
}
