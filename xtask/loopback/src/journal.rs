//! Records the requests that change something, and can hold, refuse or cut off one of them.
//!
//! A test first runs a release and reads the journal. It then repeats the release once per entry and
//! trips that request, so new requests are covered without being listed.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream::{self, StreamExt as _};
use tokio::sync::watch;

use super::fault;
use super::serve::Line;

/// The requests other than `GET` and `HEAD` to all servers that share it; clones are the same journal.
#[derive(Clone, Debug, Default)]
pub struct Journal(Arc<Mutex<Book>>);

#[derive(Debug, Default)]
struct Book {
    /// Distinguishes entries from those of requests that began before the last clear.
    generation: u64,
    entries: Vec<Entry>,
    trips: BTreeMap<usize, Trip>,
}

/// A request that changes something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// `github` or `registry`.
    pub server: &'static str,
    /// The method, as `POST`.
    pub method: String,
    /// The path, with the query.
    pub path: String,
    /// The status of the answer; `None` while the request is held, or if its client is gone.
    pub status: Option<u16>,
}

/// The fate of one request.
#[derive(Clone, Debug)]
pub enum Trip {
    /// Held before it is applied.
    Before(Hold),
    /// Applied, but its answer is held.
    After(Hold),
    /// Not applied, but answered with this status.
    RefuseBefore(u16),
    /// Applied, but answered with this status.
    AnswerAfter(u16),
    /// Applied, but the connection breaks in the middle of the answer, or before it if it has no body.
    CutAfter,
}

/// Holds a request until it is released or its client is gone; clones hold the same one.
#[derive(Clone, Debug, Default)]
pub struct Hold(Arc<Gate>);

#[derive(Debug)]
struct Gate {
    reached: Mutex<bool>,
    told: Condvar,
    released: watch::Sender<bool>,
}

impl Default for Gate {
    fn default() -> Self {
        Self {
            reached: Mutex::new(false),
            told: Condvar::new(),
            released: watch::Sender::new(false),
        }
    }
}

impl Hold {
    /// Blocks the thread until a request is held here, for at most `timeout`; returns whether one is or was.
    pub fn wait(&self, timeout: Duration) -> bool {
        let reached = lock(&self.0.reached);
        let waited = self
            .0
            .told
            .wait_timeout_while(reached, timeout, |reached| !*reached);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// Releases the request, also one that comes later.
    pub fn release(&self) {
        self.0.released.send_replace(true);
    }

    async fn hold(&self) {
        *lock(&self.0.reached) = true;
        self.0.told.notify_all();
        let mut released = self.0.released.subscribe();
        // Never fails: the sender lives as long as this hold.
        let _ = released.wait_for(|released| *released).await;
    }
}

impl Journal {
    /// The requests since the last [`Self::clear`], in order of arrival.
    pub fn entries(&self) -> Vec<Entry> {
        self.book().entries.clone()
    }

    /// Forgets the requests and the trips; counting starts again at 0.
    pub fn clear(&self) {
        let mut book = self.book();
        book.generation += 1;
        book.entries.clear();
        book.trips.clear();
    }

    /// Applies `trip` to the request `number`, counted from 0 since the last [`Self::clear`].
    pub fn trip(&self, number: usize, trip: Trip) {
        self.book().trips.insert(number, trip);
    }

    /// `router`, with its requests recorded as those of `server`.
    pub(super) fn before(&self, router: Router, server: &'static str) -> Router {
        router.layer(middleware::from_fn_with_state((self.clone(), server), keep))
    }

    /// Records a request; returns its entry, to be completed with the answer, and its fate.
    fn enter(&self, server: &'static str, request: &Request) -> (Ticket, Option<Trip>) {
        let uri = request.uri();
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let mut book = self.book();
        let number = book.entries.len();
        book.entries.push(Entry {
            server,
            method: request.method().to_string(),
            path: path.to_owned(),
            status: None,
        });
        let ticket = Ticket {
            generation: book.generation,
            number,
        };
        (ticket, book.trips.remove(&number))
    }

    fn answered(&self, ticket: &Ticket, status: StatusCode) {
        let mut book = self.book();
        if book.generation == ticket.generation
            && let Some(entry) = book.entries.get_mut(ticket.number)
        {
            entry.status = Some(status.as_u16());
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        lock(&self.0)
    }
}

struct Ticket {
    generation: u64,
    number: usize,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn keep(
    State((journal, server)): State<(Journal, &'static str)>,
    request: Request,
    next: Next,
) -> Response {
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        return next.run(request).await;
    }
    let (ticket, trip) = journal.enter(server, &request);
    let line = request.extensions().get::<ConnectInfo<Line>>().cloned();
    let response = match trip {
        None => next.run(request).await,
        Some(Trip::Before(hold)) => {
            let request = received(request).await;
            hold.hold().await;
            next.run(request).await
        }
        Some(Trip::After(hold)) => {
            let response = next.run(received(request).await).await;
            hold.hold().await;
            response
        }
        Some(Trip::RefuseBefore(code)) => {
            drop(received(request).await);
            told(code)
        }
        Some(Trip::AnswerAfter(code)) => {
            drop(next.run(received(request).await).await);
            told(code)
        }
        Some(Trip::CutAfter) => {
            let response = next.run(received(request).await).await;
            journal.answered(&ticket, response.status());
            cut(response, line).await
        }
    };
    journal.answered(&ticket, response.status());
    response
}

/// Reads the body of `request` as long as bytes arrive. Only then does the server notice that the client of a held
/// request is gone.
async fn received(request: Request) -> Request {
    let (parts, body) = request.into_parts();
    let mut pieces = body.into_data_stream();
    let mut read: Vec<io::Result<Bytes>> = Vec::new();
    while let Some(piece) = pieces.next().await {
        let broken = piece.is_err();
        read.push(piece.map_err(io::Error::other));
        if broken {
            break;
        }
    }
    Request::from_parts(parts, Body::from_stream(stream::iter(read)))
}

fn told(code: u16) -> Response {
    let status = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let kind = [(header::CONTENT_TYPE, "application/json; charset=utf-8")];
    (status, kind, r#"{"message":"an injected fault"}"#).into_response()
}

/// Breaks the connection in the middle of `response`.
async fn cut(response: Response, line: Option<ConnectInfo<Line>>) -> Response {
    let (parts, body) = response.into_parts();
    let bytes = to_bytes(body, usize::MAX).await.unwrap_or_default();
    if bytes.is_empty()
        && let Some(ConnectInfo(line)) = line
    {
        line.close();
        return std::future::pending().await;
    }
    let half = bytes.len() / 2;
    fault::cut(Response::from_parts(parts, Body::from(bytes)), None, half).await
}
