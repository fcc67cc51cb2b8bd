//! The embedded GitHub, queried by plain HTTP instead of our own client.

use reqwest::{Client, Method, Response};
use serde_json::Value;
use tempfile::TempDir;
use xtask_loopback::{EmbeddedGitHub, Faults, Journal};

/// The commit that tags name.
pub(crate) const COMMIT: &str = "0123456789012345678901234567890123456789";

/// A separate GitHub, and a client with the right token.
pub(crate) struct Twin {
    pub(crate) dir: TempDir,
    pub(crate) server: EmbeddedGitHub,
    pub(crate) journal: Journal,
    pub(crate) client: Client,
}

/// A parsed response.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) json: Value,
}

impl Answer {
    pub(crate) async fn of(response: Response) -> Self {
        let status = response.status().as_u16();
        let text = response.text().await.unwrap();
        let json = match text.is_empty() {
            true => Value::Null,
            false => serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}")),
        };
        Self { status, json }
    }

    /// The status and the message, or that of the first error if there is one.
    pub(crate) fn said(&self) -> (u16, &str) {
        let first = &self.json["errors"][0]["message"];
        let message = first.as_str().or(self.json["message"].as_str());
        (self.status, message.unwrap_or_default())
    }

    pub(crate) fn id(&self) -> u64 {
        assert!(self.status < 300, "{self:?}");
        self.json["id"].as_u64().unwrap()
    }
}

impl Twin {
    pub(crate) fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (server, journal) = serve(&dir);
        let client = client();
        Self {
            dir,
            server,
            journal,
            client,
        }
    }

    /// The same content behind a new server.
    pub(crate) fn restarted(self) -> Self {
        let Self { dir, client, .. } = self;
        let (server, journal) = serve(&dir);
        Self {
            dir,
            server,
            journal,
            client,
        }
    }

    /// Sends a request to `path` below the repository, with the token.
    pub(crate) async fn ask(&self, method: Method, path: &str, body: &str) -> Answer {
        let url = format!("{}/repos/o/r{path}", self.server.url());
        let request = self.client.request(method, url).bearer_auth("s3cret");
        let request = request.header("content-type", "application/octet-stream");
        Answer::of(request.body(body.to_owned()).send().await.unwrap()).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask(Method::GET, path, "").await
    }

    pub(crate) async fn post(&self, path: &str, body: &str) -> Answer {
        self.ask(Method::POST, path, body).await
    }

    pub(crate) async fn patch(&self, path: &str, body: &str) -> Answer {
        self.ask(Method::PATCH, path, body).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.ask(Method::DELETE, path, "").await
    }

    /// Creates a draft of `tag`; returns its id.
    pub(crate) async fn draft(&self, tag: &str) -> u64 {
        let body = format!(r#"{{"tag_name":"{tag}","draft":true,"target_commitish":"{COMMIT}"}}"#);
        self.post("/releases", &body).await.id()
    }

    pub(crate) async fn publish(&self, release: u64) -> Answer {
        let path = format!("/releases/{release}");
        self.patch(&path, r#"{"draft":false}"#).await
    }

    /// Creates an immutable release of `tag` with one file; returns their ids.
    pub(crate) async fn immutable(&self, tag: &str) -> (u64, u64) {
        self.server.set_immutable(true).unwrap();
        self.server.tag(tag, COMMIT).unwrap();
        let release = self.draft(tag).await;
        let upload = format!("/releases/{release}/assets?name=a");
        let asset = self.post(&upload, "bytes").await.id();
        assert_eq!(self.publish(release).await.json["immutable"], true);
        (release, asset)
    }
}

fn serve(dir: &TempDir) -> (EmbeddedGitHub, Journal) {
    let journal = Journal::default();
    let (faults, root) = (Faults::none(), dir.path().join("github"));
    let server = EmbeddedGitHub::start_journaled(&root, "o", "r", "s3cret", &faults, &journal);
    (server.unwrap(), journal)
}

/// reqwest requires a crypto provider even for http; the library installs it.
pub(crate) fn client() -> Client {
    let _ = xtask_online::registry::Registry::new(
        &xtask_online::Endpoints::public(),
        xtask_online::registry::Logins::none(),
    );
    Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap()
}
