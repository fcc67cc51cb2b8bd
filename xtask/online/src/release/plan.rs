//! What a release does with each thing that it meets, decided without I/O: skip, create, replace or
//! refuse.
//!
//! The same functions decide what is printed, in a dry run too, and what each stage does when it
//! looks again just before it acts. Nothing here deletes: what holds bytes stays, or the release
//! refuses.

use polis_base::{Digest, ImageRef};
use semver::Version;
use serde_json::{Value, json};

use xtask::cli::Until;
use xtask::error::{Error, Outcome, Result};
use xtask_dist::{Asset, SIGNATURE};
use xtask_online::github::{self, Release, ReleaseFields, Setting};

use super::world::{Held, Latest, World, require_tag};

/// What a release shall come to.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    /// The version.
    pub(crate) version: Version,
    /// What the release says.
    pub(crate) fields: ReleaseFields,
    /// Its images, pinned; in a dry run some may not have a digest yet.
    pub(crate) images: Vec<ImageRef>,
    /// Its files; `None` before they are made.
    pub(crate) assets: Option<Vec<Asset>>,
}

/// What is done with a thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// It is as it shall be.
    Skip,
    /// It is not there yet.
    Create,
    /// It is there and changes.
    Replace,
    /// It is there, must not change and is not what it shall be: the release does not start.
    Refuse,
    /// The world could not be read.
    Unknown,
}

impl Action {
    fn word(self) -> &'static str {
        match self {
            Self::Skip => "skip",
            Self::Create => "create",
            Self::Replace => "replace",
            Self::Refuse => "refuse",
            Self::Unknown => "unknown",
        }
    }
}

/// What is done with one thing, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    /// The stage that does it.
    pub(crate) stage: &'static str,
    /// The thing.
    pub(crate) what: String,
    /// What is done with it.
    pub(crate) action: Action,
    /// Why, or what it was.
    pub(crate) why: String,
}

/// A decision on each thing.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// The decisions, in the order in which they are carried out.
    pub(crate) lines: Vec<Line>,
    /// Why the release does not start.
    pub(crate) refusals: Vec<Error>,
    /// What a person should know.
    pub(crate) notes: Vec<String>,
}

/// Which release carries the files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Draft {
    /// One that is to be made.
    Create,
    /// A draft that is there.
    TakeUp(Release),
    /// One that is public: it is only verified.
    Public(Release),
}

/// What is done with the version tag of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Push {
    /// It names the image already.
    Skip,
    /// It is not there yet.
    Create,
    /// It names other bytes, of an attempt that never became a release.
    Replace(Digest),
}

/// What is done with a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Put {
    /// It is there.
    Skip,
    /// It is uploaded.
    Create,
    /// What a broken upload left is cleared away, then it is uploaded.
    Finish(github::Asset),
    /// A signature is there; it stays if it is one of ours over the same checksums.
    Keep(github::Asset),
}

/// What is done with the tag `latest` of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Promotion {
    /// It stays; why.
    Stay(String),
    /// It is put on the digest; what it was.
    Move(Option<Version>),
}

/// The marker that the notes of our drafts carry, so that a draft is known as ours.
pub(crate) fn marker(tag: &str) -> String {
    format!("<!-- cargo xtask release {tag} -->")
}

/// The releases and drafts of `tag`.
pub(crate) fn of_tag<'a>(
    releases: &'a [Release],
    tag: &'a str,
) -> impl Iterator<Item = &'a Release> {
    releases.iter().filter(move |release| release.tag == tag)
}

/// Which release carries the files, and what is said of the others of its tag.
///
/// # Errors
/// When there are several drafts and none of them is ours: a person has to choose.
pub(crate) fn draft(releases: &[Release], tag: &str) -> Result<(Draft, Vec<String>)> {
    let all: Vec<&Release> = of_tag(releases, tag).collect();
    let mut drafts: Vec<&Release> = all.iter().copied().filter(|one| one.draft).collect();
    drafts.sort_by_key(|release| release.id);
    let ours = |release: &&&Release| release.body.contains(&marker(tag));
    let rest = |chosen: u64| {
        let others = drafts.iter().filter(|draft| draft.id != chosen);
        others
            .map(|draft| format!("another draft of {tag} is left alone: {}", describe(draft)))
            .collect()
    };
    if let Some(public) = all.iter().find(|release| !release.draft) {
        return Ok((Draft::Public((*public).clone()), rest(public.id)));
    }
    let chosen = match drafts.as_slice() {
        [] => return Ok((Draft::Create, Vec::new())),
        [one] => *one,
        // Of several of ours, all clients choose the same one: the oldest.
        several => {
            match several.iter().find(ours) {
                Some(one) => *one,
                None => {
                    let refusal = Error::new(
                        Outcome::Drift,
                        format!(
                            "there are {} drafts of {tag}, none of them made by a release",
                            several.len()
                        ),
                    );
                    let refusal = several
                        .iter()
                        .fold(refusal, |refusal, draft| refusal.because(describe(draft)));
                    return Err(refusal.hint("look at them and delete what is not needed; then run the same command again"));
                }
            }
        }
    };
    Ok((Draft::TakeUp(chosen.clone()), rest(chosen.id)))
}

