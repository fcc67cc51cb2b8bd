//! A release at the embedded GitHub, from draft to public, and everything that can prevent it.

use std::path::Path;

use axum::Router;
use axum::http::HeaderMap;
use polis_base::Digest;
use serde_json::Value;
use tempfile::TempDir;
use xtask_loopback::{EmbeddedGitHub, Fault, Faults};
use xtask_online::download::hash_url;
use xtask_online::github::{API, Asset, GitHub, Release, ReleaseFields, Token, UPLOADS, Upload};
use xtask_online::{Endpoints, ErrorKind, Rejection};

use crate::support::{endpoints, hasty};

const RELEASES: &str = "/repos/odralabshq/polis/releases";

/// An embedded GitHub with faults.
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
        GitHub::new(&self.endpoints(), "odralabshq/polis", Some(&token)).unwrap()
    }

    /// The tag of the release that this GitHub marks as the latest.
    async fn latest(&self) -> Option<String> {
        let url = format!("{}{RELEASES}/latest", self.server.url());
        let answer = reqwest::get(url).await.unwrap();
        let release: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
        release["tag_name"].as_str().map(str::to_owned)
    }
}

fn serve(root: &Path, faults: &Faults) -> EmbeddedGitHub {
    let root = root.join("github");
    EmbeddedGitHub::start_with(&root, "odralabshq", "polis", "s3cret", faults).unwrap()
}

/// The release or draft of `tag`; a public one takes precedence.
async fn find(github: &GitHub, tag: &str) -> Option<Release> {
    let mut found = github.releases().await.unwrap();
    found.retain(|release| release.tag == tag);
    found.sort_by_key(|release| release.draft);
    found.into_iter().next()
}

/// Uploads `bytes` as `name`, which must be free.
async fn upload(github: &GitHub, release: u64, name: &str, bytes: &[u8]) -> Asset {
    match github.upload(release, name, bytes.to_vec()).await.unwrap() {
        Upload::There(asset) => asset,
        Upload::Other(other) => panic!("{other:?}"),
    }
}

