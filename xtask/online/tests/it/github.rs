//! A release at the embedded GitHub, from draft to public, and everything that can refuse it.

use std::fs;
use std::path::{Path, PathBuf};

use axum::Router;
use axum::http::HeaderMap;
use polis_base::Digest;
use serde_json::Value;
use tempfile::TempDir;
use xtask_online::download::hash_url;
use xtask_online::embedded::{EmbeddedGitHub, Fault, Faults};
use xtask_online::github::{API, GitHub, NewRelease, Token, UPLOADS};
use xtask_online::{Endpoints, ErrorKind};

use crate::support::{endpoints, hasty};

const RELEASES: &str = "/repos/odralabshq/polis/releases";

/// An embedded GitHub that can be told to fail.
struct Site {
    dir: TempDir,
    faults: Faults,
    server: EmbeddedGitHub,
}

impl Site {
    fn start() -> Self {
        let (dir, faults) = (tempfile::tempdir().unwrap(), Faults::none());
        let server = serve(dir.path(), &faults);
        Self {
            dir,
            faults,
            server,
        }
    }

    fn endpoints(&self) -> Endpoints {
        let url = self.server.url();
        endpoints(&[API, UPLOADS, "github.com"].map(|host| format!("{host}={url}")))
    }

    fn client(&self) -> GitHub {
        self.client_with("s3cret")
    }

    fn client_with(&self, token: &str) -> GitHub {
        let token = Token::new(token).unwrap();
        GitHub::new(&self.endpoints(), "odralabshq", "polis", &token).unwrap()
    }

    /// The tag of what this GitHub calls the latest release.
    async fn latest(&self) -> Option<String> {
        let url = format!("{}{RELEASES}/latest", self.server.url());
        let answer = reqwest::get(url).await.unwrap();
        let release: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
        release["tag_name"].as_str().map(str::to_owned)
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    }
}

fn serve(root: &Path, faults: &Faults) -> EmbeddedGitHub {
    let token = Token::new("s3cret").unwrap();
    let root = root.join("github");
    EmbeddedGitHub::start_with(&root, "odralabshq", "polis", &token, faults).unwrap()
}

fn draft(tag: &str) -> NewRelease {
    NewRelease {
        tag: tag.to_owned(),
        commit: "0123456789012345678901234567890123456789".to_owned(),
        name: format!("Polis {tag}"),
        body: "notes\n".to_owned(),
        prerelease: tag.contains('-'),
    }
}

#[tokio::test]
async fn a_release_goes_from_draft_to_public() {
    let site = Site::start();
    let github = site.client();
    assert_eq!(github.find("v0.5.0").await.unwrap(), None);
    let release = github.create_draft(&draft("v0.5.0")).await.unwrap();
    assert!(release.draft && !release.prerelease);
    assert_eq!(
        (release.name.as_str(), release.body.as_str()),
        ("Polis v0.5.0", "notes\n")
    );

    let bytes = vec![7_u8; 3_000_000];
    let path = site.file("polis-v0.5.0 (x86_64).tar.gz", &bytes);
    let asset = github.upload(release.id, &path).await.unwrap();
    assert_eq!(
        asset.name, "polis-v0.5.0..x86_64..tar.gz",
        "as GitHub renames"
    );
    assert_eq!(
        (asset.size, asset.digest),
        (3_000_000, Some(Digest::of(&bytes)))
    );
    assert_eq!(
        github.assets(release.id).await.unwrap(),
        std::slice::from_ref(&asset)
    );
    assert_eq!(
        github.download(&asset).await.unwrap(),
        bytes,
        "a draft's asset, by the API"
    );
    let public = hash_url(&site.endpoints(), &asset.download, |_, _| ()).await;
    assert_eq!(
        public.unwrap_err().kind,
        ErrorKind::NotFound,
        "not public yet"
    );

    let found = github.find("v0.5.0").await.unwrap().unwrap();
    assert_eq!((found.id, found.assets.len()), (release.id, 1));
    assert_eq!(site.latest().await, None);
    let published = github.publish(release.id, true).await.unwrap();
    assert!(!published.draft);
    assert_eq!(site.latest().await.as_deref(), Some("v0.5.0"));
    let (digest, _) = hash_url(&site.endpoints(), &asset.download, |_, _| ())
        .await
        .unwrap();
    assert_eq!(digest, Digest::of(&bytes));
    let public = format!(
        "https://github.com/odralabshq/polis/releases/download/v0.5.0/{}",
        asset.name
    );
    assert_eq!(
        hash_url(&site.endpoints(), &public, |_, _| ())
            .await
            .unwrap()
            .0,
        digest
    );
}

