//! The decisions of a release, without I/O: skip, create, replace or refuse.
//!
//! [`plan`](super::plan) prints these decisions, also in a dry run, and each stage makes them again from a fresh
//! observation just before it acts. None of them deletes anything: existing bytes stay, or the release refuses.

use polis_base::{Digest, ImageRef};
use semver::Version;

use xtask_dist::{ReleaseFile, SIGNATURE};
use xtask_host::error::{Error, Outcome, Result};
use xtask_online::github::{self, Release};

use super::observed::{LatestTag, of_tag};

/// The release that the files go to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Draft {
    /// A new draft.
    Create,
    /// An existing draft.
    TakeUp(Release),
    /// A public release, which is only verified.
    Public(Release),
}

/// What to do with the version tag of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Push {
    /// It already names the image.
    Skip,
    /// It does not exist.
    Create,
    /// It names a different image, from an attempt that was never released.
    Replace(Digest),
}

/// What to do with a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Put {
    /// It exists.
    Skip,
    /// Upload it.
    Create,
    /// Replaces an interrupted upload.
    Finish(github::Asset),
    /// A signature exists; it stays if it is by our key over the same checksums.
    Keep(github::Asset),
}

/// What to do with the tag `latest` of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Promotion {
    /// Leave it; holds the reason.
    Stay(String),
    /// Move it to the digest; holds the old version.
    Move(Option<Version>),
}

/// The marker in the notes of our drafts, which identifies them.
pub(crate) fn marker(tag: &str) -> String {
    format!("<!-- cargo xtask release {tag} -->")
}

/// The release for the files, and remarks about other releases of the tag.
///
/// # Errors
/// If there are several drafts and none of them is ours: a person has to choose.
pub(crate) fn draft(releases: &[Release], tag: &str) -> Result<(Draft, Vec<String>)> {
    let all: Vec<&Release> = of_tag(releases, tag).collect();
    let mut drafts: Vec<&Release> = all.iter().copied().filter(|one| one.draft).collect();
    drafts.sort_by_key(|release| release.id);
    let ours = |release: &&&Release| release.body.contains(&marker(tag));
    let rest = |chosen: u64| {
        let others = drafts.iter().filter(|draft| draft.id != chosen);
        others
            .map(|draft| format!("another draft of {tag} is kept: {}", describe(draft)))
            .collect()
    };
    if let Some(public) = all.iter().find(|release| !release.draft) {
        return Ok((Draft::Public((*public).clone()), rest(public.id)));
    }
    let chosen = match drafts.as_slice() {
        [] => return Ok((Draft::Create, Vec::new())),
        [one] => *one,
        // If several are ours, all clients choose the oldest.
        several => match several.iter().find(ours) {
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
                return Err(refusal.hint("inspect them and delete those that are not needed; then run the same command again"));
            }
        },
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

/// What to do with the version tag of `image`, which currently names `held`.
///
/// # Errors
/// If the tag belongs to a public release and names something else.
pub(crate) fn push(image: &ImageRef, held: Option<Digest>, public: bool) -> Result<Push> {
    match (held, image.digest()) {
        (None, _) => Ok(Push::Create),
        (Some(held), Some(digest)) if held == digest => Ok(Push::Skip),
        (Some(held), Some(digest)) if public => Err(Error::new(
            Outcome::Drift,
            format!("`{}` belongs to a public release and has different content", image.unpinned()),
        )
        .because(format!("in the registry: {held}\nreleased:        {digest}"))
        .hint("a published version never changes: find out who moved the tag, and release the next version")),
        (Some(held), _) => Ok(Push::Replace(held)),
    }
}

/// What to do with the file `ours`, given the assets `there` of the release.
///
/// # Errors
/// If the name is taken by other bytes.
pub(crate) fn put(ours: &ReleaseFile, there: &[github::Asset]) -> Result<Put> {
    match github::ExistingAsset::find(there, &ours.name, ours.size, ours.sha256) {
        github::ExistingAsset::Absent => Ok(Put::Create),
        github::ExistingAsset::Same(_) => Ok(Put::Skip),
        github::ExistingAsset::Unfinished(asset) => Ok(Put::Finish(asset)),
        github::ExistingAsset::Other(asset) if ours.name == SIGNATURE => Ok(Put::Keep(asset)),
        github::ExistingAsset::Other(asset) => Err(other_bytes(ours, &asset)),
    }
}

/// The error for a file whose name is taken by other bytes.
pub(crate) fn other_bytes(ours: &ReleaseFile, there: &github::Asset) -> Error {
    let found = there
        .digest
        .map_or_else(|| "unknown".to_owned(), |digest| digest.hex());
    Error::new(
        Outcome::Drift,
        format!("the release already has a different `{}`", ours.name),
    )
    .because(format!(
        "there: {found} ({} bytes)\nhere:  {} ({} bytes)",
        there.size,
        ours.sha256.hex(),
        ours.size
    ))
    .hint("nothing was changed; if another build left it in a draft, delete that draft and run the same command again")
}

/// Requires that the release contains only our files.
///
/// # Errors
/// The names of the others.
pub(crate) fn no_foreign(ours: &[ReleaseFile], there: &[github::Asset], tag: &str) -> Result<()> {
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
        format!("the release {tag} has files that do not belong to it"),
    )
    .because(foreign.join("\n"))
    .hint("remove them from the draft, then run the same command again"))
}

