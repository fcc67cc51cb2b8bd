//! Downloads that are hashed as they stream, in constant memory and without a file.

use bytes::Bytes;
use polis_base::Digest;
use reqwest::{Client, Response};
use sha2::{Digest as _, Sha256};

use crate::client::{ask, in_time, small_body};
use crate::endpoint::Endpoints;
use crate::error::NetError;
use crate::retry::retry;

/// Downloads `url` and returns the SHA-256 and the size of its content, without storing it.
///
/// `progress` is called with the bytes so far, and with the total if the server announces it. It restarts at 0 with
/// every attempt.
///
/// # Errors
/// `Protocol` if the URL or a redirect is not https (http is allowed on loopback only), `NotFound`, `Unauthorised`, or
/// `Unreachable` after all retries: no connection, a timeout, a 5xx, a truncated body, or the deadline.
pub async fn hash_url(
    endpoints: &Endpoints,
    url: &str,
    progress: impl Fn(u64, Option<u64>),
) -> Result<(Digest, u64), NetError> {
    let client = endpoints.client()?;
    retry(endpoints.retry_policy(), || {
        in_time(endpoints, url, stream(&client, endpoints, url, &progress))
    })
    .await
}

/// Downloads `url`, of at most `most` bytes.
///
/// # Errors
/// As [`hash_url`]; `Protocol` if it is larger.
pub(crate) async fn small_file(
    client: &Client,
    endpoints: &Endpoints,
    url: &str,
    most: usize,
) -> Result<Vec<u8>, NetError> {
    let fetch = || async {
        let response = open(client, endpoints, url).await?;
        small_body(response, url, most).await
    };
    retry(endpoints.retry_policy(), || {
        in_time(endpoints, url, fetch())
    })
    .await
}

/// One attempt: the digest and size of the body.
async fn stream(
    client: &Client,
    endpoints: &Endpoints,
    url: &str,
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
        progress(done, total);
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
            ": timed out waiting for more bytes"
        } else {
            ""
        };
        cut(url, done, total, reason)
    })
}

fn cut(url: &str, done: u64, total: Option<u64>, reason: &str) -> NetError {
    let of = total.map_or("an unknown number of".to_owned(), |total| total.to_string());
    NetError::unreachable(url, format!("truncated at {done} of {of} bytes{reason}"))
}

/// A successful response to `url`.
async fn open(client: &Client, endpoints: &Endpoints, url: &str) -> Result<Response, NetError> {
    let response = ask(endpoints, url, |address, _| client.get(address)).await?;
    match response.status() {
        status if status.is_success() => Ok(response),
        status => Err(NetError::status(url, status.as_u16(), "").after(response.headers())),
    }
}
