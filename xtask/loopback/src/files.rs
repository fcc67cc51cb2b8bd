//! Serves given bytes at given paths: the downloads of a rehearsal, and of tests.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};

use super::fault::Faults;
use super::serve::Server;

type Files = Arc<BTreeMap<String, Bytes>>;

/// A file server on loopback; dropping it stops it.
#[derive(Debug)]
pub struct EmbeddedFiles {
    server: Server,
}

impl EmbeddedFiles {
    /// Serves `files`, pairs of an absolute URL path (`/a/b.deb`) and its bytes.
    ///
    /// # Errors
    /// If no port is available.
    pub fn start<I>(files: I) -> io::Result<Self>
    where
        I: IntoIterator<Item = (String, Vec<u8>)>,
    {
        Self::start_with(files, &Faults::none())
    }

    /// As [`Self::start`], committing `faults`.
    ///
    /// # Errors
    /// If no port is available.
    pub fn start_with<I>(files: I, faults: &Faults) -> io::Result<Self>
    where
        I: IntoIterator<Item = (String, Vec<u8>)>,
    {
        let files: BTreeMap<_, _> = files
            .into_iter()
            .map(|(path, bytes)| (path, Bytes::from(bytes)))
            .collect();
        let router = Router::new().fallback(answer).with_state(Arc::new(files));
        let server = Server::start(faults.before(router))?;
        Ok(Self { server })
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// Stops after the requests in progress.
    pub async fn stop(self) {
        self.server.stop().await;
    }
}

async fn answer(State(files): State<Files>, request: Request) -> Response {
    match files.get(request.uri().path()) {
        Some(bytes) => bytes.clone().into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}
