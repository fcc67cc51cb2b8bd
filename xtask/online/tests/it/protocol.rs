//! The embedded servers, queried directly, because they must also reject requests that our clients never send.

use polis_base::Digest;
use reqwest::{Client, Method, Response};
use serde_json::{Value, json};
use tempfile::TempDir;
use xtask_loopback::{EmbeddedGitHub, EmbeddedRegistry};
use xtask_online::registry::media;

use crate::support::twin::client;

const TYPE: &str = "content-type";

struct Site {
    _root: TempDir,
    server: EmbeddedRegistry,
    client: Client,
}

impl Site {
    fn start() -> Self {
        let root = tempfile::tempdir().unwrap();
        let server = EmbeddedRegistry::start(root.path()).unwrap();
        Self {
            _root: root,
            server,
            client: client(),
        }
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Response {
        let url = format!("{}{path}", self.server.url());
        let mut request = self.client.request(method, url).body(body.to_owned());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.unwrap()
    }

    /// The status, and the error code, if any.
    async fn ask(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> (u16, String) {
        let response = self.send(method, path, headers, body).await;
        let status = response.status().as_u16();
        let json: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap_or_default();
        (
            status,
            json["errors"][0]["code"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
        )
    }

    async fn push(&self, bytes: &str) -> String {
        let digest = Digest::of(bytes.as_bytes()).to_string();
        let path = format!("/v2/a/x/blobs/uploads/?digest={digest}");
        assert_eq!(
            self.ask(Method::POST, &path, &[], bytes).await,
            (201, String::new())
        );
        digest
    }
}

fn manifest(config: &str) -> String {
    json!({
        "schemaVersion": 2,
        "mediaType": media::OCI_MANIFEST,
        "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": config, "size": 2},
        "layers": [],
    })
    .to_string()
}

#[tokio::test]
async fn names_and_digests_cannot_leave_the_root() {
    let site = Site::start();
    for path in [
        "/v2/..%2f..%2fetc/manifests/v1",
        "/v2/a%00/manifests/v1",
        "/v2/A/manifests/v1",
        "/v2/a/_manifests/manifests/v1",
        "/v2/a@b/manifests/v1",
        "/v2/a:b/manifests/v1",
        "/v2//manifests/v1",
    ] {
        assert_eq!(
            site.ask(Method::GET, path, &[], "").await,
            (400, "NAME_INVALID".into()),
            "{path}"
        );
    }
    for (path, expected) in [
        ("/v2/a/manifests/..%2fx", (400, "TAG_INVALID")),
        ("/v2/a/manifests/sha256:00", (400, "DIGEST_INVALID")),
        ("/v2/a/blobs/sha256:..", (400, "DIGEST_INVALID")),
        ("/v2/a/blobs/uploads/..%2f..", (404, "BLOB_UPLOAD_UNKNOWN")),
        ("/v2/a/manifests/v1", (404, "MANIFEST_UNKNOWN")),
        ("/v2/a/tags/list", (404, "NAME_UNKNOWN")),
        ("/v1/", (404, "UNSUPPORTED")),
    ] {
        let (status, code) = site.ask(Method::GET, path, &[], "").await;
        assert_eq!((status, code.as_str()), expected, "{path}");
    }
    let response = site.send(Method::GET, "/v2/", &[], "").await;
    assert_eq!(response.status(), 200);
    assert_eq!(
        response.headers()["docker-distribution-api-version"],
        "registry/2.0"
    );
}

#[tokio::test]
async fn an_upload_in_chunks_keeps_its_order_and_its_digest() {
    let site = Site::start();
    let begun = site
        .send(Method::POST, "/v2/a/x/blobs/uploads/", &[], "")
        .await;
    assert_eq!(begun.status(), 202);
    let at = begun.headers()["location"].to_str().unwrap().to_owned();
    let first = site
        .send(Method::PATCH, &at, &[("content-range", "0-4")], "hello")
        .await;
    assert_eq!(
        (first.status().as_u16(), &first.headers()["range"]),
        (202, &"0-4".parse().unwrap())
    );
    let early = site
        .ask(Method::PATCH, &at, &[("content-range", "9-10")], "xx")
        .await;
    assert_eq!(early, (416, "BLOB_UPLOAD_INVALID".into()));
    site.send(Method::PATCH, &at, &[], " wor").await;
    let state = site.send(Method::GET, &at, &[], "").await;
    assert_eq!(
        (state.status().as_u16(), &state.headers()["range"]),
        (204, &"0-8".parse().unwrap())
    );
    let digest = Digest::of(b"hello world").to_string();
    let done = site
        .send(Method::PUT, &format!("{at}?digest={digest}"), &[], "ld")
        .await;
    assert_eq!(done.status(), 201);
    let blob = done.headers()["location"].to_str().unwrap().to_owned();
    let head = site.send(Method::HEAD, &blob, &[], "").await;
    assert_eq!(head.headers()["content-length"], "11");
    assert_eq!(head.headers()["docker-content-digest"], digest.as_str());
    assert_eq!(
        site.send(Method::GET, &blob, &[], "")
            .await
            .text()
            .await
            .unwrap(),
        "hello world"
    );
    assert_eq!(
        site.ask(Method::GET, &at, &[], "").await.0,
        404,
        "the upload is over"
    );

    let wrong = format!("/v2/a/x/blobs/uploads/?digest={}", Digest::of(b"y"));
    assert_eq!(
        site.ask(Method::POST, &wrong, &[], "x").await,
        (400, "DIGEST_INVALID".into())
    );
    let mounted = format!("/v2/b/blobs/uploads/?mount={digest}&from=a/x");
    assert_eq!(site.ask(Method::POST, &mounted, &[], "").await.0, 201);
    let unknown = format!("/v2/b/blobs/uploads/?mount={}&from=a/x", Digest::of(b"z"));
    let begun = site.send(Method::POST, &unknown, &[], "").await;
    let at = begun.headers()["location"].to_str().unwrap().to_owned();
    assert_eq!(begun.status(), 202);
    assert_eq!(site.ask(Method::DELETE, &at, &[], "").await.0, 204);
    assert_eq!(
        site.ask(Method::PUT, &at, &[], "").await,
        (400, "DIGEST_INVALID".into())
    );
    assert_eq!(site.ask(Method::DELETE, &blob, &[], "").await.0, 202);
    assert_eq!(
        site.ask(Method::GET, &blob, &[], "").await,
        (404, "BLOB_UNKNOWN".into())
    );
}

#[tokio::test]
async fn a_manifest_must_be_complete_and_of_its_media_type() {
    let site = Site::start();
    let oci = [(TYPE, media::OCI_MANIFEST)];
    let path = "/v2/a/x/manifests/v1";
    let lacking = manifest(&Digest::of(b"{}").to_string());
    assert_eq!(
        site.ask(Method::PUT, path, &oci, &lacking).await,
        (400, "MANIFEST_BLOB_UNKNOWN".into())
    );
    let whole = manifest(&site.push("{}").await);
    let index = json!({"schemaVersion": 2, "mediaType": media::OCI_INDEX, "manifests": [
        {"mediaType": media::OCI_MANIFEST, "digest": Digest::of(whole.as_bytes()).to_string(), "size": whole.len()},
    ]})
    .to_string();
    let as_index = [(TYPE, media::OCI_INDEX)];
    assert_eq!(
        site.ask(Method::PUT, path, &as_index, &index).await,
        (400, "MANIFEST_BLOB_UNKNOWN".into())
    );
    for (headers, body) in [
        (&[(TYPE, media::DOCKER_MANIFEST)], whole.as_str()),
        (&oci, "{"),
        (&oci, r#"{"schemaVersion":1}"#),
    ] {
        assert_eq!(
            site.ask(Method::PUT, path, headers, body).await,
            (400, "MANIFEST_INVALID".into())
        );
    }
    let other = format!("/v2/a/x/manifests/{}", Digest::of(b"other"));
    assert_eq!(
        site.ask(Method::PUT, &other, &oci, &whole).await,
        (400, "DIGEST_INVALID".into())
    );
    assert_eq!(site.ask(Method::PUT, path, &oci, &whole).await.0, 201);
    assert_eq!(
        site.ask(Method::PUT, "/v2/a/x/manifests/all", &as_index, &index)
            .await
            .0,
        201
    );
    let got = site.send(Method::GET, path, &[], "").await;
    assert_eq!(got.headers()[TYPE], media::OCI_MANIFEST);
    assert_eq!(got.text().await.unwrap(), whole);
}

#[tokio::test]
async fn tags_are_listed_in_pages_and_deleted() {
    let site = Site::start();
    let whole = manifest(&site.push("{}").await);
    for tag in ["c", "a", "b"] {
        let path = format!("/v2/a/x/manifests/{tag}");
        site.ask(Method::PUT, &path, &[(TYPE, media::OCI_MANIFEST)], &whole)
            .await;
    }
    let tags = async |query: &str| {
        let response = site
            .send(Method::GET, &format!("/v2/a/x/tags/list{query}"), &[], "")
            .await;
        let link = response
            .headers()
            .get("link")
            .map(|link| link.to_str().unwrap().to_owned());
        let json: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
        (json["tags"].clone(), link)
    };
    assert_eq!(tags("").await, (json!(["a", "b", "c"]), None));
    let next = r#"</v2/a/x/tags/list?n=2&last=b>; rel="next""#.to_owned();
    assert_eq!(tags("?n=2").await, (json!(["a", "b"]), Some(next)));
    assert_eq!(tags("?n=2&last=b").await, (json!(["c"]), None));
    assert_eq!(
        site.ask(Method::DELETE, "/v2/a/x/manifests/a", &[], "")
            .await
            .0,
        202
    );
    assert_eq!(tags("").await.0, json!(["b", "c"]));
    let digest = format!("/v2/a/x/manifests/{}", Digest::of(whole.as_bytes()));
    assert_eq!(site.ask(Method::DELETE, &digest, &[], "").await.0, 202);
    assert_eq!(tags("").await.0, json!([]));
    assert_eq!(
        site.ask(Method::GET, &digest, &[], "").await,
        (404, "MANIFEST_UNKNOWN".into())
    );
}

#[tokio::test]
async fn the_embedded_github_validates_as_github_does() {
    let root = tempfile::tempdir().unwrap();
    let server = EmbeddedGitHub::start(root.path(), "o", "r", "s3cret").unwrap();
    let base = format!("{}/repos/o/r/releases", server.url());
    let client = client();
    let post = async |body: &str, auth: Option<&str>| {
        let mut request = client.post(&base).body(body.to_owned());
        if let Some(auth) = auth {
            request = request.header("authorization", auth);
        }
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let json: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
        (
            status,
            json["message"].as_str().unwrap_or_default().to_owned(),
        )
    };
    let good = Some("Bearer s3cret");
    let draft = r#"{"tag_name":"v1","draft":true}"#;
    for (body, auth, status, message) in [
        (draft, None, 401, "Requires authentication"),
        (draft, Some("Bearer wrong"), 401, "Bad credentials"),
        (draft, Some("Basic s3cret"), 401, "Bad credentials"),
        ("{", good, 400, "Problems parsing JSON"),
        (
            "[]",
            good,
            422,
            "Invalid request. the body is not an object",
        ),
        ("{}", good, 422, "Validation Failed"),
        (
            r#"{"tag_name":1}"#,
            good,
            422,
            "Invalid request. For 'properties/tag_name', 1 is not permitted.",
        ),
        (
            r#"{"tag":"v1"}"#,
            good,
            422,
            "Invalid request. For 'properties/tag', \"v1\" is not permitted.",
        ),
        (draft, good, 201, ""),
        (draft, Some("token s3cret"), 201, ""),
    ] {
        assert_eq!(
            post(body, auth).await,
            (status, message.to_owned()),
            "{body} {auth:?}"
        );
    }
}

#[tokio::test]
async fn the_embedded_github_shows_drafts_only_with_write_access() {
    let root = tempfile::tempdir().unwrap();
    let server = EmbeddedGitHub::start(root.path(), "o", "r", "s3cret").unwrap();
    let base = format!("{}/repos/o/r/releases", server.url());
    let client = client();
    let draft = client
        .post(&base)
        .header("authorization", "Bearer s3cret")
        .body(r#"{"tag_name":"v1","draft":true}"#);
    assert_eq!(draft.send().await.unwrap().status(), 201);
    for path in ["/tags/v1", "/latest", "/1", "/1/assets", "/none"] {
        let response = client.get(format!("{base}{path}")).send().await.unwrap();
        assert_eq!(
            response.status(),
            404,
            "{path}: a draft is for those who may write"
        );
    }
    let tagged = client
        .get(format!("{base}/tags/v1"))
        .header("authorization", "Bearer s3cret");
    assert_eq!(
        tagged.send().await.unwrap().status(),
        404,
        "and not found by its tag by anyone"
    );
    let empty = client
        .post(format!("{base}/1/assets?name=x"))
        .header("authorization", "Bearer s3cret");
    let empty = empty.header(TYPE, "application/octet-stream").body("");
    assert_eq!(
        empty.send().await.unwrap().status(),
        422,
        "GitHub takes no empty file"
    );
}