fn describe(release: &Release) -> String {
    format!(
        "id {}, \"{}\", {} files, {}",
        release.id,
        release.name,
        release.assets.len(),
        release.page
    )
}

/// What is done with the version tag of `image`, which names `held` now.
///
/// # Errors
/// When the tag belongs to a release that is public and names something else.
pub(crate) fn push(image: &ImageRef, held: Option<Digest>, public: bool) -> Result<Push> {
    match (held, image.digest()) {
        (None, _) => Ok(Push::Create),
        (Some(held), Some(digest)) if held == digest => Ok(Push::Skip),
        (Some(held), Some(digest)) if public => Err(Error::new(
            Outcome::Drift,
            format!("`{}` belongs to a release that is public and names other bytes", image.unpinned()),
        )
        .because(format!("in the registry: {held}\nreleased:        {digest}"))
        .hint("a published version never changes: find out who moved the tag, and release the next version")),
        (Some(held), _) => Ok(Push::Replace(held)),
    }
}

/// What is done with the file `ours` where the release holds `there`.
///
/// # Errors
/// When other bytes stand under its name.
pub(crate) fn put(ours: &Asset, there: &[github::Asset]) -> Result<Put> {
    match github::Held::find(there, &ours.name, ours.size, ours.sha256) {
        github::Held::Absent => Ok(Put::Create),
        github::Held::Same(_) => Ok(Put::Skip),
        github::Held::Unfinished(asset) => Ok(Put::Finish(asset)),
        github::Held::Other(asset) if ours.name == SIGNATURE => Ok(Put::Keep(asset)),
        github::Held::Other(asset) => Err(other_bytes(ours, &asset)),
    }
}

/// The refusal for a file whose name holds other bytes.
pub(crate) fn other_bytes(ours: &Asset, there: &github::Asset) -> Error {
    let found = there
        .digest
        .map_or_else(|| "unknown".to_owned(), |digest| digest.hex());
    Error::new(
        Outcome::Drift,
        format!("the release holds another `{}` than this one", ours.name),
    )
    .because(format!(
        "there: {found} ({} bytes)\nhere:  {} ({} bytes)",
        there.size,
        ours.sha256.hex(),
        ours.size
    ))
    .hint("nothing that is there was touched; if another build left it in a draft, delete that draft and run the same command again")
}

/// The files of the release that are not ours.
///
/// # Errors
/// When there are any, naming them.
pub(crate) fn no_foreign(ours: &[Asset], there: &[github::Asset], tag: &str) -> Result<()> {
    let known = |name: &str| ours.iter().any(|ours| ours.name == name);
    let foreign: Vec<&str> = there
        .iter()
        .map(|asset| asset.name.as_str())
        .filter(|name| !known(name))
        .collect();
    if foreign.is_empty() {
        return Ok(());
    }
    Err(Error::new(
        Outcome::Drift,
        format!("the release {tag} holds files that are not of this release"),
    )
    .because(foreign.join("\n"))
    .hint(
        "take them out of the draft, if they do not belong there, and run the same command again",
    ))
}

/// The newest version that is public and no prerelease, with its release.
pub(crate) fn newest(releases: &[Release]) -> Option<(Version, &Release)> {
    let public = releases
        .iter()
        .filter(|release| !release.draft && !release.prerelease);
    public
        .filter_map(|release| Some((version_of_tag(&release.tag)?, release)))
        .filter(|(version, _)| version.pre.is_empty())
        .max_by(|(one, _), (other, _)| one.cmp(other))
}

/// The version that a tag `v1.2.3` names.
pub(crate) fn version_of_tag(tag: &str) -> Option<Version> {
    tag.strip_prefix('v')?.parse().ok()
}

/// Whether `version` becomes GitHub's latest release beside `releases`.
pub(crate) fn is_latest(version: &Version, releases: &[Release]) -> bool {
    version.pre.is_empty() && newest(releases).is_none_or(|(newest, _)| newest <= *version)
}

