//! The releases as a value with GitHub's rules, and their home on disk: `releases.json`, and the
//! bytes of the assets as `assets/RELEASE/NAME`.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use polis_base::Digest;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::refusal::Refusal;

/// Everything that the server knows.
#[derive(Debug)]
pub(super) struct State {
    root: PathBuf,
    data: Data,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Data {
    /// The number that was given last, to a release or an asset.
    last_id: u64,
    /// The release that is called the latest.
    latest: Option<u64>,
    releases: Vec<Release>,
}

/// A release.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Release {
    pub(super) id: u64,
    pub(super) tag_name: String,
    pub(super) target_commitish: String,
    pub(super) name: Option<String>,
    pub(super) body: Option<String>,
    pub(super) draft: bool,
    pub(super) prerelease: bool,
    pub(super) assets: Vec<Asset>,
}

/// A file of a release.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asset {
    pub(super) id: u64,
    pub(super) name: String,
    pub(super) label: Option<String>,
    pub(super) content_type: String,
    pub(super) size: u64,
    pub(super) digest: String,
}

/// The fields of a request to create or change a release.
#[derive(Debug, Default)]
pub(super) struct Change {
    tag_name: Option<String>,
    target_commitish: Option<String>,
    name: Option<String>,
    body: Option<String>,
    draft: Option<bool>,
    prerelease: Option<bool>,
    make_latest: Option<String>,
}

impl Change {
    /// Reads the body of a request.
    ///
    /// # Errors
    /// With GitHub's status 400 when it is not JSON and 422 for a wrong field, or one that
    /// GitHub does not describe.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Refusal> {
        let json: Value = serde_json::from_slice(bytes).map_err(|_| Refusal::not_json())?;
        let Value::Object(fields) = json else {
            return Err(Refusal::invalid("the body is not an object"));
        };
        Self::read(fields)
    }

    fn read(fields: Map<String, Value>) -> Result<Self, Refusal> {
        let mut change = Self::default();
        for (key, value) in fields {
            match (key.as_str(), value) {
                ("tag_name", Value::String(text)) => change.tag_name = Some(text),
                ("target_commitish", Value::String(text)) => change.target_commitish = Some(text),
                ("name", Value::String(text)) => change.name = Some(text),
                ("body", Value::String(text)) => change.body = Some(text),
                ("draft", Value::Bool(yes)) => change.draft = Some(yes),
                ("prerelease", Value::Bool(yes)) => change.prerelease = Some(yes),
                ("make_latest", Value::String(text))
                    if matches!(text.as_str(), "true" | "false" | "legacy") =>
                {
                    change.make_latest = Some(text);
                }
                (key, value) => {
                    let message = format!("For 'properties/{key}', {value} is not permitted.");
                    return Err(Refusal::invalid(&message));
                }
            }
        }
        Ok(change)
    }
}

impl State {
    /// What `root` holds; nothing where it is empty.
    pub(super) fn open(root: &Path) -> io::Result<Self> {
        fs::create_dir_all(root.join("assets"))?;
        let data = match fs::read(root.join("releases.json")) {
            Ok(bytes) => serde_json::from_slice(&bytes)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Data::default(),
            Err(error) => return Err(error),
        };
        Ok(Self {
            root: root.to_owned(),
            data,
        })
    }

    /// The releases, newest first; drafts only where `drafts` says so.
    pub(super) fn list(&self, drafts: bool) -> Vec<&Release> {
        let releases = self.data.releases.iter().rev();
        releases
            .filter(|release| drafts || !release.draft)
            .collect()
    }

    /// The release `id`, a draft only where `drafts` says so.
    pub(super) fn release(&self, id: u64, drafts: bool) -> Result<&Release, Refusal> {
        let found = self.data.releases.iter().find(|release| release.id == id);
        found
            .filter(|release| drafts || !release.draft)
            .ok_or(Refusal::not_found())
    }

    /// The public release of `tag`. A draft has no tag yet and is not found, as at GitHub.
    pub(super) fn by_tag(&self, tag: &str) -> Result<&Release, Refusal> {
        let public = |release: &&Release| !release.draft && release.tag_name == tag;
        self.data
            .releases
            .iter()
            .find(public)
            .ok_or(Refusal::not_found())
    }

    /// The latest release.
    pub(super) fn latest(&self) -> Result<&Release, Refusal> {
        let id = self.data.latest.ok_or(Refusal::not_found())?;
        self.release(id, false)
    }