fn draft(tag: &str) -> ReleaseFields {
    ReleaseFields {
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
    assert_eq!(find(&github, "v0.5.0").await, None);
    let release = github.create_draft(&draft("v0.5.0")).await.unwrap();
    assert!(release.draft && !release.prerelease);
    assert_eq!(
        (release.name.as_str(), release.body.as_str()),
        ("Polis v0.5.0", "notes\n")
    );

    let bytes = vec![7_u8; 3_000_000];
    let asset = upload(&github, release.id, "polis-v0.5.0 (x86_64).tar.gz", &bytes).await;
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

    let found = find(&github, "v0.5.0").await.unwrap();
    assert_eq!((found.id, found.assets.len()), (release.id, 1));
    assert_eq!(site.latest().await, None);
    let published = github
        .publish(release.id, &draft("v0.5.0"), true)
        .await
        .unwrap();
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
async fn a_prerelease_or_older_release_does_not_become_the_latest() {
    let site = Site::start();
    let github = site.client();
    for (tag, latest) in [("v0.5.0", true), ("v0.6.0-rc.1", false), ("v0.4.1", false)] {
        let release = github.create_draft(&draft(tag)).await.unwrap();
        github
            .publish(release.id, &draft(tag), latest)
            .await
            .unwrap();
        assert_eq!(site.latest().await.as_deref(), Some("v0.5.0"));
    }
    let candidate = github.create_draft(&draft("v0.6.0-rc.2")).await.unwrap();
    let error = github
        .publish(candidate.id, &draft("v0.6.0-rc.2"), true)
        .await
        .unwrap_err();
    let refused = "Latest release cannot be draft or prerelease";
    assert!(error.detail.contains(refused), "{error}");
    let again = github.create_draft(&draft("v0.5.0")).await.unwrap();
    let error = github
        .publish(again.id, &draft("v0.5.0"), true)
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Rejected(Rejection::Taken));
    assert!(
        error
            .detail
            .contains(r#""code":"already_exists","field":"tag_name""#),
        "{error}"
    );
    let found = find(&github, "v0.5.0").await.unwrap();
    assert!(
        !found.draft,
        "the public one comes before a draft of the same tag"
    );
    assert_eq!(find(&github, "v9").await, None);
}

#[tokio::test]
async fn several_pages_are_searched_and_survive_a_restart() {
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
    let first = find(&github, "v1.0.0").await.unwrap();
    for number in 0..101 {
        upload(&github, first.id, &format!("f{number}"), b"x").await;
    }
    assert_eq!(github.assets(first.id).await.unwrap().len(), 101);
}

#[tokio::test]
async fn each_rejection_has_its_kind() {
    let site = Site::start();
    let (github, base) = (site.client(), site.server.url());
    let release = github.create_draft(&draft("v0.5.0")).await.unwrap();
    let asset = upload(&github, release.id, "SHA256SUMS", b"sums").await;
    let again = github.upload(release.id, "SHA256SUMS", b"sums".to_vec());
    assert_eq!(again.await.unwrap(), Upload::There(asset.clone()));
    let other = github.upload(release.id, "SHA256SUMS", b"others".to_vec());
    assert_eq!(other.await.unwrap(), Upload::Other(asset.clone()), "stays");
    let error = github.create_draft(&draft("")).await.unwrap_err();
    assert!(
        error.detail.contains(r#""code":"missing_field""#),
        "{error}"
    );

    let stranger = site.client_with("guessed");
    let bad = format!("{base}{RELEASES}: access denied: status 401: Bad credentials");
    let error = stranger.create_draft(&draft("v0.5.0")).await.unwrap_err();
    assert_eq!(error.to_string(), bad);
    assert_eq!(
        stranger.releases().await.unwrap_err().kind,
        ErrorKind::Unauthorised
    );

    let gone = Asset { id: 999, ..asset };
    assert_eq!(
        github.download(&gone).await.unwrap_err().kind,
        ErrorKind::NotFound
    );
    assert_eq!(
        github
            .publish(999, &draft("v1"), true)
            .await
            .unwrap_err()
            .kind,
        ErrorKind::NotFound
    );
    let token = Token::new("s3cret").unwrap();
    let other = GitHub::new(&site.endpoints(), "odralabshq/other", Some(&token)).unwrap();
    assert_eq!(
        other.releases().await.unwrap_err().kind,
        ErrorKind::NotFound
    );
}

#[tokio::test]
async fn a_temporary_fault_is_retried_and_a_permanent_one_reported() {
    let site = Site::start();
    let github = site.client();
    let list = || site.faults.add("GET", RELEASES, 1, Fault::Status(502));
    list();
    assert_eq!(find(&github, "v0.5.0").await, None);
    let release = github.create_draft(&draft("v0.5.0")).await.unwrap();
    // The response is lost after the file was stored, which the next attempt detects.
    site.faults.add("POST", RELEASES, 1, Fault::Cut(5));
    let asset = upload(&github, release.id, "polis.tar.gz", &[1; 100_000]).await;
    assert_eq!(
        github.assets(release.id).await.unwrap(),
        std::slice::from_ref(&asset)
    );
    site.faults.add("GET", "/storage", 1, Fault::Cut(50_000));
    site.faults.add("PATCH", RELEASES, 2, Fault::Status(500));
    assert_eq!(github.download(&asset).await.unwrap(), [1; 100_000]);
    assert!(
        !github
            .publish(release.id, &draft("v0.5.0"), true)
            .await
            .unwrap()
            .draft
    );
    assert_eq!(site.faults.left(), 0);

    site.faults.add("GET", "/storage", 3, Fault::Cut(50_000));
    let error = github.download(&asset).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unreachable, "{error}");
    site.faults.add("POST", RELEASES, 1, Fault::Status(500));
    let error = github.create_draft(&draft("v0.6.0")).await.unwrap_err();
    let url = site.server.url();
    assert_eq!(
        error.to_string(),
        format!("{url}{RELEASES}: no usable response: status 500: an injected fault")
    );
    assert_eq!(
        find(&github, "v0.6.0").await,
        None,
        "and was not tried again"
    );
}

#[tokio::test]
async fn only_an_interrupted_upload_is_deleted() {
    let site = Site::start();
    let github = site.client();
    let release = github.create_draft(&draft("v0.5.0")).await.unwrap();
    let planted = site
        .server
        .plant_asset(release.id, "polis.tar.gz", b"", "starter");
    planted.unwrap();
    let broken = github.assets(release.id).await.unwrap();
    assert!(!broken[0].uploaded);
    let asset = upload(&github, release.id, "polis.tar.gz", b"bytes").await;
    assert_ne!(asset.id, broken[0].id);
    // A file that has been completed meanwhile is kept.
    let late = Asset {
        uploaded: false,
        ..asset.clone()
    };
    github.delete_unfinished(release.id, &late).await.unwrap();
    assert_eq!(github.assets(release.id).await.unwrap(), [asset]);
}

#[tokio::test]
async fn only_an_empty_draft_is_ever_deleted() {
    let site = Site::start();
    let github = site.client();
    let empty = github.create_draft(&draft("v0.5.0")).await.unwrap();
    let full = github.create_draft(&draft("v0.5.0")).await.unwrap();
    upload(&github, full.id, "SHA256SUMS", b"sums").await;
    let public = github.create_draft(&draft("v0.6.0")).await.unwrap();
    let fields = draft("v0.6.0");
    github.publish(public.id, &fields, true).await.unwrap();
    assert!(github.delete_empty_draft(empty.id).await.unwrap());
    assert!(github.delete_empty_draft(empty.id).await.unwrap(), "gone");
    assert!(!github.delete_empty_draft(full.id).await.unwrap());
    assert!(!github.delete_empty_draft(public.id).await.unwrap());
    assert_eq!(github.releases().await.unwrap().len(), 2);
}

#[tokio::test]
async fn the_token_does_not_follow_a_redirect_to_another_host() {
    let site = Site::start();
    let github = site.client();
    let release = github.create_draft(&draft("v0.5.0")).await.unwrap();
    let asset = upload(&github, release.id, "polis.tar.gz", b"bytes").await;
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
async fn a_github_that_does_not_respond_is_unreachable() {
    let site = Site::start();
    let url = site.server.url();
    let hasty = hasty(&[format!("{API}={url}"), format!("{UPLOADS}={url}")]);
    let token = Token::new("s3cret").unwrap();
    let github = GitHub::new(&hasty, "odralabshq/polis", Some(&token)).unwrap();
    let at = format!("{url}{RELEASES}");
    site.faults.add("GET", RELEASES, 1, Fault::Stall);
    let error = github.releases().await.unwrap_err();
    let page = format!("{at}?per_page=100&page=1");
    assert_eq!(
        error.to_string(),
        format!("{page}: no usable response: no response in time")
    );
    site.server.stop().await;
    let error = github.releases().await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unreachable);
    assert!(error.detail.contains("Connection refused"), "{error}");
}
