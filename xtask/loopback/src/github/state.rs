//! The releases with GitHub's rules, and their storage: `releases.json`, and the bytes of the assets as
//! `assets/RELEASE/NAME`.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use semver::Version;
use serde::{Deserialize, Serialize};

use super::change::{Change, MakeLatest};
use super::disk;
use super::refusal::Refusal;
use super::settings::Settings;
use super::tags::{Tag, Tags, commit_of};

/// The state of the repository, except for its issues.
#[derive(Debug)]
pub(super) struct RepositoryState {
    root: PathBuf,
    /// `owner/name`.
    repository: String,
    pub(super) tags: Tags,
    pub(super) settings: Settings,
    pub(super) data: Data,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Data {
    /// The last id given to a release or an asset.
    pub(super) last_id: u64,
    /// The release marked as the latest.
    latest: Option<u64>,
    pub(super) releases: Vec<StoredRelease>,
    /// The tags of deleted immutable releases, which can never be used again.
    #[serde(default)]
    burnt: BTreeSet<String>,
}

/// A release.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StoredRelease {
    pub(super) id: u64,
    pub(super) tag_name: String,
    pub(super) target_commitish: String,
    pub(super) name: Option<String>,
    pub(super) body: Option<String>,
    pub(super) draft: bool,
    pub(super) prerelease: bool,
    #[serde(default)]
    pub(super) immutable: bool,
    pub(super) assets: Vec<StoredAsset>,
}

/// A file of a release.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StoredAsset {
    pub(super) id: u64,
    pub(super) name: String,
    pub(super) label: Option<String>,
    pub(super) content_type: String,
    /// `uploaded`; `starter` while it is incomplete.
    #[serde(default = "uploaded")]
    pub(super) state: String,
    pub(super) size: u64,
    /// Known once the upload is complete.
    pub(super) digest: Option<String>,
}

const NO_TAG: &str = "Published releases must have a valid tag";

/// The state of a complete asset.
pub(super) const UPLOADED: &str = "uploaded";

fn uploaded() -> String {
    UPLOADED.to_owned()
}

impl StoredRelease {
    /// Whether it can be the latest.
    fn is_eligible(&self) -> bool {
        !self.draft && !self.prerelease
    }

    /// The order by which GitHub finds the newest release: the version, then creation.
    fn age(&self) -> (Option<Version>, u64) {
        let tag = self.tag_name.trim_start_matches('v');
        (Version::parse(tag).ok(), self.id)
    }
}

impl RepositoryState {
    /// The state of `repository` in `root`, which may be empty.
    pub(super) fn open(root: &Path, repository: &str) -> io::Result<Self> {
        fs::create_dir_all(root.join("assets"))?;
        Ok(Self {
            root: root.to_owned(),
            repository: repository.to_owned(),
            tags: Tags::open(root),
            settings: disk::read(&root.join("settings.json"))?,
            data: disk::read(&root.join("releases.json"))?,
        })
    }

    /// The releases, newest first; with drafts only if `drafts`.
    pub(super) fn list(&self, drafts: bool) -> Vec<&StoredRelease> {
        let releases = self.data.releases.iter().rev();
        releases
            .filter(|release| drafts || !release.draft)
            .collect()
    }

    /// The release `id`; a draft only if `drafts`.
    pub(super) fn release(&self, id: u64, drafts: bool) -> Result<&StoredRelease, Refusal> {
        let found = self.data.releases.iter().find(|release| release.id == id);
        found
            .filter(|release| drafts || !release.draft)
            .ok_or(Refusal::not_found())
    }

    /// The public release of `tag`. As on GitHub, a draft is not found by its tag.
    pub(super) fn by_tag(&self, tag: &str) -> Result<&StoredRelease, Refusal> {
        let public = |release: &&StoredRelease| !release.draft && release.tag_name == tag;
        self.data
            .releases
            .iter()
            .find(public)
            .ok_or(Refusal::not_found())
    }

    /// The latest release.
    pub(super) fn latest(&self) -> Result<&StoredRelease, Refusal> {
        let id = self.data.latest.ok_or(Refusal::not_found())?;
        self.release(id, false)
    }

    /// The immutable releases whose tag names the object `sha`.
    pub(super) fn attested(&self, sha: &str) -> io::Result<Vec<&StoredRelease>> {
        let mut found = Vec::new();
        for release in self
            .data
            .releases
            .iter()
            .filter(|release| release.immutable)
        {
            let tag = self.tags.get(&self.repository, &release.tag_name)?;
            if tag.is_some_and(|tag| tag.sha() == sha) {
                found.push(release);
            }
        }
        Ok(found)
    }

    /// Makes a release.
    pub(super) fn create(&mut self, change: Change) -> Result<&StoredRelease, Refusal> {
        if change.tag_name.as_deref().unwrap_or_default().is_empty() {
            return Err(Refusal::validation("Release", "missing_field", "tag_name"));
        }
        let release = StoredRelease {
            id: self.data.last_id + 1,
            target_commitish: "main".to_owned(),
            ..StoredRelease::default()
        };
        self.apply(release, change)
    }

    /// Changes a release.
    pub(super) fn update(&mut self, id: u64, change: Change) -> Result<&StoredRelease, Refusal> {
        let release = self.release(id, true)?.clone();
        self.apply(release, change)
    }