    /// Makes a release.
    pub(super) fn create(&mut self, change: Change) -> Result<&Release, Refusal> {
        if change.tag_name.as_deref().unwrap_or_default().is_empty() {
            return Err(Refusal::validation("Release", "missing_field", "tag_name"));
        }
        self.data.last_id += 1;
        let id = self.data.last_id;
        let release = Release {
            id,
            tag_name: String::new(),
            target_commitish: "main".to_owned(),
            name: None,
            body: None,
            draft: false,
            prerelease: false,
            assets: Vec::new(),
        };
        self.apply(release, change)
    }

    /// Changes a release.
    pub(super) fn update(&mut self, id: u64, change: Change) -> Result<&Release, Refusal> {
        let release = self.release(id, true)?.clone();
        self.apply(release, change)
    }

    fn apply(&mut self, mut release: Release, change: Change) -> Result<&Release, Refusal> {
        let was_public = self.release(release.id, false).is_ok();
        release.tag_name = change.tag_name.unwrap_or(release.tag_name);
        release.target_commitish = change.target_commitish.unwrap_or(release.target_commitish);
        release.name = change.name.or(release.name);
        release.body = change.body.or(release.body);
        release.draft = change.draft.unwrap_or(release.draft);
        release.prerelease = change.prerelease.unwrap_or(release.prerelease);
        let taken = self
            .by_tag(&release.tag_name)
            .is_ok_and(|other| other.id != release.id);
        if taken && !release.draft {
            return Err(Refusal::validation("Release", "already_exists", "tag_name"));
        }
        // Unasked, GitHub makes what has just been published the latest.
        let latest = match change.make_latest.as_deref() {
            Some(text) => text != "false",
            None => !was_public,
        };
        let id = release.id;
        if latest && !release.draft && !release.prerelease {
            self.data.latest = Some(id);
        }
        match self.data.releases.iter_mut().find(|known| known.id == id) {
            Some(known) => *known = release,
            None => self.data.releases.push(release),
        }
        self.save()?;
        self.release(id, true)
    }

    /// Adds a file to a release.
    pub(super) fn add_asset(
        &mut self,
        release: u64,
        name: &str,
        label: Option<String>,
        content_type: &str,
        bytes: &[u8],
    ) -> Result<Asset, Refusal> {
        let name = file_name(name);
        if name.is_empty() {
            return Err(Refusal::validation("ReleaseAsset", "missing_field", "name"));
        }
        if self
            .release(release, true)?
            .assets
            .iter()
            .any(|asset| asset.name == name)
        {
            return Err(Refusal::validation(
                "ReleaseAsset",
                "already_exists",
                "name",
            ));
        }
        if bytes.is_empty() {
            return Err(Refusal::validation("ReleaseAsset", "custom", "size"));
        }
        self.write(&self.asset_path(release, &name), bytes)?;
        self.data.last_id += 1;
        let asset = Asset {
            id: self.data.last_id,
            name,
            label,
            content_type: content_type.to_owned(),
            size: bytes.len() as u64,
            digest: Digest::of(bytes).to_string(),
        };
        let mut releases = self.data.releases.iter_mut();
        if let Some(known) = releases.find(|known| known.id == release) {
            known.assets.push(asset.clone());
        }
        self.save()?;
        Ok(asset)
    }

    /// The asset `id` with its release, of a draft only where `drafts` says so.
    pub(super) fn asset(&self, id: u64, drafts: bool) -> Result<(&Release, &Asset), Refusal> {
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
        fs::remove_file(self.asset_path(release.id, &asset.name))?;
        for release in &mut self.data.releases {
            release.assets.retain(|asset| asset.id != id);
        }
        Ok(self.save()?)
    }

    /// The file with the bytes of an asset.
    pub(super) fn asset_path(&self, release: u64, name: &str) -> PathBuf {
        self.root
            .join("assets")
            .join(release.to_string())
            .join(name)
    }

    fn save(&self) -> io::Result<()> {
        let mut text = serde_json::to_vec_pretty(&self.data)?;
        text.push(b'\n');
        self.write(&self.root.join("releases.json"), &text)
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir)?;
        }
        let mut file = tempfile::NamedTempFile::new_in(&self.root)?;
        file.write_all(bytes)?;
        file.persist(path)?;
        Ok(())
    }
}

/// The name under which GitHub keeps a file: what it does not like becomes a dot, and none
/// starts with one.
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
