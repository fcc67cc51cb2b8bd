//! Faults that the servers commit on request, so that tests can show that every network failure ends in a clear error.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream::{self, StreamExt as _};

const PAUSE: Duration = Duration::from_millis(20);

/// A misbehaviour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Answers with this status and nothing else.
    Status(u16),
    /// Answers with this status and this `Retry-After`.
    Busy(u16, &'static str),
    /// Flips a bit of the body.
    Corrupt,
    /// Sends the body byte by byte, with this pause before each.
    Drip(Duration),
    /// Announces the full length and closes the connection after this many bytes.
    Cut(usize),
    /// Announces a body of this many bytes and sends the real one.
    Length(usize),
    /// Answers with this `Docker-Content-Digest`.
    DigestHeader(String),
    /// Answers with this header, or without it.
    Header(&'static str, Option<String>),
    /// Redirects to this address.
    Redirect(String),
    /// Never answers.
    Stall,
}

/// The faults that a server is to commit; clones share the list, which may grow while the server runs.
#[derive(Debug, Clone, Default)]
pub struct Faults(Arc<Mutex<Vec<Rule>>>);

#[derive(Debug)]
struct Rule {
    method: String,
    prefix: String,
    times: usize,
    fault: Fault,
}

impl Faults {
    /// No faults.
    pub fn none() -> Self {
        Self::default()
    }

    /// Commits `fault` at the next `times` requests with this `method` (as `GET`) and a path
    /// that starts with `prefix`. The oldest matching rule is used up first.
    pub fn add(&self, method: &str, prefix: &str, times: usize, fault: Fault) {
        self.rules().push(Rule {
            method: method.to_owned(),
            prefix: prefix.to_owned(),
            times,
            fault,
        });
    }

    /// How many faults have not been committed yet.
    pub fn left(&self) -> usize {
        self.rules().iter().map(|rule| rule.times).sum()
    }

    /// `router` with these faults applied.
    pub(super) fn before(&self, router: Router) -> Router {
        router.layer(middleware::from_fn_with_state(self.clone(), commit))
    }

    fn take(&self, method: &str, path: &str) -> Option<Fault> {
        let mut rules = self.rules();
        let rule = rules.iter_mut().find(|rule| {
            rule.times > 0 && rule.method == method && path.starts_with(&rule.prefix)
        })?;
        rule.times -= 1;
        Some(rule.fault.clone())
    }

    fn rules(&self) -> MutexGuard<'_, Vec<Rule>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn commit(State(faults): State<Faults>, request: Request, next: Next) -> Response {
    let fault = faults.take(request.method().as_str(), request.uri().path());
    match fault {
        None => next.run(request).await,
        Some(Fault::Status(status)) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            (status, "an injected fault").into_response()
        }
        Some(Fault::Busy(status, after)) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            (status, [(header::RETRY_AFTER, after)], "an injected fault").into_response()
        }
        Some(Fault::Corrupt) => corrupt(next.run(request).await).await,
        Some(Fault::Drip(pause)) => drip(next.run(request).await, pause).await,
        Some(Fault::Redirect(to)) => (StatusCode::FOUND, [(header::LOCATION, to)]).into_response(),
        Some(Fault::Stall) => std::future::pending().await,
        Some(Fault::Cut(after)) => cut(next.run(request).await, None, after).await,
        Some(Fault::Length(length)) => cut(next.run(request).await, Some(length), usize::MAX).await,
        Some(Fault::DigestHeader(value)) => {
            let mut response = next.run(request).await;
            set(&mut response, "docker-content-digest", Some(&value));
            response
        }
        Some(Fault::Header(name, value)) => {
            let mut response = next.run(request).await;
            set(&mut response, name, value.as_deref());
            response
        }
    }
}

fn set(response: &mut Response, name: &'static str, value: Option<&str>) {
    let name = HeaderName::from_static(name);
    match value.map(HeaderValue::from_str) {
        Some(Ok(value)) => drop(response.headers_mut().insert(name, value)),
        _ => drop(response.headers_mut().remove(name)),
    }
}

/// `response` with `length` announced, or else its own length, and cut off `after` this many bytes.
pub(super) async fn cut(response: Response, length: Option<usize>, after: usize) -> Response {
    let (mut parts, body) = response.into_parts();
    let Ok(whole) = to_bytes(body, usize::MAX).await else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    parts.headers.insert(
        header::CONTENT_LENGTH,
        HeaderValue::from(length.unwrap_or(whole.len())),
    );
    let part = whole.slice(..after.min(whole.len()));
    // The pause lets complete pieces go out before the connection breaks.
    let broken = async {
        tokio::time::sleep(PAUSE).await;
        Err::<Bytes, _>(io::Error::from(io::ErrorKind::ConnectionAborted))
    };
    let body = stream::iter([Ok(part)]).chain(stream::once(broken));
    Response::from_parts(parts, Body::from_stream(body))
}

async fn corrupt(response: Response) -> Response {
    let (parts, body) = response.into_parts();
    match to_bytes(body, usize::MAX).await {
        Ok(whole) => {
            let mut bytes = whole.to_vec();
            if let Some(last) = bytes.last_mut() {
                *last ^= 1;
            }
            Response::from_parts(parts, Body::from(bytes))
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn drip(response: Response, pause: Duration) -> Response {
    let (parts, body) = response.into_parts();
    let Ok(whole) = to_bytes(body, usize::MAX).await else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let drops = stream::unfold(whole, move |mut rest| async move {
        if rest.is_empty() {
            return None;
        }
        tokio::time::sleep(pause).await;
        let first = rest.split_to(1);
        Some((Ok::<_, io::Error>(first), rest))
    });
    Response::from_parts(parts, Body::from_stream(drops))
}
