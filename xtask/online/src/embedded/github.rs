//! The part of GitHub's API that a release and the nightly check need: releases and their assets,
//! issues, the runs of workflows, with GitHub's rules on drafts, tokens, names and validation.

mod issues;
mod refusal;
mod shape;
mod state;

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

use super::fault::Faults;
use super::query;
use super::serve::{Server, file_body};
use crate::github::Token;
use issues::Issues;
use refusal::Refusal;
use shape::Site;
use state::{Change, State};

/// GitHub's page size where none is asked for, and the largest.
const PAGE: (usize, usize) = (30, 100);

/// GitHub's Releases API on loopback for one repository; dropping it stops it, the files stay.
#[derive(Debug)]
pub struct EmbeddedGitHub {
    server: Server,
}

/// What the handlers share.
struct Shared {
    state: Mutex<State>,
    issues: Mutex<Issues>,
    token: Token,
    owner: String,
    repo: String,
}

/// One request, read.
struct Call<'a> {
    shared: &'a Shared,
    site: Site,
    parts: Parts,
    body: Bytes,
    /// Whether the right token came with it.
    trusted: bool,
}

impl EmbeddedGitHub {
    /// Serves the releases in the directory `root` as those of `owner/repo`; who writes, or
    /// reads drafts, must send `token`.
    ///
    /// # Errors
    /// When the directory cannot be made or read, or no port is to be had.
    pub fn start(root: &Path, owner: &str, repo: &str, token: &Token) -> io::Result<Self> {
        Self::start_with(root, owner, repo, token, &Faults::none())
    }

    /// As [`Self::start`], committing `faults`.
    ///
    /// # Errors
    /// When the directory cannot be made or read, or no port is to be had.
    pub fn start_with(
        root: &Path,
        owner: &str,
        repo: &str,
        token: &Token,
        faults: &Faults,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            state: Mutex::new(State::open(root)?),
            issues: Mutex::new(Issues::open(root)?),
            token: token.clone(),
            owner: owner.to_owned(),
            repo: repo.to_owned(),
        });
        let router = Router::new().fallback(answer).with_state(shared);
        let server = Server::start(faults.before(router))?;
        Ok(Self { server })
    }

    /// `http://127.0.0.1:PORT`, for `api.github.com`, `uploads.github.com` and `github.com`.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// Stops after the requests under way.
    pub async fn stop(self) {
        self.server.stop().await;
    }
}

async fn answer(
    axum::extract::State(shared): axum::extract::State<Arc<Shared>>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, usize::MAX).await else {
        return Refusal::bad_request("the body did not come whole").into_response();
    };
    let call = Call::new(&shared, parts, body);
    match call.and_then(|call| call.route()) {
        Ok(response) => response,
        Err(refusal) => refusal.into_response(),
    }
}

impl<'a> Call<'a> {
    fn new(shared: &'a Shared, parts: Parts, body: Bytes) -> Result<Self, Refusal> {
        let text = |name| {
            parts
                .headers
                .get(name)
                .and_then(|value| value.to_str().ok())
        };
        let trusted = match text(header::AUTHORIZATION).map(|value| value.split_once(' ')) {
            None => false,
            Some(Some(("Bearer" | "token", token))) if token == shared.token.reveal() => true,
            Some(_) => return Err(Refusal::bad_credentials()),
        };
        let site = Site {
            url: format!("http://{}", text(header::HOST).unwrap_or_default()),
            owner: shared.owner.clone(),
            repo: shared.repo.clone(),
        };
        Ok(Self {
            shared,
            site,
            parts,
            body,
            trusted,
        })
    }

    fn route(&self) -> Result<Response, Refusal> {
        let path: Vec<&str> = self.parts.uri.path().split('/').skip(1).collect();
        let ours = |owner: &str, repo: &str| owner == self.shared.owner && repo == self.shared.repo;
        match path.as_slice() {
            ["repos", owner, repo, "releases", rest @ ..] if ours(owner, repo) => self.api(rest),
            ["repos", owner, repo, "issues", rest @ ..] if ours(owner, repo) => self.issues(rest),
            ["repos", owner, repo, "actions", "workflows", _, "runs"] if ours(owner, repo) => {
                self.runs()
            }
            ["repos", owner, repo, "git", "ref", "tags", tag] => {
                self.tag(&format!("{owner}/{repo}"), tag)
            }
            [owner, repo, "releases", "download", tag, name] if ours(owner, repo) => {
                self.public_file(tag, name)
            }
            ["storage", id] => self.stored_file(number(id)?),
            _ => Err(Refusal::not_found()),
        }
    }