/// Requires that GitHub's latest release has a version that can be compared.
///
/// # Errors
/// When it has none.
pub(crate) fn readable_latest(latest: Option<&Release>) -> Result<()> {
    match latest {
        Some(release) if version_of_tag(&release.tag).is_none() => Err(Error::new(
            Outcome::Drift,
            format!(
                "GitHub's latest release is `{}`, which is no version",
                release.tag
            ),
        )
        .because(format!(
            "whether it is newer cannot be told: {}",
            release.page
        ))
        .hint("make another release the latest one: `gh release edit TAG --latest`")),
        _ => Ok(()),
    }
}

/// What is done with `latest` of `image`, where `digest` of `version` is the newest that is public.
///
/// # Errors
/// When `latest` names something whose version cannot be read.
pub(crate) fn promote(
    image: &ImageRef,
    version: &Version,
    digest: Option<Digest>,
    latest: &Latest,
) -> Result<Promotion> {
    match latest {
        Latest::Missing => Ok(Promotion::Move(None)),
        Latest::At(there, _) if Some(*there) == digest => {
            Ok(Promotion::Stay(format!("it is {version} already")))
        }
        Latest::At(there, None) => Err(Error::new(
            Outcome::Drift,
            format!("`{}:latest` names an image without a version", image.name()),
        )
        .because(format!("it stands on {there}; whether that is newer cannot be told"))
        .hint("find out what it is; then put `latest` by hand on the image of the newest release (RELEASING.md, \"Roll back\")")),
        Latest::At(_, Some(there)) if there > version => {
            Ok(Promotion::Stay(format!("it is {there}, which is newer")))
        }
        Latest::At(_, Some(there)) => Ok(Promotion::Move(Some(there.clone()))),
    }
}

impl Plan {
    /// Decides everything that `wanted` needs in `world`.
    pub(crate) fn new(world: &World, wanted: &Wanted, until: Until) -> Self {
        let mut plan = Self::default();
        let tag = wanted.fields.tag.as_str();
        plan.ask(require_tag(world.tag.as_ref(), tag, &wanted.fields.commit));
        if world.may_write == Some(false) && until == Until::Published {
            plan.refusals.push(
                Error::new(
                    Outcome::Network,
                    "the token may not write to the repository",
                )
                .hint("it needs contents: write, and packages: write for the registry"),
            );
        }
        if world.immutable == Setting::Off {
            plan.notes.push("releases of this repository are not immutable: what is published can be changed afterwards (RELEASING.md)".to_owned());
        }
        plan.ask(readable_latest(world.latest.as_ref()));
        let decided = draft(&world.releases, tag);
        let (release, notes) = plan.ask(decided).unwrap_or((Draft::Create, Vec::new()));
        plan.notes.extend(notes);
        let public = matches!(release, Draft::Public(_));
        plan.images(world, wanted, public);
        plan.release(world, wanted, &release);
        plan.publish(world, wanted, public);
        plan
    }

    /// The plan where nothing is known of the world: everything is made.
    pub(crate) fn of_nothing(wanted: &Wanted) -> Self {
        let mut plan = Self::default();
        for image in &wanted.images {
            plan.line(
                "push",
                image.unpinned().to_string(),
                Action::Unknown,
                "not looked at",
            );
        }
        for (stage, what) in [("draft", "draft "), ("publish", "")] {
            plan.line(
                stage,
                format!("{what}{}", wanted.fields.tag),
                Action::Unknown,
                "not looked at",
            );
        }
        plan
    }

    fn ask<T>(&mut self, decision: Result<T>) -> Option<T> {
        decision.map_err(|refusal| self.refusals.push(refusal)).ok()
    }

    fn line(
        &mut self,
        stage: &'static str,
        what: impl Into<String>,
        action: Action,
        why: impl Into<String>,
    ) {
        self.lines.push(Line {
            stage,
            what: what.into(),
            action,
            why: why.into(),
        });
    }

    fn images(&mut self, world: &World, wanted: &Wanted, public: bool) {
        for image in &wanted.images {
            let name = image.unpinned();
            let held = world.images.get(&name).and_then(|held| held.version);
            let decided = push(image, held, public);
            let now = image
                .digest()
                .map_or_else(|| "what is built".to_owned(), |digest| digest.to_string());
            let (action, why) = match self.ask(decided) {
                Some(Push::Skip) => (Action::Skip, format!("it is {now} already")),
                Some(Push::Create) => (Action::Create, now),
                Some(Push::Replace(was)) => (Action::Replace, format!("was {was}, now {now}")),
                None => (Action::Refuse, "it belongs to a public release".to_owned()),
            };
            self.line("push", name.to_string(), action, why);
        }
    }

