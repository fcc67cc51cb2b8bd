//! Downloads that are hashed while they stream: constant memory, no file unless one is asked
//! for, and none left behind when the bytes are not those that were expected.

use std::io;
use std::path::Path;

use axum::body::Bytes;
use polis_base::Digest;
use reqwest::{Client, Response};
use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;
use tokio::fs::File;
use tokio::io::AsyncWriteExt as _;

use crate::client::ask;
use crate::endpoint::Endpoints;
use crate::error::NetError;
use crate::retry::retry;

/// Downloads `url` and returns the SHA-256 and the size of its bytes, keeping none of them.
///
/// `progress` is called with the bytes so far and the total where the server tells it; it starts
/// again at 0 when an attempt is repeated.
///
/// # Errors
/// Of kind `Protocol` when the URL or a redirect is not https (plain http is for loopback only),
/// `NotFound`, `Unauthorised`, or `Unreachable` after all retries: no connection, a timeout, a
/// 5xx, or a body shorter than announced.
pub async fn hash_url(
    endpoints: &Endpoints,
    url: &str,
    progress: impl Fn(u64, Option<u64>),
) -> Result<(Digest, u64), NetError> {
    let client = endpoints.client()?;
    retry(endpoints.patience(), || {
        stream(&client, endpoints, url, None, &progress)
    })
    .await
}

/// Downloads `url` into the file `target` if its bytes have the digest `expected`; returns the
/// size. The bytes go to a temporary file beside `target`, which is renamed when all is well and
/// removed otherwise; an earlier `target` is untouched until then.
///
/// # Errors
/// As [`hash_url`], of kind `Mismatch` when the digest is another one, and of kind `Local` when
/// a file cannot be written.
pub async fn fetch_to(
    endpoints: &Endpoints,
    url: &str,
    expected: Digest,
    target: &Path,
    progress: impl Fn(u64, Option<u64>),
) -> Result<u64, NetError> {
    let client = endpoints.client()?;
    let local = |error: io::Error| NetError::local(url, target, &error);
    let (file, size) = retry(endpoints.patience(), async || {
        let file = beside(target).map_err(local)?;
        let mut sink = File::from_std(file.reopen().map_err(local)?);
        let (digest, size) = stream(
            &client,
            endpoints,
            url,
            Some((&mut sink, target)),
            &progress,
        )
        .await?;
        sink.sync_all().await.map_err(local)?;
        if digest != expected {
            return Err(NetError::mismatch(url, expected, digest));
        }
        Ok((file, size))
    })
    .await?;
    file.persist(target).map_err(|error| local(error.error))?;
    Ok(size)
}

/// A temporary file in the directory of `target`, with the rights of an ordinary new file.
fn beside(target: &Path) -> io::Result<NamedTempFile> {
    let dir = match target.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    };
    let mut builder = tempfile::Builder::new();
    builder.prefix(".download-");
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644));
    builder.tempfile_in(dir)
}

/// One attempt: the digest and size of the body, which is also written to `sink`.
async fn stream(
    client: &Client,
    endpoints: &Endpoints,
    url: &str,
    mut sink: Option<(&mut File, &Path)>,
    progress: &impl Fn(u64, Option<u64>),
) -> Result<(Digest, u64), NetError> {
    let mut response = open(client, endpoints, url).await?;
    let total = response.content_length();
    let mut hasher = Sha256::new();
    let mut done = 0_u64;
    progress(done, total);
    while let Some(piece) = next(&mut response, url, done, total).await? {
        hasher.update(&piece);
        done += piece.len() as u64;
        if let Some((file, path)) = &mut sink {
            let written = file.write_all(&piece).await;
            written.map_err(|error| NetError::local(url, path, &error))?;
        }
        progress(done, total);
    }
    if let Some((file, path)) = sink {
        let flushed = file.flush().await;
        flushed.map_err(|error| NetError::local(url, path, &error))?;
    }
    match total {
        Some(total) if total != done => Err(cut(url, done, Some(total), "")),
        _ => Ok((Digest::from_hasher(hasher), done)),
    }
}

async fn next(
    response: &mut Response,
    url: &str,
    done: u64,
    total: Option<u64>,
) -> Result<Option<Bytes>, NetError> {
    response.chunk().await.map_err(|error| {
        let reason = if error.is_timeout() {
            ": no more bytes in time"
        } else {
            ""
        };
        cut(url, done, total, reason)
    })
}

fn cut(url: &str, done: u64, total: Option<u64>, reason: &str) -> NetError {
    let of = total.map_or("an unknown number of".to_owned(), |total| total.to_string());
    NetError::unreachable(url, format!("cut short at {done} of {of} bytes{reason}"))
}

/// The response to `url`, which is a success.
async fn open(client: &Client, endpoints: &Endpoints, url: &str) -> Result<Response, NetError> {
    let response = ask(endpoints, url, |address, _| client.get(address)).await?;
    match response.status() {
        status if status.is_success() => Ok(response),
        status => Err(NetError::status(url, status.as_u16(), "").after(response.headers())),
    }
}
