//! Every request to GitHub by the release, drift and update code, validated with its response against GitHub's own API
//! description. Our real clients go through the same validator in their own tests.

use axum::http::StatusCode;
use reqwest::{Method, Response};
use serde_json::{Value, json};
use xtask_loopback::Probe;

use crate::support::prism::{self, Prism};
use crate::support::twin::{Answer, COMMIT, Twin};

const REPO: &str = "/repos/o/r";

/// The embedded GitHub behind Prism.
struct Judged {
    twin: Twin,
    prism: Prism,
}

impl Judged {
    async fn send(&self, method: Method, path: &str, body: Option<(&str, String)>) -> Response {
        let url = format!("{}{REPO}{path}", self.prism.judge());
        let request = self.twin.client.request(method, url).bearer_auth("s3cret");
        let mut request = request.header("accept", "application/vnd.github+json");
        if let Some((kind, body)) = body {
            request = request.header("content-type", kind).body(body);
        }
        request.send().await.unwrap()
    }

    /// Sends a request and returns the response. Prism must report no violation.
    async fn ask(&self, method: Method, path: &str, body: Option<Value>, status: u16) -> Value {
        let body = body.map(|body| ("application/json", body.to_string()));
        let answer = self.send(method, path, body).await;
        self.read(path, answer, status).await
    }

    async fn get(&self, path: &str) -> Value {
        self.ask(Method::GET, path, None, 200).await
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        self.ask(Method::POST, path, Some(body), 201).await
    }

    async fn patch(&self, path: &str, body: Value) -> Value {
        self.ask(Method::PATCH, path, Some(body), 200).await
    }

    async fn delete(&self, path: &str) {
        self.ask(Method::DELETE, path, None, 204).await;
    }

    /// Uploads a file to the release at `path`; returns its id.
    async fn upload(&self, path: &str) -> u64 {
        let path = format!("{path}/assets?name=polis.tar.gz");
        let body = ("application/octet-stream", "ten bytes.".to_owned());
        let answer = self.send(Method::POST, &path, Some(body)).await;
        self.read(&path, answer, 201).await["id"].as_u64().unwrap()
    }

    /// The content of a file; Prism follows the redirect to it.
    async fn download(&self, asset: u64) -> Value {
        let path = format!("/releases/assets/{asset}");
        let url = format!("{}{REPO}{path}", self.prism.judge());
        let request = self.twin.client.get(url).bearer_auth("s3cret");
        let request = request.header("accept", "application/octet-stream");
        self.read(&path, request.send().await.unwrap(), 200).await
    }

    /// The status of a response whose status is missing in the description, which must be the only violation.
    async fn undescribed(&self, path: &str) -> u16 {
        let answer = self.send(Method::GET, path, None).await;
        let violations = answer.headers()["sl-violations"].to_str().unwrap();
        let violations: Vec<Value> = serde_json::from_str(violations).unwrap();
        let said = violations[0]["message"].as_str().unwrap();
        assert!(
            violations.len() == 1 && said.starts_with(UNDESCRIBED),
            "{said}"
        );
        answer.status().as_u16()
    }

    async fn read(&self, path: &str, answer: Response, status: u16) -> Value {
        let found = answer.status().as_u16();
        let violations = answer.headers().get("sl-violations").cloned();
        let text = answer.text().await.unwrap();
        assert_eq!(violations, None, "{path}: {text}");
        assert_eq!(found, status, "{path}: {text}");
        match text.is_empty() {
            true => Value::Null,
            false => serde_json::from_str(&text).unwrap_or(Value::String(text)),
        }
    }
}

/// Prism's message for a status that GitHub sends but does not describe.
const UNDESCRIBED: &str = "Unable to match the returned status code";

#[tokio::test]
async fn requests_and_responses_follow_githubs_description() {
    let twin = Twin::start();
    let Some(prism) = prism::start(&twin.server.url()) else {
        return;
    };
    let judged = Judged { twin, prism };
    unknown_requests_are_rejected(&judged).await;
    a_release_is_described(&judged).await;
    the_drift_check_is_described(&judged).await;
}