    fn api(&self, path: &[&str]) -> Result<Response, Refusal> {
        let get = matches!(self.parts.method, Method::GET | Method::HEAD);
        match path {
            [] if get => self.list(),
            ["latest"] if get => self.one(self.state().latest()?),
            ["tags", tag] if get => self.one(self.state().by_tag(tag)?),
            ["assets", id] if get => self.asset(number(id)?),
            [id] if get => self.one(self.state().release(number(id)?, self.trusted)?),
            [id, "assets"] if get => self.assets(number(id)?),
            _ if !self.trusted => Err(Refusal::requires_authentication()),
            [] if self.parts.method == Method::POST => {
                let change = Change::parse(&self.body)?;
                let mut state = self.state();
                let created = self.site.release(state.create(change)?);
                Ok(json(StatusCode::CREATED, &created))
            }
            ["assets", id] if self.parts.method == Method::DELETE => {
                self.state().delete_asset(number(id)?)?;
                Ok(StatusCode::NO_CONTENT.into_response())
            }
            [id] if self.parts.method == Method::PATCH => {
                let change = Change::parse(&self.body)?;
                let mut state = self.state();
                Ok(json(
                    StatusCode::OK,
                    &self.site.release(state.update(number(id)?, change)?),
                ))
            }
            [id, "assets"] if self.parts.method == Method::POST => self.upload(number(id)?),
            _ => Err(Refusal::not_found()),
        }
    }

    fn issues(&self, path: &[&str]) -> Result<Response, Refusal> {
        let issues = &self.shared.issues;
        let mut issues = issues.lock().unwrap_or_else(PoisonError::into_inner);
        match path {
            [] if self.parts.method == Method::GET => {
                let asked = |key| query(&self.parts.uri, key);
                let labels = asked("labels").unwrap_or_default();
                let labels: Vec<&str> = labels
                    .split(',')
                    .filter(|label| !label.is_empty())
                    .collect();
                let state = asked("state").unwrap_or_default();
                let found = issues.list(&state, &labels);
                self.page(
                    found
                        .into_iter()
                        .map(|issue| self.site.issue(issue))
                        .collect(),
                )
            }
            _ if !self.trusted => Err(Refusal::requires_authentication()),
            [] if self.parts.method == Method::POST => {
                let created = self.site.issue(issues.create(&self.body)?);
                Ok(json(StatusCode::CREATED, &created))
            }
            [id] if self.parts.method == Method::PATCH => {
                let changed = self.site.issue(issues.update(number(id)?, &self.body)?);
                Ok(json(StatusCode::OK, &changed))
            }
            [id, "comments"] if self.parts.method == Method::POST => {
                let (count, body) = issues.comment(number(id)?, &self.body)?;
                let comment = self.site.comment(number(id)?, count, &body);
                Ok(json(StatusCode::CREATED, &comment))
            }
            _ => Err(Refusal::not_found()),
        }
    }

    fn tag(&self, repository: &str, tag: &str) -> Result<Response, Refusal> {
        let issues = &self.shared.issues;
        let issues = issues.lock().unwrap_or_else(PoisonError::into_inner);
        let sha = issues.tag(repository, tag)?;
        let git = format!("{}/repos/{repository}/git", self.site.url);
        let answer = json!({
            "ref": format!("refs/tags/{tag}"),
            "node_id": format!("REF_{tag}"),
            "url": format!("{git}/refs/tags/{tag}"),
            "object": {"type": "commit", "sha": sha, "url": format!("{git}/commits/{sha}")},
        });
        Ok(json(StatusCode::OK, &answer))
    }

    /// The runs of the one workflow; of their many fields, those that are read.
    fn runs(&self) -> Result<Response, Refusal> {
        let issues = &self.shared.issues;
        let runs = issues
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .runs()?;
        let most = query(&self.parts.uri, "per_page").and_then(|text| text.parse().ok());
        let runs: Vec<Value> = runs
            .iter()
            .take(most.unwrap_or(PAGE.0))
            .enumerate()
            .map(|(id, end)| json!({"id": id, "status": "completed", "conclusion": end}))
            .collect();
        let answer = json!({"total_count": runs.len(), "workflow_runs": runs});
        Ok(json(StatusCode::OK, &answer))
    }

