//! A parsed request, and answers that several resources share.

use axum::body::Bytes;
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::Value;
use std::sync::MutexGuard;

use super::refusal::Refusal;
use super::shared::Shared;
use super::site::Site;
use super::state::RepositoryState;
use crate::query;

/// GitHub's default page size, and the largest.
pub(super) const PAGE: (usize, usize) = (30, 100);

/// One request, read.
pub(super) struct Call<'a> {
    pub(super) shared: &'a Shared,
    pub(super) site: Site,
    pub(super) parts: Parts,
    /// The body; `None` if it arrived incomplete.
    pub(super) body: Option<Bytes>,
    /// Whether it carries the right token.
    pub(super) trusted: bool,
    /// Whether it may write to the repository, and so see drafts.
    pub(super) pushes: bool,
}

impl<'a> Call<'a> {
    pub(super) fn new(
        shared: &'a Shared,
        parts: Parts,
        body: Option<Bytes>,
    ) -> Result<Self, Refusal> {
        let text = |name| {
            parts
                .headers
                .get(name)
                .and_then(|value| value.to_str().ok())
        };
        let trusted = match text(header::AUTHORIZATION).map(|value| value.split_once(' ')) {
            None => false,
            Some(Some(("Bearer" | "token", token))) if token == shared.token => true,
            Some(_) => return Err(Refusal::bad_credentials()),
        };
        let state = shared.state();
        let site = Site {
            url: format!("http://{}", text(header::HOST).unwrap_or_default()),
            owner: shared.owner.clone(),
            repo: shared.repo.clone(),
            gravatar: state.settings.gravatar,
            plain_labels: state.settings.plain_labels,
        };
        let pushes = trusted && state.settings.push;
        drop(state);
        Ok(Self {
            shared,
            site,
            parts,
            body,
            trusted,
            pushes,
        })
    }

    pub(super) fn route(&self) -> Result<Response, Refusal> {
        let path: Vec<&str> = self.parts.uri.path().split('/').skip(1).collect();
        let ours = |owner: &str, repo: &str| owner == self.shared.owner && repo == self.shared.repo;
        match path.as_slice() {
            ["repos", owner, repo, "git", rest @ ..] if ours(owner, repo) && is_data(rest) => {
                self.git_data(rest)
            }
            ["repos", owner, repo, "git", rest @ ..] => self.git(&format!("{owner}/{repo}"), rest),
            ["repos", owner, repo, rest @ ..] if ours(owner, repo) => match rest {
                ["releases", rest @ ..] => self.releases(rest),
                ["issues", rest @ ..] => self.issues(rest),
                ["pulls", rest @ ..] => self.pulls(rest),
                ["actions", "workflows", _, "runs"] => self.runs(),
                rest => self.repository(rest),
            },
            ["repos", owner, repo, "releases"] if self.is_get() => self.elsewhere(owner, repo),
            [owner, repo, "releases", "download", tag, name] if ours(owner, repo) => {
                self.public_file(tag, name)
            }
            ["graphql"] if self.parts.method == Method::POST => self.graphql(),
            ["storage", "attestations", sha] => self.stored_attestation(sha),
            ["storage", id] => self.stored_file(number(id)?),
            _ => Err(Refusal::not_found()),
        }
    }

    /// The complete body.
    pub(super) fn body(&self) -> Result<&[u8], Refusal> {
        let whole = self.body.as_deref();
        whole.ok_or(Refusal::bad_request("the body is incomplete"))
    }

    /// Refuses a change by a caller without write access.
    pub(super) fn must_push(&self) -> Result<(), Refusal> {
        match (self.trusted, self.pushes) {
            (false, _) => Err(Refusal::requires_authentication()),
            (true, false) => Err(Refusal::forbidden()),
            (true, true) => Ok(()),
        }
    }

    pub(super) fn is_get(&self) -> bool {
        matches!(self.parts.method, Method::GET | Method::HEAD)
    }

    pub(super) fn header(&self, name: HeaderName) -> Option<&str> {
        self.parts.headers.get(name)?.to_str().ok()
    }

    /// The requested page of `items`, with a link to the next one.
    pub(super) fn page(&self, items: Vec<Value>) -> Result<Response, Refusal> {
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

    pub(super) fn state(&self) -> MutexGuard<'_, RepositoryState> {
        self.shared.state()
    }
}

/// Whether a path below `git/` names one of these, and not a tag.
fn is_data(path: &[&str]) -> bool {
    matches!(
        path,
        ["trees" | "commits" | "refs", ..] | ["ref", "heads", ..]
    )
}

pub(super) fn number(text: &str) -> Result<u64, Refusal> {
    text.parse().map_err(|_| Refusal::not_found())
}

pub(super) fn json(status: StatusCode, body: &Value) -> Response {
    let kind = [(header::CONTENT_TYPE, "application/json; charset=utf-8")];
    (status, kind, body.to_string()).into_response()
}