async fn a_release_is_described(judged: &Judged) {
    let server = &judged.twin.server;
    assert_eq!(judged.get("").await["permissions"]["push"], true);
    assert_eq!(judged.get("/releases?per_page=100&page=1").await, json!([]));
    for path in ["/releases/latest", "/releases/tags/v1", "/git/ref/tags/v1"] {
        judged.ask(Method::GET, path, None, 404).await;
    }
    let object = server.tag("v1", COMMIT).unwrap();
    judged.get("/git/ref/tags/v1").await;
    judged.get(&format!("/git/tags/{object}")).await;
    assert_eq!(judged.get("/tags").await[0]["commit"]["sha"], COMMIT);
    let probe = judged.undescribed("/immutable-releases").await;
    assert_eq!(probe, 403);
    server.set_probe(Probe::Missing).unwrap();
    judged
        .ask(Method::GET, "/immutable-releases", None, 404)
        .await;
    server.set_probe(Probe::Told).unwrap();
    server.set_immutable(true).unwrap();
    assert_eq!(judged.get("/immutable-releases").await["enabled"], true);

    let new = json!({"tag_name": "v1", "target_commitish": COMMIT, "name": "One",
                     "body": "notes", "draft": true, "prerelease": false});
    let draft = judged.post("/releases", new).await["id"].clone();
    let path = format!("/releases/{draft}");
    let change = json!({"tag_name": "v1", "name": "1", "body": "n", "prerelease": false,
                        "target_commitish": COMMIT, "draft": true});
    judged.patch(&path, change).await;
    let asset = judged.upload(&path).await;
    judged
        .get(&format!("{path}/assets?per_page=100&page=1"))
        .await;
    judged.get(&format!("/releases/assets/{asset}")).await;
    assert_eq!(judged.download(asset).await, "ten bytes.");
    judged.delete(&format!("/releases/assets/{asset}")).await;
    judged.upload(&path).await;

    let public = json!({"tag_name": "v1", "draft": false, "make_latest": "true"});
    let public = judged.patch(&path, public).await;
    assert_eq!(public["immutable"], true);
    for path in ["/releases", "/releases/latest", "/releases/tags/v1", &path] {
        judged.get(path).await;
    }
    let attestations = format!("/attestations/sha1:{object}?predicate_type=release");
    let found = judged.get(&attestations).await;
    assert_eq!(found["attestations"].as_array().map(Vec::len), Some(1));
    server.set_attestation_lag(1).unwrap();
    assert_eq!(judged.undescribed(&attestations).await, 404);
    judged.delete(&path).await;

    server.set_gravatar(false).unwrap();
    let draft = judged.twin.draft("v2").await;
    let release = judged.get(&format!("/releases/{draft}")).await;
    assert_eq!(release["author"]["gravatar_id"], Value::Null);
}