    fn one(&self, release: &state::Release) -> Result<Response, Refusal> {
        Ok(json(StatusCode::OK, &self.site.release(release)))
    }

    fn list(&self) -> Result<Response, Refusal> {
        let state = self.state();
        let releases = state.list(self.trusted);
        self.page(
            releases
                .into_iter()
                .map(|release| self.site.release(release))
                .collect(),
        )
    }

    fn assets(&self, release: u64) -> Result<Response, Refusal> {
        let state = self.state();
        let release = state.release(release, self.trusted)?;
        self.page(
            release
                .assets
                .iter()
                .map(|asset| self.site.asset(release, asset))
                .collect(),
        )
    }

    /// The page of `items` that the query asks for, with a link to the next one.
    fn page(&self, items: Vec<Value>) -> Result<Response, Refusal> {
        let asked = |key| query(&self.parts.uri, key).and_then(|text| text.parse::<usize>().ok());
        let size = asked("per_page").unwrap_or(PAGE.0).clamp(1, PAGE.1);
        let number = asked("page").unwrap_or(1).max(1);
        let more = items.len() > number.saturating_mul(size);
        let start = (number - 1).saturating_mul(size);
        let page: Vec<Value> = items.into_iter().skip(start).take(size).collect();
        let mut response = json(StatusCode::OK, &Value::Array(page));
        if more {
            let path = format!("{}{}", self.site.url, self.parts.uri.path());
            let link = format!("<{path}?per_page={size}&page={}>; rel=\"next\"", number + 1);
            if let Ok(link) = HeaderValue::from_str(&link) {
                response.headers_mut().insert(header::LINK, link);
            }
        }
        Ok(response)
    }

    fn upload(&self, release: u64) -> Result<Response, Refusal> {
        let name = query(&self.parts.uri, "name").unwrap_or_default();
        let label = query(&self.parts.uri, "label");
        let kind = self.parts.headers.get(header::CONTENT_TYPE);
        let kind = kind.and_then(|kind| kind.to_str().ok());
        let kind = kind.ok_or(Refusal::bad_request("Bad Content-Type"))?;
        let mut state = self.state();
        let asset = state.add_asset(release, &name, label, kind, &self.body)?;
        let created = self.site.asset(state.release(release, true)?, &asset);
        Ok(json(StatusCode::CREATED, &created))
    }

    /// What an asset is or, where the caller accepts bytes, a redirect to them.
    fn asset(&self, id: u64) -> Result<Response, Refusal> {
        let state = self.state();
        let (release, asset) = state.asset(id, self.trusted)?;
        let accept = self.parts.headers.get(header::ACCEPT);
        if accept.is_some_and(|accept| accept == "application/octet-stream") {
            let to = [(header::LOCATION, self.site.storage(id))];
            return Ok((StatusCode::FOUND, to).into_response());
        }
        Ok(json(StatusCode::OK, &self.site.asset(release, asset)))
    }

    /// The bytes of an asset, at the address that only the API tells.
    fn stored_file(&self, id: u64) -> Result<Response, Refusal> {
        let state = self.state();
        let (release, asset) = state.asset(id, true)?;
        let (body, length) = file_body(&state.asset_path(release.id, &asset.name))?;
        Ok(file(body, length))
    }

    /// The bytes of an asset, at the address for everyone.
    fn public_file(&self, tag: &str, name: &str) -> Result<Response, Refusal> {
        let state = self.state();
        let release = state.by_tag(tag)?;
        let mut assets = release.assets.iter();
        let asset = assets
            .find(|asset| asset.name == name)
            .ok_or(Refusal::not_found())?;
        let (body, length) = file_body(&state.asset_path(release.id, &asset.name))?;
        Ok(file(body, length))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn number(text: &str) -> Result<u64, Refusal> {
    text.parse().map_err(|_| Refusal::not_found())
}

fn json(status: StatusCode, body: &Value) -> Response {
    let kind = [(header::CONTENT_TYPE, "application/json; charset=utf-8")];
    (status, kind, body.to_string()).into_response()
}

fn file(body: Body, length: u64) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::CONTENT_LENGTH, length.to_string()),
    ];
    (headers, body).into_response()
}
