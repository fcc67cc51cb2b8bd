//! The files of releases, with GitHub's rules.

use std::fs;
use std::io;

use polis_base::Digest;

use super::disk;
use super::refusal::Refusal;
use super::state::{RepositoryState, StoredAsset, StoredRelease, UPLOADED};

/// A file in a request.
#[derive(Debug)]
pub(super) struct Upload<'a> {
    pub(super) name: &'a str,
    pub(super) label: Option<String>,
    pub(super) content_type: &'a str,
    /// All bytes; `None` if the connection broke before they arrived.
    pub(super) bytes: Option<&'a [u8]>,
}

impl RepositoryState {
    /// Adds a file to a release. An incomplete one stays as a `starter`, which blocks its name.
    pub(super) fn add_asset(
        &mut self,
        release: u64,
        upload: Upload<'_>,
    ) -> Result<StoredAsset, Refusal> {
        let name = file_name(upload.name);
        let known = self.release(release, true)?;
        if known.immutable {
            let message = "Cannot upload assets to an immutable release.";
            return Err(Refusal::unprocessable(message));
        }
        if name.is_empty() {
            return Err(Refusal::validation("ReleaseAsset", "missing_field", "name"));
        }
        if known.assets.iter().any(|asset| asset.name == name) {
            return Err(Refusal::validation(
                "ReleaseAsset",
                "already_exists",
                "name",
            ));
        }
        if upload.bytes.is_some_and(<[u8]>::is_empty) {
            return Err(Refusal::validation("ReleaseAsset", "custom", "size"));
        }
        let state = upload.bytes.map_or("starter", |_| UPLOADED);
        Ok(self.keep_asset(release, &name, upload, state)?)
    }

    /// Adds a file to a release without applying any rule; returns its id.
    pub(super) fn plant_asset(
        &mut self,
        release: u64,
        name: &str,
        bytes: &[u8],
        state: &str,
    ) -> io::Result<u64> {
        let upload = Upload {
            name,
            label: None,
            content_type: "application/octet-stream",
            bytes: (state == UPLOADED).then_some(bytes),
        };
        let asset = self.keep_asset(release, name, upload, state)?;
        disk::write_bytes(&self.asset_path(release, name), bytes)?;
        Ok(asset.id)
    }

    fn keep_asset(
        &mut self,
        release: u64,
        name: &str,
        upload: Upload<'_>,
        state: &str,
    ) -> io::Result<StoredAsset> {
        let bytes = upload.bytes.unwrap_or_default();
        disk::write_bytes(&self.asset_path(release, name), bytes)?;
        self.data.last_id += 1;
        let asset = StoredAsset {
            id: self.data.last_id,
            name: name.to_owned(),
            label: upload.label,
            content_type: upload.content_type.to_owned(),
            state: state.to_owned(),
            size: bytes.len() as u64,
            digest: upload.bytes.map(|bytes| Digest::of(bytes).to_string()),
        };
        let mut releases = self.data.releases.iter_mut();
        let known = releases.find(|known| known.id == release);
        let known = known.ok_or(io::ErrorKind::NotFound)?;
        known.assets.push(asset.clone());
        self.save()?;
        Ok(asset)
    }

    /// The asset `id` with its release; that of a draft only with `drafts`.
    pub(super) fn asset(
        &self,
        id: u64,
        drafts: bool,
    ) -> Result<(&StoredRelease, &StoredAsset), Refusal> {
        let mut pairs = self
            .data
            .releases
            .iter()
            .flat_map(|release| release.assets.iter().map(move |asset| (release, asset)));
        pairs
            .find(|(release, asset)| asset.id == id && (drafts || !release.draft))
            .ok_or(Refusal::not_found())
    }

    /// Deletes an asset.
    pub(super) fn delete_asset(&mut self, id: u64) -> Result<(), Refusal> {
        let (release, asset) = self.asset(id, true)?;
        if release.immutable {
            let message = "Cannot delete asset from an immutable release";
            return Err(Refusal::custom("ReleaseAsset", None, message));
        }
        fs::remove_file(self.asset_path(release.id, &asset.name))?;
        for release in &mut self.data.releases {
            release.assets.retain(|asset| asset.id != id);
        }
        Ok(self.save()?)
    }
}

/// The name under which GitHub stores a file: other characters become dots, and no name starts with one.
fn file_name(name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '+' | '@');
    let name: String = name
        .chars()
        .map(|c| if plain(c) { c } else { '.' })
        .collect();
    match name.starts_with('.') {
        true => format!("default{name}"),
        false => name,
    }
}