async fn the_drift_check_is_described(judged: &Judged) {
    let new = json!({"title": "Pins have drifted", "body": "b", "labels": ["pin-drift"]});
    let issue = judged.post("/issues", new).await["number"].clone();
    let list = "/issues?state=open&labels=pin-drift&per_page=100&page=1";
    assert_eq!(judged.get(list).await[0]["number"], issue);
    judged.twin.server.set_plain_labels(true).unwrap();
    assert_eq!(judged.get(list).await[0]["labels"], json!(["pin-drift"]));
    let path = format!("/issues/{issue}");
    judged.patch(&path, json!({"body": "c"})).await;
    let comments = format!("{path}/comments");
    judged
        .post(&comments, json!({"body": "All pins are fine again."}))
        .await;
    let close = json!({"state": "closed", "state_reason": "completed"});
    judged.patch(&path, close).await;
    let runs = judged.twin.dir.path().join("github/runs.json");
    std::fs::write(runs, r#"["failure", "success", "timed_out"]"#).unwrap();
    let runs = "/actions/workflows/drift.yml/runs?event=schedule&status=completed&per_page=3";
    assert_eq!(judged.get(runs).await["total_count"], 3);
}

async fn unknown_requests_are_rejected(judged: &Judged) {
    let post = async |path: &str, body: &str| {
        let body = Some(("application/json", body.to_owned()));
        let answer = judged.send(Method::POST, path, body).await;
        answer.text().await.unwrap()
    };
    for (path, body, what) in [
        ("/releases", r#"{"tag_name":"v1","more":true}"#, "more"),
        ("/releases", r#"{"tag_name":1}"#, "tag_name"),
        ("/releases", r#"{"draft":true}"#, "tag_name"),
        ("/issues", r#"{"title":"t","more":true}"#, "more"),
        ("/issues", r#"{"body":"b"}"#, "title"),
        ("/issues/1/comments", r#"{"body":"b","more":1}"#, "more"),
        ("/labels", r#"{"name":"x"}"#, "NO_PATH_MATCHED"),
    ] {
        let said = post(path, body).await;
        let refused = said.contains("prism/errors") && said.contains(what);
        assert!(refused, "{path} {body}: {said}");
    }
    assert_eq!(judged.twin.journal.entries(), [], "and lets none through");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_any_content_bypass_the_validator() {
    let twin = Twin::start();
    let Some(prism) = tokio::task::block_in_place(|| prism::start(&twin.server.url())) else {
        return;
    };
    let draft = twin.draft("v1").await;
    let ask = |method: Method, path: &str, accept: &str| {
        let url = format!("{}{REPO}/releases{path}", prism.url());
        let request = twin.client.request(method, url).bearer_auth("s3cret");
        request.header("accept", accept)
    };
    let (json, bytes) = ("application/json", "application/octet-stream");
    let body = [0_u8, 159, 146, 150, 255];
    let upload = ask(Method::POST, &format!("/{draft}/assets?name=a"), json);
    let upload = upload.header("content-type", bytes).body(body.to_vec());
    let asset = Answer::of(upload.send().await.unwrap()).await;
    assert_eq!((asset.status, &asset.json["size"]), (201, &json!(5)));
    let found = ask(Method::GET, &format!("/assets/{}", asset.id()), bytes);
    let found = found.send().await.unwrap();
    let at = found.headers()["location"].to_str().unwrap();
    let found = twin.client.get(at).header("accept", bytes).send().await;
    assert_eq!(found.unwrap().bytes().await.unwrap().as_ref(), body);
    let change = ask(Method::PATCH, &format!("/{draft}"), json).body(r#"{"more":1}"#);
    let change = change.header("content-type", json).send().await.unwrap();
    assert_eq!(change.status(), 422);
    assert_eq!(prism.violations().len(), 1, "the rest is judged");
}

/// Prism silently ignores parts of the description that it cannot use, so each request must reject a nonsensical
/// response.
#[tokio::test(flavor = "multi_thread")]
async fn a_nonsensical_response_to_any_request_is_rejected() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = format!("http://{}", listener.local_addr().unwrap());
    let nonsense = async |method: Method| {
        let status = if method == Method::POST { 201 } else { 200 };
        let status = StatusCode::from_u16(status).unwrap();
        (status, [("content-type", "application/json")], "5")
    };
    let router = axum::Router::new().fallback(nonsense);
    tokio::spawn(async { axum::serve(listener, router).await });
    let Some(prism) = tokio::task::block_in_place(|| prism::start(&upstream)) else {
        return;
    };
    let judged = Judged {
        twin: Twin::start(),
        prism,
    };
    let get = [
        "",
        "/actions/workflows/drift.yml/runs",
        "/attestations/sha1:0",
        "/git/commits/0",
        "/git/ref/heads/main",
        "/git/ref/heads/polis/pins",
        "/git/ref/tags/v1",
        "/git/tags/0",
        "/git/trees/0",
        "/immutable-releases",
        "/issues",
        "/pulls",
        "/releases",
        "/releases/assets/1",
        "/releases/latest",
        "/releases/tags/v1",
        "/releases/1",
        "/releases/1/assets",
        "/tags",
    ];
    let other = [
        (
            Method::POST,
            "/git/commits",
            r#"{"message":"m","tree":"0"}"#,
        ),
        (
            Method::POST,
            "/git/refs",
            r#"{"ref":"refs/heads/x","sha":"0"}"#,
        ),
        (
            Method::PATCH,
            "/git/refs/heads/polis/pins",
            r#"{"sha":"0"}"#,
        ),
        (Method::POST, "/git/trees", r#"{"tree":[]}"#),
        (Method::POST, "/pulls", r#"{"head":"x","base":"y"}"#),
        (Method::PATCH, "/pulls/1", r#"{"title":"t"}"#),
        (Method::POST, "/issues", r#"{"title":"t"}"#),
        (Method::PATCH, "/issues/1", r#"{"body":"b"}"#),
        (Method::POST, "/issues/1/comments", r#"{"body":"b"}"#),
        (Method::POST, "/releases", r#"{"tag_name":"v1"}"#),
        (Method::PATCH, "/releases/1", r#"{"body":"b"}"#),
        (Method::POST, "/releases/1/assets?name=a", ""),
    ];
    let get = get.map(|path| (Method::GET, path, ""));
    let asked = get.len() + other.len();
    for (method, path, body) in get.into_iter().chain(other) {
        let kind = match path.contains("?name") {
            true => "application/octet-stream",
            false => "application/json",
        };
        let body = (method != Method::GET).then(|| (kind, body.to_owned()));
        let answer = judged.send(method.clone(), path, body).await;
        let said = answer.text().await.unwrap();
        assert!(
            said.contains("errors#VIOLATIONS"),
            "{method} {path}: {said}"
        );
    }
    let told = judged.prism.violations();
    assert_eq!(told.len(), asked, "{told:#?}");
}
