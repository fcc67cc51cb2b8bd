//! One exchange with GitHub, bounded in its time and in what is read of the answer.

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

/// The most of a document that is read: a page of a hundred releases with thirty files each has 5 MB.
pub(super) const LARGEST: u64 = 32 << 20;
/// The most of a file that is read: the archives of a release have some megabytes.
pub(super) const LARGEST_FILE: u64 = 512 << 20;
/// The slowest transfer of a file that we wait for, in bytes per second.
const SLOWEST: u64 = 32 * 1024;

/// The document that GitHub answers to `method` and `body` at `url`.
///
/// # Errors
/// Of kind `Protocol` for a larger answer than we read, or one that is not a `T`; `Unreachable`
/// when it does not come in time; else by its status.
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
    // A deletion is answered without a document.
    let text = if answer.is_empty() {
        b"null"
    } else {
        &answer[..]
    };
    serde_json::from_slice(text).map_err(|error| NetError::protocol(url, error.to_string()))
}

/// The bytes that GitHub answers to `request` at `url`, of which at most `most` are read, while
/// about `size` travel either way.
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
    // A refusal is a document, whatever was asked for.
    let most = match parts.status.is_success() {
        true => most,
        false => usize::try_from(LARGEST).unwrap_or(usize::MAX),
    };
    let body = match Limited::new(body, most).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) if error.is::<LengthLimitError>() => {
            let reason = format!("more than {most} bytes in an answer");
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
            "a refusal with the status of a success",
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
    // On the heap: octocrab's futures are large, and a release waits for many of them at once.
    match tokio::time::timeout(policy.left(limit), Box::pin(call)).await {
        Ok(result) => result,
        Err(_) => Err(NetError::unreachable(url, "no answer in time")),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    use super::super::{API, Tags};
    use crate::endpoint::Endpoints;
    use crate::error::ErrorKind;

    /// How much a server sends that never means to stop.
    const FLOOD: usize = 256 << 20;

    /// A server that answers with `status` and a body of [`FLOOD`]; gives how much of it was taken.
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
    async fn an_answer_without_end_is_given_up() {
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
