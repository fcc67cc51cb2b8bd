//! An OCI distribution registry: pull, push, tags and deletion, without authentication.
//!
//! It is as strict as Docker's registry: an upload must have the digest that it claims, and a manifest
//! is refused while anything that it references is missing, except its `subject`, which the
//! specification allows to come later. Like GHCR it has no Referrers API: artifacts are found by the
//! fallback tag. It has no catalogue and no byte ranges, which no release needs.

mod refusal;
mod store;

use std::io::{self, Write as _};
use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use futures_util::StreamExt as _;
use polis_base::Digest;
use serde_json::json;

use super::fault::Faults;
use super::journal::Journal;
use super::query;
use super::serve::{Door, Server, file_body};
use refusal::Refusal;
use store::{Name, Store, Target, digest};

/// The limit of Docker's registry.
const LARGEST_MANIFEST: usize = 4 * 1024 * 1024;
const DIGEST: &str = "docker-content-digest";

/// An OCI registry on loopback; dropping it stops it, the files stay.
#[derive(Debug)]
pub struct EmbeddedRegistry {
    server: Server,
    store: Arc<Store>,
    faults: Faults,
}

impl EmbeddedRegistry {
    /// Serves the content of the directory `root`, which is created if it does not exist.
    ///
    /// # Errors
    /// If the directory cannot be created or no port is available.
    pub fn start(root: &Path) -> io::Result<Self> {
        Self::start_with(root, &Faults::none())
    }

    /// As [`Self::start`], committing `faults`.
    ///
    /// # Errors
    /// If the directory cannot be created or no port is available.
    pub fn start_with(root: &Path, faults: &Faults) -> io::Result<Self> {
        Self::start_journaled(root, faults, &Journal::default())
    }

    /// As [`Self::start_with`], recording changes in `journal`.
    ///
    /// # Errors
    /// If the directory cannot be created or no port is available.
    pub fn start_journaled(root: &Path, faults: &Faults, journal: &Journal) -> io::Result<Self> {
        let store = Arc::new(Store::open(root)?);
        let server = Server::start(router(&store, faults, journal))?;
        Ok(Self {
            server,
            store,
            faults: faults.clone(),
        })
    }

    /// Another port for the same content, with the same faults and a separate journal.
    ///
    /// # Errors
    /// If no port is available.
    pub fn door(&self, journal: &Journal) -> io::Result<Door> {
        Door::open(router(&self.store, &self.faults, journal))
    }

