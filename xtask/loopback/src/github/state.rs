//! The releases as a value with GitHub's rules, and their home on disk: `releases.json`, and the
//! bytes of the assets as `assets/RELEASE/NAME`.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use semver::Version;
use serde::{Deserialize, Serialize};

use super::change::{Change, Latest};
use super::disk;
use super::refusal::Refusal;
use super::settings::Settings;
use super::tags::{Tag, Tags, commit_of};

/// Everything that the server knows of the repository, but for its issues.
#[derive(Debug)]
pub(super) struct State {
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
    /// The number that was given last, to a release or an asset.
    pub(super) last_id: u64,
    /// The release that is called the latest.
    latest: Option<u64>,
    pub(super) releases: Vec<Release>,
    /// The tags of immutable releases that were deleted: no release gets such a one again.
    #[serde(default)]
    burnt: BTreeSet<String>,
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
    #[serde(default)]
    pub(super) immutable: bool,
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
    /// `uploaded`; `starter` while its bytes have not all come.
    #[serde(default = "uploaded")]
    pub(super) state: String,
    pub(super) size: u64,
    /// Known once all bytes are there.
    pub(super) digest: Option<String>,
}

const NO_TAG: &str = "Published releases must have a valid tag";

/// The state of an asset that is whole.
pub(super) const UPLOADED: &str = "uploaded";

fn uploaded() -> String {
    UPLOADED.to_owned()
}

impl Release {
    /// Whether it can be called the latest.
    fn is_eligible(&self) -> bool {
        !self.draft && !self.prerelease
    }

    /// By what GitHub finds the newest release: the version, then the order of creation.
    fn age(&self) -> (Option<Version>, u64) {
        let tag = self.tag_name.trim_start_matches('v');
        (Version::parse(tag).ok(), self.id)
    }
}

impl State {
    /// What `root` holds of `repository`; nothing where it is empty.
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

    /// The immutable releases whose tag names the object `sha`.
    pub(super) fn attested(&self, sha: &str) -> io::Result<Vec<&Release>> {
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
    pub(super) fn create(&mut self, change: Change) -> Result<&Release, Refusal> {
        if change.tag_name.as_deref().unwrap_or_default().is_empty() {
            return Err(Refusal::validation("Release", "missing_field", "tag_name"));
        }
        let release = Release {
            id: self.data.last_id + 1,
            tag_name: String::new(),
            target_commitish: "main".to_owned(),
            name: None,
            body: None,
            draft: false,
            prerelease: false,
            immutable: false,
            assets: Vec::new(),
        };
        self.apply(release, change)
    }

    /// Changes a release.
    pub(super) fn update(&mut self, id: u64, change: Change) -> Result<&Release, Refusal> {
        let release = self.release(id, true)?.clone();
        self.apply(release, change)
    }

    fn apply(&mut self, before: Release, change: Change) -> Result<&Release, Refusal> {
        let was_public = self.release(before.id, false).is_ok();
        let (asked, named) = (change.make_latest, change.tag_name.is_some());
        let mut release = changed(&before, change);
        if before.draft && release.draft && !named {
            // GitHub forgets the tag of a draft that is edited without it.
            release.tag_name = format!("untagged-{:020x}", release.id);
        }
        let kept = before.draft == release.draft
            && before.tag_name == release.tag_name
            && before.target_commitish == release.target_commitish;
        if before.immutable && !kept {
            let message = "state cannot be changed when release is immutable";
            return Err(Refusal::custom("Release", None, message));
        }
        if asked == Some(Latest::Yes) && !release.is_eligible() {
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

    /// Whether the public `release` may have its tag, which is made where it is not there.
    fn check_tag(&self, release: &Release) -> Result<(), Refusal> {
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

    /// Decides anew which release is the latest, after `id` was changed.
    fn settle_latest(&mut self, id: u64, asked: Option<Latest>, new: bool) {
        let eligible = |id: u64| self.release(id, false).is_ok_and(Release::is_eligible);
        let latest = self.data.latest;
        let chosen = match asked {
            Some(Latest::Yes) => Some(id),
            // Unasked, GitHub makes what has just been published the latest.
            None if new && eligible(id) => Some(id),
            Some(Latest::Legacy) => self.newest(None).or(latest),
            Some(Latest::No) if latest == Some(id) => self.newest(Some(id)),
            _ => latest,
        };
        self.data.latest = match chosen {
            Some(chosen) if !eligible(chosen) => self.newest(None),
            chosen => chosen,
        };
    }

    /// The newest release that can be the latest, but not `but`.
    fn newest(&self, but: Option<u64>) -> Option<u64> {
        let releases = self.data.releases.iter();
        let eligible = releases.filter(|known| known.is_eligible() && Some(known.id) != but);
        eligible
            .max_by_key(|known| known.age())
            .map(|known| known.id)
    }

    /// Deletes a release and its files; its tag stays, but that of an immutable one is burnt.
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

    /// Makes, moves or deletes a tag of the repository, as a push would.
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

/// What is said to a release whose tag a deleted immutable one had. Where the tag is gone as well,
/// making it is refused too, as when it is pushed.
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
fn changed(release: &Release, change: Change) -> Release {
    let old = release.clone();
    Release {
        tag_name: change.tag_name.unwrap_or(old.tag_name),
        target_commitish: change.target_commitish.unwrap_or(old.target_commitish),
        name: change.name.or(old.name),
        body: change.body.or(old.body),
        draft: change.draft.unwrap_or(old.draft),
        prerelease: change.prerelease.unwrap_or(old.prerelease),
        ..old
    }
}