    fn release(&mut self, world: &World, wanted: &Wanted, release: &Draft) {
        let what = format!("draft {}", wanted.fields.tag);
        let there: &[github::Asset] = match release {
            Draft::Create => {
                self.line("draft", what, Action::Create, "there is none");
                &[]
            }
            Draft::TakeUp(draft) if draft.says(&wanted.fields) => {
                self.line(
                    "draft",
                    what,
                    Action::Skip,
                    format!("it is there: {}", draft.page),
                );
                self.there(world, draft)
            }
            Draft::TakeUp(draft) => {
                self.line(
                    "draft",
                    what,
                    Action::Replace,
                    format!("title, notes or commit change: {}", draft.page),
                );
                self.there(world, draft)
            }
            Draft::Public(public) => {
                self.line(
                    "draft",
                    what,
                    Action::Skip,
                    format!("it is public: {}", public.page),
                );
                self.there(world, public)
            }
        };
        let there = there.to_vec();
        let Some(assets) = &wanted.assets else {
            return;
        };
        self.ask(no_foreign(assets, &there, &wanted.fields.tag));
        let public = matches!(release, Draft::Public(_));
        for asset in assets {
            let decided = put(asset, &there).and_then(|put| match put {
                Put::Create | Put::Finish(_) if public => Err(missing(asset, &wanted.fields.tag)),
                put => Ok(put),
            });
            let (action, why) = match self.ask(decided) {
                Some(Put::Skip) => (Action::Skip, "the same bytes are there".to_owned()),
                Some(Put::Create) => (Action::Create, format!("{} bytes", asset.size)),
                Some(Put::Finish(_)) => (Action::Replace, "an upload broke off".to_owned()),
                Some(Put::Keep(_)) => (
                    Action::Skip,
                    "a signature is there; it stays if it is good".to_owned(),
                ),
                None => (Action::Refuse, "see below".to_owned()),
            };
            self.line("upload", asset.name.clone(), action, why);
        }
    }

    fn there<'a>(&self, world: &'a World, release: &Release) -> &'a [github::Asset] {
        world.assets.get(&release.id).map_or(&[], Vec::as_slice)
    }

    fn publish(&mut self, world: &World, wanted: &Wanted, public: bool) {
        let latest = is_latest(&wanted.version, &world.releases);
        let how = match latest {
            true => "and GitHub's latest",
            false => "not GitHub's latest",
        };
        let (action, why) = match public {
            true => (Action::Skip, "it is public".to_owned()),
            false => (Action::Create, how.to_owned()),
        };
        self.line("publish", wanted.fields.tag.clone(), action, why);
        if !wanted.version.pre.is_empty() {
            return;
        }
        let none = Held {
            version: None,
            latest: Latest::Missing,
        };
        for image in &wanted.images {
            let held = world.images.get(&image.unpinned()).unwrap_or(&none);
            let decided = promote(image, &wanted.version, image.digest(), &held.latest);
            let what = format!("{}:latest", image.name());
            let (action, why) = match self.ask(decided) {
                Some(Promotion::Stay(why)) => (Action::Skip, why),
                // Only the newest public version moves it.
                Some(Promotion::Move(_)) if !latest => {
                    (Action::Skip, "a newer version is public".to_owned())
                }
                Some(Promotion::Move(Some(was))) => (
                    Action::Replace,
                    format!("was {was}, now {}", wanted.version),
                ),
                Some(Promotion::Move(None)) => (Action::Create, wanted.version.to_string()),
                None => (Action::Refuse, "its version cannot be read".to_owned()),
            };
            self.line("promote", what, action, why);
        }
    }

    /// The decisions as lines for people.
    pub(crate) fn to_text(&self) -> String {
        let mut text = String::new();
        let mut stage = "";
        for line in &self.lines {
            if line.stage != stage {
                stage = line.stage;
                text.push_str(&format!("\n{stage}\n"));
            }
            text.push_str(&format!(
                "  {:<8} {}: {}\n",
                line.action.word(),
                line.what,
                line.why
            ));
        }
        for note in &self.notes {
            text.push_str(&format!("\nnote: {note}\n"));
        }
        text
    }

    /// The decisions in a JSON report.
    pub(crate) fn to_json(&self) -> Value {
        let lines: Vec<Value> = self
            .lines
            .iter()
            .map(|line| json!({"stage": line.stage, "what": line.what, "action": line.action.word(), "why": line.why}))
            .collect();
        json!(lines)
    }
}

/// The refusal for a public release that lacks a file.
fn missing(asset: &Asset, tag: &str) -> Error {
    Error::new(
        Outcome::Drift,
        format!(
            "the public release {tag} does not hold `{}` whole",
            asset.name
        ),
    )
    .hint("a published release is never touched: release the next version")
}

#[cfg(test)]
mod tests;