    /// `127.0.0.1:PORT`, as image references write it.
    pub fn host(&self) -> String {
        self.server.host()
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

fn router(store: &Arc<Store>, faults: &Faults, journal: &Journal) -> Router {
    let router = Router::new().fallback(answer).with_state(Arc::clone(store));
    journal.before(faults.before(router), "registry")
}

/// The paths of the protocol.
enum Route<'a> {
    Base,
    Tags(Name),
    Manifest(Name, Target),
    Blob(Digest),
    Uploads(Name),
    Upload(Name, &'a str),
}

impl<'a> Route<'a> {
    fn parse(path: &'a str) -> Result<Self, Refusal> {
        let parts: Vec<&str> = path.split('/').skip(1).collect();
        let name = |parts: &[&str]| Name::parse(&parts.join("/"));
        match parts.as_slice() {
            ["v2"] | ["v2", ""] => Ok(Self::Base),
            ["v2", rest @ .., "tags", "list"] => Ok(Self::Tags(name(rest)?)),
            ["v2", rest @ .., "manifests", target] => {
                Ok(Self::Manifest(name(rest)?, Target::parse(target)?))
            }
            ["v2", rest @ .., "blobs", "uploads", ""] | ["v2", rest @ .., "blobs", "uploads"] => {
                Ok(Self::Uploads(name(rest)?))
            }
            ["v2", rest @ .., "blobs", "uploads", id] => Ok(Self::Upload(name(rest)?, id)),
            ["v2", rest @ .., "blobs", text] => {
                name(rest)?;
                Ok(Self::Blob(digest(text)?))
            }
            _ => Err(Refusal::no_such_path()),
        }
    }
}

async fn answer(State(store): State<Arc<Store>>, request: Request) -> Response {
    let mut response = match route(&store, request).await {
        Ok(response) => response,
        Err(refusal) => refusal.into_response(),
    };
    let version = HeaderValue::from_static("registry/2.0");
    response
        .headers_mut()
        .insert("docker-distribution-api-version", version);
    response
}

async fn route(store: &Store, request: Request) -> Result<Response, Refusal> {
    let (parts, body) = request.into_parts();
    let get = matches!(parts.method, Method::GET | Method::HEAD);
    match (Route::parse(parts.uri.path())?, parts.method) {
        (Route::Base, _) if get => {
            Ok(([(header::CONTENT_TYPE, "application/json")], "{}").into_response())
        }
        (Route::Tags(name), _) if get => list_tags(store, &name, &parts.uri),
        (Route::Manifest(name, target), _) if get => manifest(store, &name, &target),
        (Route::Manifest(name, target), Method::PUT) => {
            put_manifest(store, &name, &target, &parts.headers, body).await
        }
        (Route::Manifest(name, target), Method::DELETE) => {
            store.delete_manifest(&name, &target)?;
            Ok(StatusCode::ACCEPTED.into_response())
        }
        (Route::Blob(digest), _) if get => blob(store, &digest),
        (Route::Blob(digest), Method::DELETE) => {
            store.delete_blob(&digest)?;
            Ok(StatusCode::ACCEPTED.into_response())
        }
        (Route::Uploads(name), Method::POST) => begin(store, &name, &parts.uri, body).await,
        (Route::Upload(name, id), Method::GET) => {
            let (_, held) = store.upload(id)?;
            Ok(progress(StatusCode::NO_CONTENT, &name, id, held))
        }
        (Route::Upload(name, id), Method::PATCH) => {
            let held = append(store, id, &parts.headers, body).await?;
            Ok(progress(StatusCode::ACCEPTED, &name, id, held))
        }
        (Route::Upload(name, id), Method::PUT) => {
            let expected = query(&parts.uri, "digest")
                .ok_or_else(|| Refusal::digest_invalid("no `digest` parameter"))?;
            let expected = digest(&expected)?;
            append(store, id, &parts.headers, body).await?;
            store.finish(id, &expected)?;
            Ok(created(&name, "blobs", &expected))
        }
        (Route::Upload(_, id), Method::DELETE) => {
            store.cancel(id)?;
            Ok(StatusCode::NO_CONTENT.into_response())
        }
        _ => Err(Refusal::unsupported()),
    }
}

fn manifest(store: &Store, name: &Name, target: &Target) -> Result<Response, Refusal> {
    let stored = store.manifest(name, target)?;
    let headers = [
        (header::CONTENT_TYPE.as_str(), stored.media_type),
        (
            header::CONTENT_LENGTH.as_str(),
            stored.bytes.len().to_string(),
        ),
        (DIGEST, stored.digest.to_string()),
    ];
    let mut response = Body::from(stored.bytes).into_response();
    set(&mut response, headers);
    Ok(response)
}

async fn put_manifest(
    store: &Store,
    name: &Name,
    target: &Target,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let declared = headers
        .get(header::CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    let declared = declared.unwrap_or_default();
    let bytes = to_bytes(body, LARGEST_MANIFEST)
        .await
        .map_err(|error| Refusal::manifest_invalid(format!("the body: {error}")))?;
    let digest = store.put_manifest(name, target, declared, &bytes)?;
    Ok(created(name, "manifests", &digest))
}

fn blob(store: &Store, digest: &Digest) -> Result<Response, Refusal> {
    let (body, length) = file_body(&store.blob(digest)?)?;
    let headers = [
        (
            header::CONTENT_TYPE.as_str(),
            "application/octet-stream".to_owned(),
        ),
        (header::CONTENT_LENGTH.as_str(), length.to_string()),
        (DIGEST, digest.to_string()),
    ];
    let mut response = body.into_response();
    set(&mut response, headers);
    Ok(response)
}

/// Begins an upload; `mount` or `digest` in the query may complete it at once.
async fn begin(store: &Store, name: &Name, uri: &Uri, body: Body) -> Result<Response, Refusal> {
    if let Some(mount) = query(uri, "mount") {
        let mount = digest(&mount)?;
        if store.blob(&mount).is_ok() {
            return Ok(created(name, "blobs", &mount));
        }
    }
    let whole = query(uri, "digest").map(|text| digest(&text)).transpose()?;
    let id = store.begin()?;
    let Some(expected) = whole else {
        return Ok(progress(StatusCode::ACCEPTED, name, &id, 0));
    };
    append(store, &id, &HeaderMap::new(), body).await?;
    store.finish(&id, &expected)?;
    Ok(created(name, "blobs", &expected))
}

/// Appends the body to an upload; returns its new size.
async fn append(store: &Store, id: &str, headers: &HeaderMap, body: Body) -> Result<u64, Refusal> {
    let (mut file, mut held) = store.upload(id)?;
    if let Some(range) = headers.get(header::CONTENT_RANGE) {
        let start = range.to_str().ok().and_then(|range| range.split_once('-'));
        let start = start.and_then(|(start, _)| start.trim_start_matches("bytes ").parse().ok());
        if start != Some(held) {
            return Err(Refusal::range(held));
        }
    }
    let mut pieces = body.into_data_stream();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(Refusal::upload_invalid)?;
        file.write_all(&piece)?;
        held += piece.len() as u64;
    }
    Ok(held)
}

fn list_tags(store: &Store, name: &Name, uri: &Uri) -> Result<Response, Refusal> {
    let mut tags = store.tags(name)?;
    if let Some(last) = query(uri, "last") {
        tags.retain(|tag| *tag > last);
    }
    let most = query(uri, "n").and_then(|n| n.parse::<usize>().ok());
    let more = most.is_some_and(|most| tags.len() > most);
    tags.truncate(most.unwrap_or(usize::MAX));
    let body = json!({"name": name.as_str(), "tags": tags}).to_string();
    let mut response = body.into_response();
    set(
        &mut response,
        [(header::CONTENT_TYPE.as_str(), "application/json".to_owned())],
    );
    if let (true, Some(most), Some(last)) = (more, most, tags.last()) {
        let next = format!(
            "</v2/{}/tags/list?n={most}&last={last}>; rel=\"next\"",
            name.as_str()
        );
        set(&mut response, [(header::LINK.as_str(), next)]);
    }
    Ok(response)
}

/// The answer to an unfinished upload.
fn progress(status: StatusCode, name: &Name, id: &str, held: u64) -> Response {
    let headers = [
        (
            header::LOCATION.as_str(),
            format!("/v2/{}/blobs/uploads/{id}", name.as_str()),
        ),
        (
            header::RANGE.as_str(),
            format!("0-{}", held.saturating_sub(1)),
        ),
        ("docker-upload-uuid", id.to_owned()),
    ];
    let mut response = status.into_response();
    set(&mut response, headers);
    response
}

/// The answer to a finished push of a blob or a manifest.
fn created(name: &Name, kind: &str, digest: &Digest) -> Response {
    let headers = [
        (
            header::LOCATION.as_str(),
            format!("/v2/{}/{kind}/{digest}", name.as_str()),
        ),
        (DIGEST, digest.to_string()),
    ];
    let mut response = StatusCode::CREATED.into_response();
    set(&mut response, headers);
    response
}

fn set<const N: usize>(response: &mut Response, headers: [(&'static str, String); N]) {
    for (name, value) in headers {
        // Every value here consists of checked names, digests and numbers.
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(name, value);
        }
    }
}
