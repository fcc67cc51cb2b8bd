//! A proxy for any server, real ones included: it adds latency, commits faults, and records requests for tests to count.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use reqwest::Client;
use reqwest::redirect::Policy;

use super::fault::Faults;
use super::serve::Server;

/// A proxy on loopback; dropping it stops it.
#[derive(Debug)]
pub struct EmbeddedProxy {
    server: Server,
    seen: Seen,
}

/// `METHOD /path` of each request, in order of arrival.
type Seen = Arc<Mutex<Vec<String>>>;

#[derive(Clone)]
struct Way {
    client: Client,
    target: String,
    /// The target of requests that carry or request bytes.
    bytes: String,
    latency: Duration,
    seen: Seen,
}

impl EmbeddedProxy {
    /// Passes requests on to `target` (`http://127.0.0.1:PORT`) after `latency`, committing `faults`.
    ///
    /// # Errors
    /// If no port is available, or the client cannot be built.
    pub fn start(target: &str, latency: Duration, faults: &Faults) -> io::Result<Self> {
        Self::start_way(target, target, latency, faults)
    }

    /// Forwards requests to `judge`, which treats every body as text, and those that carry bytes
    /// (`application/octet-stream`) or ask for them to `bytes`.
    ///
    /// # Errors
    /// If no port is available, or the client cannot be built.
    pub fn start_beside(judge: &str, bytes: &str) -> io::Result<Self> {
        Self::start_way(judge, bytes, Duration::ZERO, &Faults::none())
    }

    fn start_way(
        target: &str,
        bytes: &str,
        latency: Duration,
        faults: &Faults,
    ) -> io::Result<Self> {
        // An error means that the program has already installed one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .no_proxy()
            .redirect(Policy::none())
            .build()
            .map_err(io::Error::other)?;
        let seen = Seen::default();
        let way = Way {
            client,
            target: target.to_owned(),
            bytes: bytes.to_owned(),
            latency,
            seen: Arc::clone(&seen),
        };
        let pass = Router::new().fallback(pass).with_state(way.clone());
        let router = faults
            .before(pass)
            .layer(axum::middleware::from_fn_with_state(way, look));
        Ok(Self {
            server: Server::start(router)?,
            seen,
        })
    }

    /// `127.0.0.1:PORT`, as image references write it.
    pub fn host(&self) -> String {
        self.server.host()
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// `METHOD /path` of each request since the last call, in order of arrival.
    pub fn take_seen(&self) -> Vec<String> {
        std::mem::take(&mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Records the request and waits for the latency, before any fault.
async fn look(State(way): State<Way>, request: Request, next: axum::middleware::Next) -> Response {
    let line = format!("{} {}", request.method(), request.uri().path());
    way.seen
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(line);
    tokio::time::sleep(way.latency).await;
    next.run(request).await
}

async fn pass(State(way): State<Way>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let target = match is_of_bytes(&parts.headers) {
        true => &way.bytes,
        false => &way.target,
    };
    let url = format!("{target}{path}");
    // Otherwise a request without a body would become a chunked one.
    let has_body = has_body(&parts.headers);
    let mut on = way.client.request(parts.method, url).headers(parts.headers);
    if has_body {
        on = on.body(reqwest::Body::wrap_stream(body.into_data_stream()));
    }
    match on.send().await {
        Ok(answer) => {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = answer.status();
            *response.headers_mut() = answer.headers().clone();
            response.headers_mut().remove(header::TRANSFER_ENCODING);
            *response.body_mut() = Body::from_stream(answer.bytes_stream());
            response
        }
        Err(error) => (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
    }
}

/// Whether a request with these headers carries or requests bytes.
fn is_of_bytes(headers: &HeaderMap) -> bool {
    let kinds = [header::CONTENT_TYPE, header::ACCEPT];
    let mut kinds = kinds.iter().filter_map(|name| headers.get(name));
    kinds.any(|kind| kind == "application/octet-stream")
}

/// Whether a request with these headers has a body.
fn has_body(headers: &HeaderMap) -> bool {
    let length = headers.get(header::CONTENT_LENGTH);
    headers.contains_key(header::TRANSFER_ENCODING) || length.is_some_and(|length| length != "0")
}