#[tokio::test]
async fn a_prerelease_or_an_older_one_is_never_the_latest_unasked() {
    let site = Site::start();
    let github = site.client();
    for (tag, latest) in [("v0.5.0", true), ("v0.6.0-rc.1", false), ("v0.4.1", false)] {
        let release = github.create_draft(&draft(tag)).await.unwrap();
        github.publish(release.id, latest).await.unwrap();
        assert_eq!(site.latest().await.as_deref(), Some("v0.5.0"));
    }
    let candidate = github.create_draft(&draft("v0.6.0-rc.2")).await.unwrap();
    let error = github.publish(candidate.id, true).await.unwrap_err();
    let refused = "Latest release cannot be draft or prerelease";
    assert!(error.detail.contains(refused), "{error}");
    let again = github.create_draft(&draft("v0.5.0")).await.unwrap();
    let error = github.publish(again.id, true).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Protocol);
    assert!(
        error
            .detail
            .contains(r#""code":"already_exists","field":"tag_name""#),
        "{error}"
    );
    let found = github.find("v0.5.0").await.unwrap().unwrap();
    assert!(
        !found.draft,
        "the public one comes before a draft of the same tag"
    );
    assert_eq!(github.find("v9").await.unwrap(), None);
}

#[tokio::test]
async fn more_than_a_page_is_searched_and_survives_a_restart() {
    let site = Site::start();
    let github = site.client();
    for number in 0..101 {
        github
            .create_draft(&draft(&format!("v1.0.{number}")))
            .await
            .unwrap();
    }
    let site = Site {
        server: serve(site.dir.path(), &site.faults),
        ..site
    };
    let github = site.client();
    let first = github.find("v1.0.0").await.unwrap().unwrap();
    for number in 0..101 {
        let path = site.file(&format!("f{number}"), b"x");
        github.upload(first.id, &path).await.unwrap();
    }
    assert_eq!(github.assets(first.id).await.unwrap().len(), 101);
}

#[tokio::test]
async fn refusals_are_told_by_their_kind() {
    let site = Site::start();
    let (github, base) = (site.client(), site.server.url());
    let release = github.create_draft(&draft("v0.5.0")).await.unwrap();
    let path = site.file("SHA256SUMS", b"sums");
    let asset = github.upload(release.id, &path).await.unwrap();
    let error = github.upload(release.id, &path).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Protocol);
    assert!(error.detail.contains("already_exists"), "{error}");
    let error = github
        .upload(release.id, &site.dir.path().join("none"))
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Local);
    let error = github.create_draft(&draft("")).await.unwrap_err();
    assert!(
        error.detail.contains(r#""code":"missing_field""#),
        "{error}"
    );

    let stranger = site.client_with("guessed");
    let bad = format!("{base}{RELEASES}: access refused: status 401: Bad credentials");
    let error = stranger.create_draft(&draft("v0.5.0")).await.unwrap_err();
    assert_eq!(error.to_string(), bad);
    assert_eq!(
        stranger.delete_asset(asset.id).await.unwrap_err().kind,
        ErrorKind::Unauthorised
    );
    assert_eq!(
        stranger.find("v0.5.0").await.unwrap_err().kind,
        ErrorKind::Unauthorised
    );

    github.delete_asset(asset.id).await.unwrap();
    github.delete_asset(asset.id).await.unwrap();
    assert_eq!(
        github.download(&asset).await.unwrap_err().kind,
        ErrorKind::NotFound
    );
    assert_eq!(
        github.publish(999, true).await.unwrap_err().kind,
        ErrorKind::NotFound
    );
    let token = Token::new("s3cret").unwrap();
    let other = GitHub::new(&site.endpoints(), "odralabshq", "other", &token).unwrap();
    assert_eq!(
        other.find("v1").await.unwrap_err().kind,
        ErrorKind::NotFound
    );
}

