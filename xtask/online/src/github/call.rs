//! One exchange with GitHub, with limits on its time and on the size of the response.

use std::fmt::Display;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use octocrab::{OctoBody, Octocrab};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::failure;
use crate::client::RequestLog;
use crate::error::{NetError, chain};
use crate::retry::RetryPolicy;

/// The size limit for documents: a page of a hundred releases with thirty files each has 5 MB.
pub(super) const LARGEST: u64 = 32 << 20;
/// The size limit for files: the archives of a release have some megabytes.
pub(super) const LARGEST_FILE: u64 = 512 << 20;
/// The slowest acceptable transfer, in bytes per second.
const SLOWEST: u64 = 32 * 1024;

/// Sends `body` to `url` by `method` and parses the response.
///
/// # Errors
/// `Protocol` for a response that is too large or is not a `T`, `Unreachable` if it does not arrive in time, otherwise
/// by its status.
pub(super) async fn json<T: DeserializeOwned>(
    crab: &Octocrab,
    policy: RetryPolicy,
    (method, url): (Method, &str),
    body: Option<&Value>,
) -> Result<T, NetError> {
    let request = Request::builder().method(method).uri(url);
    let request = crab.build_request(request, body);
    let request = request.map_err(|error| failure::translate(url, error))?;
    let answer = bytes(crab, policy, (url, request), (0, LARGEST)).await?;
    // The response to a deletion has no body.
    let text = if answer.is_empty() {
        b"null"
    } else {
        &answer[..]
    };
    serde_json::from_slice(text).map_err(|error| NetError::protocol(url, error.to_string()))
}

/// Sends `request` to `url` and returns up to `most` bytes of the response. `size` is the approximate number of bytes
/// transferred in either direction.
///
/// # Errors
/// As [`json`].
pub(super) async fn bytes<B: Into<OctoBody>>(
    crab: &Octocrab,
    policy: RetryPolicy,
    (url, request): (&str, Request<B>),
    (size, most): (u64, u64),
) -> Result<Bytes, NetError> {
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    in_time(policy, url, size, answer(crab, url, request, most)).await
}

async fn answer<B: Into<OctoBody>>(
    crab: &Octocrab,
    url: &str,
    request: Request<B>,
    most: usize,
) -> Result<Bytes, NetError> {
    let translate = |error| failure::translate(url, error);
    let told = RequestLog::new(request.method(), url);
    let sent = crab.execute(request).await;
    told.end(sent.as_ref().ok().map(Response::status));
    let (parts, body) = sent.map_err(translate)?.into_parts();
    // Errors are documents, whatever was requested.
    let most = match parts.status.is_success() {
        true => most,
        false => usize::try_from(LARGEST).unwrap_or(usize::MAX),
    };
    let body = match Limited::new(body, most).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) if error.is::<LengthLimitError>() => {
            let reason = format!("more than {most} bytes in a response");
            return Err(NetError::protocol(url, reason));
        }
        Err(error) => match error.downcast::<octocrab::Error>() {
            Ok(error) => return Err(translate(*error)),
            Err(error) => return Err(NetError::unreachable(url, chain(&*error))),
        },
    };
    if parts.status.is_success() {
        return Ok(body);
    }
    let refusal = Full::new(body).map_err(|never| match never {}).boxed();
    let refusal = octocrab::map_github_error(Response::from_parts(parts, refusal)).await;
    match refusal {
        Ok(_) => Err(NetError::protocol(
            url,
            "an error with the status of a success",
        )),
        Err(error) => Err(translate(error)),
    }
}

async fn in_time<T>(
    policy: RetryPolicy,
    url: impl Display,
    size: u64,
    call: impl Future<Output = Result<T, NetError>>,
) -> Result<T, NetError> {
    let limit = policy.connect + policy.read + Duration::from_secs(size / SLOWEST);
    // Boxed, because octocrab's futures are large and a release awaits many of them at once.
    match tokio::time::timeout(policy.left(limit), Box::pin(call)).await {
        Ok(result) => result,
        Err(_) => Err(NetError::unreachable(url, "no response in time")),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    use super::super::{API, Tags};
    use crate::endpoint::Endpoints;
    use crate::error::ErrorKind;

    /// How much an endless response sends.
    const FLOOD: usize = 256 << 20;

    /// A server that responds with `status` and a body of [`FLOOD`] bytes. Returns how many of them the client read.
    fn flood(listener: TcpListener, status: &'static str) -> std::thread::JoinHandle<usize> {
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 4096]).unwrap();
            let head = format!("HTTP/1.1 {status}\r\nTransfer-Encoding: chunked\r\n\r\n");
            stream.write_all(head.as_bytes()).unwrap();
            let piece = [b"10000\r\n", &[b' '; 0x10000][..], b"\r\n"].concat();
            let mut sent = 0;
            while sent < FLOOD && stream.write_all(&piece).is_ok() {
                sent += piece.len();
            }
            sent
        })
    }

    #[tokio::test]
    async fn an_endless_response_is_aborted() {
        for status in ["200 OK", "403 Forbidden"] {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = format!("http://{}", listener.local_addr().unwrap());
            let server = flood(listener, status);
            let endpoints = Endpoints::public().with(API, &address).unwrap();
            let tags = Tags::new(&endpoints, None).unwrap();
            let error = tags.commit("o/r", "v1").await.unwrap_err();
            let sent = tokio::task::spawn_blocking(|| server.join());
            let sent = sent.await.unwrap().unwrap();
            assert!(sent < FLOOD / 2, "{sent} bytes were taken");
            assert_eq!(error.kind, ErrorKind::Protocol, "{error}");
            assert!(error.detail.contains("more than 33554432 bytes"), "{error}");
        }
    }
}
