//! Requests for releases and their files.

use axum::body::Body;
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};

use super::assets::Upload;
use super::call::{Call, json, number};
use super::change::Change;
use super::refusal::Refusal;
use super::state::{StoredAsset, StoredRelease, UPLOADED};
use crate::query;
use crate::serve::file_body;

impl Call<'_> {
    pub(super) fn releases(&self, path: &[&str]) -> Result<Response, Refusal> {
        if self.is_get() {
            return self.read_releases(path);
        }
        self.must_push()?;
        match (&self.parts.method, path) {
            (&Method::POST, []) => {
                let change = Change::parse(self.body()?)?;
                let mut state = self.state();
                let created = self.site.release(state.create(change)?);
                Ok(json(StatusCode::CREATED, &created))
            }
            (&Method::PATCH, [id]) => {
                let change = Change::parse(self.body()?)?;
                let mut state = self.state();
                let updated = self.site.release(state.update(number(id)?, change)?);
                Ok(json(StatusCode::OK, &updated))
            }
            (&Method::DELETE, [id]) => {
                self.state().delete(number(id)?)?;
                Ok(StatusCode::NO_CONTENT.into_response())
            }
            (&Method::DELETE, ["assets", id]) => {
                self.state().delete_asset(number(id)?)?;
                Ok(StatusCode::NO_CONTENT.into_response())
            }
            (&Method::POST, [id, "assets"]) => self.upload(number(id)?),
            _ => Err(Refusal::not_found()),
        }
    }

    fn read_releases(&self, path: &[&str]) -> Result<Response, Refusal> {
        match path {
            [] => self.list(),
            ["latest"] => self.one(self.state().latest()?),
            ["tags", tag] => self.one(self.state().by_tag(tag)?),
            ["assets", id] => self.asset(number(id)?),
            [id] => self.one(self.state().release(number(id)?, self.pushes)?),
            [id, "assets"] => self.assets(number(id)?),
            _ => Err(Refusal::not_found()),
        }
    }

    fn one(&self, release: &StoredRelease) -> Result<Response, Refusal> {
        Ok(json(StatusCode::OK, &self.site.release(release)))
    }

    fn list(&self) -> Result<Response, Refusal> {
        let state = self.state();
        let releases = state.list(self.pushes);
        self.page(
            releases
                .into_iter()
                .map(|release| self.site.release(release))
                .collect(),
        )
    }

    fn assets(&self, release: u64) -> Result<Response, Refusal> {
        let state = self.state();
        let release = state.release(release, self.pushes)?;
        self.page(
            release
                .assets
                .iter()
                .map(|asset| self.site.asset(release, asset))
                .collect(),
        )
    }

    fn upload(&self, release: u64) -> Result<Response, Refusal> {
        let content_type = self.header(header::CONTENT_TYPE);
        let upload = Upload {
            name: &query(&self.parts.uri, "name").unwrap_or_default(),
            label: query(&self.parts.uri, "label"),
            content_type: content_type.ok_or(Refusal::bad_request("Bad Content-Type"))?,
            bytes: self.body.as_deref(),
        };
        let mut state = self.state();
        let asset = state.add_asset(release, upload)?;
        // The client of an interrupted upload does not read the answer.
        self.body()?;
        let created = self.site.asset(state.release(release, true)?, &asset);
        Ok(json(StatusCode::CREATED, &created))
    }

    /// The description of an asset, or a redirect to its bytes if the caller accepts them.
    fn asset(&self, id: u64) -> Result<Response, Refusal> {
        let state = self.state();
        let (release, asset) = state.asset(id, self.pushes)?;
        if self.header(header::ACCEPT) == Some("application/octet-stream") {
            whole(asset)?;
            let to = [(header::LOCATION, self.site.storage(id))];
            return Ok((StatusCode::FOUND, to).into_response());
        }
        Ok(json(StatusCode::OK, &self.site.asset(release, asset)))
    }

    /// The bytes of an asset, at the URL that only the API returns.
    pub(super) fn stored_file(&self, id: u64) -> Result<Response, Refusal> {
        let state = self.state();
        let (release, asset) = state.asset(id, true)?;
        let (body, length) = file_body(&state.asset_path(release.id, &asset.name))?;
        Ok(file(body, length))
    }

    /// The bytes of an asset, at its public URL.
    pub(super) fn public_file(&self, tag: &str, name: &str) -> Result<Response, Refusal> {
        let state = self.state();
        let release = state.by_tag(tag)?;
        let mut assets = release.assets.iter();
        let asset = assets
            .find(|asset| asset.name == name)
            .ok_or(Refusal::not_found())?;
        whole(asset)?;
        let (body, length) = file_body(&state.asset_path(release.id, &asset.name))?;
        Ok(file(body, length))
    }
}

fn whole(asset: &StoredAsset) -> Result<(), Refusal> {
    match asset.state == UPLOADED {
        true => Ok(()),
        false => Err(Refusal::not_found()),
    }
}

fn file(body: Body, length: u64) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::CONTENT_LENGTH, length.to_string()),
    ];
    (headers, body).into_response()
}