#[tokio::test]
async fn a_passing_fault_is_survived_and_a_lasting_one_told() {
    let site = Site::start();
    let github = site.client();
    let list = || site.faults.add("GET", RELEASES, 1, Fault::Status(502));
    list();
    assert_eq!(github.find("v0.5.0").await.unwrap(), None);
    let release = github.create_draft(&draft("v0.5.0")).await.unwrap();
    let path = site.file("polis.tar.gz", &[1; 100_000]);
    // The answer is lost after the file was taken: the next attempt must clear it away.
    site.faults.add("POST", RELEASES, 1, Fault::Cut(5));
    site.faults.add("POST", RELEASES, 1, Fault::Status(502));
    let asset = github.upload(release.id, &path).await.unwrap();
    assert_eq!(
        github.assets(release.id).await.unwrap(),
        std::slice::from_ref(&asset)
    );
    site.faults.add("GET", "/storage", 1, Fault::Cut(50_000));
    site.faults.add("PATCH", RELEASES, 2, Fault::Status(500));
    assert_eq!(github.download(&asset).await.unwrap(), [1; 100_000]);
    assert!(!github.publish(release.id, true).await.unwrap().draft);
    assert_eq!(site.faults.left(), 0);

    site.faults.add("GET", "/storage", 3, Fault::Cut(50_000));
    let error = github.download(&asset).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unreachable, "{error}");
    site.faults.add("POST", RELEASES, 1, Fault::Status(500));
    let error = github.create_draft(&draft("v0.6.0")).await.unwrap_err();
    let url = site.server.url();
    assert_eq!(
        error.to_string(),
        format!("{url}{RELEASES}: no usable answer: status 500: a fault, as told")
    );
    assert_eq!(
        github.find("v0.6.0").await.unwrap(),
        None,
        "and was not tried again"
    );
}

#[tokio::test]
async fn the_token_does_not_follow_a_redirect_to_another_host() {
    let site = Site::start();
    let github = site.client();
    let release = github.create_draft(&draft("v0.5.0")).await.unwrap();
    let path = site.file("polis.tar.gz", b"bytes");
    let asset = github.upload(release.id, &path).await.unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let elsewhere = format!("http://{}/x", listener.local_addr().unwrap());
    let tell = async |headers: HeaderMap| format!("{:?}", headers.get("authorization"));
    let router = Router::new().fallback(tell);
    tokio::spawn(async { axum::serve(listener, router).await });
    let at = format!("{RELEASES}/assets/");
    site.faults.add("GET", &at, 1, Fault::Redirect(elsewhere));
    let seen = github.download(&asset).await.unwrap();
    assert_eq!(String::from_utf8(seen).unwrap(), "None");
    site.faults.add("GET", &at, 6, Fault::Redirect(at.clone()));
    let error = github.download(&asset).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Protocol);
    assert!(error.detail.ends_with("too many redirects"), "{error}");
}

#[tokio::test]
async fn a_github_that_does_not_answer_is_unreachable() {
    let site = Site::start();
    let url = site.server.url();
    let hasty = hasty(&[format!("{API}={url}"), format!("{UPLOADS}={url}")]);
    let token = Token::new("s3cret").unwrap();
    let github = GitHub::new(&hasty, "odralabshq", "polis", &token).unwrap();
    let at = format!("{url}{RELEASES}");
    site.faults.add("GET", RELEASES, 1, Fault::Stall);
    let error = github.find("v1").await.unwrap_err();
    let page = format!("{at}?per_page=100&page=1");
    assert_eq!(
        error.to_string(),
        format!("{page}: no usable answer: no answer in time")
    );
    site.server.stop().await;
    let error = github.find("v1").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unreachable);
    assert!(error.detail.contains("Connection refused"), "{error}");
}