    fn apply(&mut self, before: StoredRelease, change: Change) -> Result<&StoredRelease, Refusal> {
        let was_public = self.release(before.id, false).is_ok();
        let (asked, named) = (change.make_latest, change.tag_name.is_some());
        let mut release = changed(&before, change);
        if before.draft && release.draft && !named {
            // GitHub drops the tag of a draft that is edited without it.
            release.tag_name = format!("untagged-{:020x}", release.id);
        }
        let kept = before.draft == release.draft
            && before.tag_name == release.tag_name
            && before.target_commitish == release.target_commitish;
        if before.immutable && !kept {
            let message = "state cannot be changed when release is immutable";
            return Err(Refusal::custom("Release", None, message));
        }
        if asked == Some(MakeLatest::Yes) && !release.is_eligible() {
            let message = "Latest release cannot be draft or prerelease";
            return Err(Refusal::custom("Release", None, message));
        }
        if !release.draft && (!was_public || release.tag_name != before.tag_name) {
            self.check_tag(&release)?;
        }
        release.immutable |= !release.draft && !was_public && self.settings.immutable;
        let id = release.id;
        self.data.last_id = self.data.last_id.max(id);
        match self.data.releases.iter_mut().find(|known| known.id == id) {
            Some(known) => *known = release,
            None => self.data.releases.push(release),
        }
        self.settle_latest(id, asked, !was_public);
        self.save()?;
        self.release(id, true)
    }

    /// Whether the public `release` may have its tag, which is created if it does not exist.
    fn check_tag(&self, release: &StoredRelease) -> Result<(), Refusal> {
        let tag = &release.tag_name;
        if self.by_tag(tag).is_ok_and(|other| other.id != release.id) {
            return Err(Refusal::validation("Release", "already_exists", "tag_name"));
        }
        let exists = self.tags.get(&self.repository, tag)?.is_some();
        if self.data.burnt.contains(tag) {
            return Err(burnt(exists));
        }
        if exists {
            return Ok(());
        }
        if self.settings.immutable {
            return Err(Refusal::custom("Release", None, NO_TAG));
        }
        let commit = commit_of(&release.target_commitish);
        let made = Some(Tag::Lightweight(commit));
        Ok(self.tags.set(&self.repository, tag, made)?)
    }

    /// Decides which release is the latest after `id` has changed.
    fn settle_latest(&mut self, id: u64, asked: Option<MakeLatest>, new: bool) {
        let eligible = |id: u64| {
            self.release(id, false)
                .is_ok_and(StoredRelease::is_eligible)
        };
        let latest = self.data.latest;
        let chosen = match asked {
            Some(MakeLatest::Yes) => Some(id),
            // By default, GitHub marks a newly published release as the latest.
            None if new && eligible(id) => Some(id),
            Some(MakeLatest::Legacy) => self.newest(None).or(latest),
            Some(MakeLatest::No) if latest == Some(id) => self.newest(Some(id)),
            _ => latest,
        };
        self.data.latest = match chosen {
            Some(chosen) if !eligible(chosen) => self.newest(None),
            chosen => chosen,
        };
    }

    /// The newest release other than `but` that can be the latest.
    fn newest(&self, but: Option<u64>) -> Option<u64> {
        let releases = self.data.releases.iter();
        let eligible = releases.filter(|known| known.is_eligible() && Some(known.id) != but);
        eligible
            .max_by_key(|known| known.age())
            .map(|known| known.id)
    }

    /// Deletes a release and its files, but not its tag. The tag of an immutable one can never be used again.
    pub(super) fn delete(&mut self, id: u64) -> Result<(), Refusal> {
        let release = self.release(id, true)?.clone();
        if release.immutable {
            self.data.burnt.insert(release.tag_name);
        }
        self.data.releases.retain(|known| known.id != id);
        self.settle_latest(id, None, false);
        self.save()?;
        match fs::remove_dir_all(self.root.join("assets").join(id.to_string())) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// The file with the bytes of an asset.
    pub(super) fn asset_path(&self, release: u64, name: &str) -> PathBuf {
        self.root
            .join("assets")
            .join(release.to_string())
            .join(name)
    }

    /// Creates, moves or deletes a tag of the repository, as a push would.
    pub(super) fn set_tag(&self, tag: &str, value: Option<Tag>) -> io::Result<()> {
        self.tags.set(&self.repository, tag, value)
    }

    /// Changes the settings.
    pub(super) fn set(&mut self, change: impl FnOnce(&mut Settings)) -> io::Result<()> {
        change(&mut self.settings);
        disk::write(&self.root.join("settings.json"), &self.settings)
    }

    pub(super) fn save(&self) -> io::Result<()> {
        disk::write(&self.root.join("releases.json"), &self.data)
    }
}

/// The refusal of a release whose tag belonged to a deleted immutable one. If the tag is gone too, creating it is
/// refused as well, as a push would be.
fn burnt(exists: bool) -> Refusal {
    let message = "tag_name was used by an immutable release";
    if exists {
        return Refusal::custom("Release", Some("tag_name"), message);
    }
    let rule = "pre_receive Repository rule violations found\n\nCannot create ref due to creations being restricted.\n\n";
    Refusal::custom("Release", Some("pre_receive"), rule)
        .and("Release", Some("tag_name"), message)
        .and("Release", None, NO_TAG)
}

/// `release` with the fields of `change`.
fn changed(release: &StoredRelease, change: Change) -> StoredRelease {
    let old = release.clone();
    StoredRelease {
        tag_name: change.tag_name.unwrap_or(old.tag_name),
        target_commitish: change.target_commitish.unwrap_or(old.target_commitish),
        name: change.name.or(old.name),
        body: change.body.or(old.body),
        draft: change.draft.unwrap_or(old.draft),
        prerelease: change.prerelease.unwrap_or(old.prerelease),
        ..old
    }
}
