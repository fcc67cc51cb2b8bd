//! Downloads: received content is hashed, and failures are distinguished.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use polis_base::Digest;
use xtask_loopback::{EmbeddedFiles, Fault, Faults};
use xtask_online::download::hash_url;
use xtask_online::{Endpoints, ErrorKind, NetError};

use crate::support::{endpoints, hasty};

const URL: &str = "https://github.com/mikefarah/yq/releases/download/v4/yq";
const PATH: &str = "/mikefarah/yq/releases/download/v4/yq";

/// A server of [`URL`] with `SIZE` bytes, and endpoints that point to it.
fn site() -> (EmbeddedFiles, Endpoints, Faults, Vec<u8>) {
    let bytes: Vec<u8> = (0..1_000_000_u32).map(|n| (n % 251) as u8).collect();
    let faults = Faults::none();
    let server = EmbeddedFiles::start_with([(PATH.to_owned(), bytes.clone())], &faults).unwrap();
    let endpoints = endpoints(&[format!("github.com={}", server.url())]);
    (server, endpoints, faults, bytes)
}

async fn hash(endpoints: &Endpoints, url: &str) -> Result<(Digest, u64), NetError> {
    hash_url(endpoints, url, |_, _| ()).await
}

#[tokio::test]
async fn the_digest_and_the_size_are_those_of_the_bytes() {
    let (_server, endpoints, _, bytes) = site();
    let seen = RefCell::new(Vec::new());
    let progress = |done, total| seen.borrow_mut().push((done, total));
    let (digest, size) = hash_url(&endpoints, URL, progress).await.unwrap();
    assert_eq!((digest, size), (Digest::of(&bytes), 1_000_000));
    let seen = seen.into_inner();
    assert_eq!(seen.first(), Some(&(0, Some(1_000_000))));
    assert_eq!(seen.last(), Some(&(1_000_000, Some(1_000_000))));
    assert!(seen.is_sorted());
}

#[tokio::test]
async fn a_slow_download_ends_at_the_deadline() {
    let (_server, endpoints, faults, _) = site();
    faults.add("GET", PATH, 9, Fault::Drip(Duration::from_millis(50)));
    let start = Instant::now();
    let pressed = endpoints.with_time_limit(Duration::from_millis(500));
    let error = hash(&pressed, URL).await.unwrap_err();
    let message = format!("{URL}: no usable response: not completed before the deadline");
    assert_eq!(error.to_string(), message);
    assert!(start.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn each_failure_has_its_kind() {
    let (_server, endpoints, faults, _) = site();
    let of = "of 1000000 bytes";
    let cases = [
        (Fault::Status(401), "access denied: status 401".to_owned()),
        (Fault::Status(403), "access denied: status 403".to_owned()),
        (Fault::Status(404), "not found: status 404".to_owned()),
        (
            Fault::Status(500),
            "no usable response: status 500 (3 attempts)".to_owned(),
        ),
        (
            Fault::Cut(0),
            format!("no usable response: truncated at 0 {of} (3 attempts)"),
        ),
        (
            Fault::Cut(4096),
            format!("no usable response: truncated at 4096 {of} (3 attempts)"),
        ),
        (
            Fault::Length(1_000_001),
            "no usable response: truncated at 1000000 of 1000001 bytes (3 attempts)".to_owned(),
        ),
    ];
    for (fault, message) in cases {
        let times = if message.contains("attempts") { 3 } else { 1 };
        faults.add("GET", PATH, times, fault.clone());
        let error = hash(&endpoints, URL).await.unwrap_err();
        assert_eq!(error.to_string(), format!("{URL}: {message}"), "{fault:?}");
        assert_eq!(faults.left(), 0, "{fault:?}");
    }
    assert!(hash(&endpoints, URL).await.is_ok());
}

#[tokio::test]
async fn a_silent_server_times_out() {
    let (server, _, faults, _) = site();
    let endpoints = hasty(&[format!("github.com={}", server.url())]);
    faults.add("GET", PATH, 1, Fault::Stall);
    let error = hash(&endpoints, URL).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("{URL}: no usable response: no response in time")
    );
    server.stop().await;
    let error = hash(&endpoints, URL).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unreachable);
    assert!(error.detail.contains("Connection refused"), "{error}");
}

#[tokio::test]
async fn redirects_pass_through_the_endpoints() {
    let (_server, endpoints, faults, bytes) = site();
    let other = EmbeddedFiles::start([("/storage".to_owned(), bytes.clone())]).unwrap();
    let endpoints = endpoints.with("objects.example", &other.url()).unwrap();
    faults.add(
        "GET",
        PATH,
        1,
        Fault::Redirect("https://objects.example/storage".to_owned()),
    );
    assert_eq!(hash(&endpoints, URL).await.unwrap().0, Digest::of(&bytes));
    // The same for a relative redirect.
    faults.add("GET", "/elsewhere", 1, Fault::Redirect(PATH.to_owned()));
    let (digest, _) = hash(&endpoints, "https://github.com/elsewhere")
        .await
        .unwrap();
    assert_eq!(digest, Digest::of(&bytes));

    for (to, message) in [
        (URL, "more than 5 redirects"),
        (
            "http://objects.example/x",
            "redirects from https to plain http at `objects.example`",
        ),
        (
            "ftp://objects.example/x",
            "redirects from https to plain ftp at `objects.example`",
        ),
    ] {
        faults.add("GET", PATH, 6, Fault::Redirect(to.to_owned()));
        let error = hash(&endpoints, URL).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("{URL}: not acceptable: {message}")
        );
        while faults.left() > 0 {
            let _ = hash(&endpoints, URL).await;
        }
    }
}

#[tokio::test]
async fn plain_http_and_secrets_in_urls_are_rejected() {
    for (url, message) in [
        (
            "http://github.com/x",
            "http://github.com/x: not acceptable: `http://github.com/x` is not allowed: \
             use https, or http to a loopback address",
        ),
        (
            "https://me:s3cret@github.com/x",
            "(not shown): not acceptable: a URL with a user name or password is not allowed; \
             pass credentials in the environment",
        ),
    ] {
        let error = hash(&Endpoints::public(), url).await.unwrap_err();
        assert_eq!(error.to_string(), message);
    }
}