/// The newest public version that is not a prerelease, with its release.
pub(crate) fn newest(releases: &[Release]) -> Option<(Version, &Release)> {
    let public = releases
        .iter()
        .filter(|release| !release.draft && !release.prerelease);
    public
        .filter_map(|release| Some((version_of_tag(&release.tag)?, release)))
        .filter(|(version, _)| version.pre.is_empty())
        .max_by(|(one, _), (other, _)| one.cmp(other))
}

/// The version in a tag such as `v1.2.3`.
pub(crate) fn version_of_tag(tag: &str) -> Option<Version> {
    tag.strip_prefix('v')?.parse().ok()
}

/// Whether `version` becomes GitHub's latest release, given all `releases`.
pub(crate) fn is_latest(version: &Version, releases: &[Release]) -> bool {
    version.pre.is_empty() && newest(releases).is_none_or(|(newest, _)| newest <= *version)
}

/// Requires that GitHub's latest release has a version to compare with.
///
/// # Errors
/// If it has none.
pub(crate) fn readable_latest(latest: Option<&Release>) -> Result<()> {
    match latest {
        Some(release) if version_of_tag(&release.tag).is_none() => Err(Error::new(
            Outcome::Drift,
            format!(
                "GitHub's latest release is `{}`, which is not a version",
                release.tag
            ),
        )
        .because(format!("cannot tell whether it is newer: {}", release.page))
        .hint("mark another release as the latest: `gh release edit TAG --latest`")),
        _ => Ok(()),
    }
}

/// What to do with `latest` of `image`, if `digest` of `version` is the newest public one.
///
/// # Errors
/// If the version of `latest` cannot be read.
pub(crate) fn promote(
    image: &ImageRef,
    version: &Version,
    digest: Option<Digest>,
    latest: &LatestTag,
) -> Result<Promotion> {
    match latest {
        LatestTag::Missing => Ok(Promotion::Move(None)),
        LatestTag::At(there, _) if Some(*there) == digest => {
            Ok(Promotion::Stay(format!("already {version}")))
        }
        LatestTag::At(there, None) => Err(Error::new(
            Outcome::Drift,
            format!("`{}:latest` names an image without a version", image.name()),
        )
        .because(format!("it names {there}; cannot tell whether that is newer"))
        .hint("find out what it is; then move `latest` by hand to the image of the newest release (RELEASING.md, \"Roll back\")")),
        LatestTag::At(_, Some(there)) if there > version => {
            Ok(Promotion::Stay(format!("it is {there}, which is newer")))
        }
        LatestTag::At(_, Some(there)) => Ok(Promotion::Move(Some(there.clone()))),
    }
}
