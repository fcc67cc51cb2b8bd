//! Publishes the release, and verifies the result on GitHub.

use std::time::Duration;

use xtask_host::error::{Error, Outcome, Result};
use xtask_online::github::{Release, TagRef};

use super::draft::Drafted;
use super::observed::require_tag;
use super::verify::{Verified, require_complete};
use super::{decide, tree};
use crate::context::Context;

/// How often to look for the attestation of the release, which GitHub creates after publishing.
const ATTEMPTS: u32 = 5;
/// The pause before the second attempt; doubled before each later one.
const PAUSE: Duration = Duration::from_secs(1);

/// A public release.
pub(super) struct Published {
    pub(super) drafted: Drafted,
    /// The release on GitHub.
    pub(super) release: Release,
    /// Warnings for the user.
    pub(super) warnings: Vec<String>,
}

/// Publishes the draft, after checking the tag and the files again.
///
/// # Errors
/// If the tag has moved, a file has changed, or GitHub refuses.
pub(super) async fn published(context: &Context, Verified(drafted): Verified) -> Result<Published> {
    let github = &drafted.built.ready.clients.github;
    let wanted = &drafted.built.ready.wanted;
    let (tag, commit) = (wanted.fields.tag.as_str(), wanted.fields.commit.as_str());
    let task = context.progress.task(format!("publish {tag}"));
    tree::require_local_tag(&context.workspace, tag, commit)?;
    require_tag(github.tag(tag).await?.as_ref(), tag, commit)?;
    let now = github.release(drafted.release.id).await?;
    require_complete(&drafted, &github.assets(now.id).await?)?;
    if now.draft {
        if !now.says(&wanted.fields) {
            return Err(Error::new(
                Outcome::Network,
                format!("the draft {tag} changed during the release"),
            )
            .because(now.page));
        }
        let latest = decide::is_latest(&wanted.version, &github.releases().await?);
        if let Err(error) = github.publish(now.id, &wanted.fields, latest).await {
            // Another run for the same version may already have published it.
            if github.release(now.id).await?.draft {
                return Err(error.into());
            }
        }
    }
    let (release, warnings) = confirm(&drafted).await?;
    task.done(&match now.draft {
        true => release.page.clone(),
        false => format!("already public: {}", release.page),
    });
    for warning in &warnings {
        context.progress.note(&format!("warning: {warning}"));
    }
    Ok(Published {
        drafted,
        release,
        warnings,
    })
}

/// GitHub's view of the published release.
async fn confirm(drafted: &Drafted) -> Result<(Release, Vec<String>)> {
    let github = &drafted.built.ready.clients.github;
    let fields = &drafted.built.ready.wanted.fields;
    let release = github.release(drafted.release.id).await?;
    if release.draft {
        return Err(Error::new(
            Outcome::Network,
            format!(
                "the release {} is still a draft after publishing",
                release.tag
            ),
        ));
    }
    let tag = github.tag(&fields.tag).await?;
    require_tag(tag.as_ref(), &fields.tag, &fields.commit)?;
    require_complete(drafted, &github.assets(release.id).await?)?;
    let mut warnings = Vec::new();
    match (release.immutable, &tag) {
        (false, _) => warnings.push(format!(
            "the release {} is NOT immutable: anyone with write access can replace its files and its tag. Enable immutable releases (RELEASING.md, \"Set up, once\") before the next one",
            release.tag
        )),
        (true, Some(tag)) => warnings.extend(attestation(drafted, tag).await?),
        (true, None) => {}
    }
    Ok((release, warnings))
}

/// Waits for GitHub's attestation of the release. Returns a warning if it does not appear in time.
async fn attestation(drafted: &Drafted, tag: &TagRef) -> Result<Option<String>> {
    let github = &drafted.built.ready.clients.github;
    for attempt in 0..ATTEMPTS {
        if attempt > 0 {
            tokio::time::sleep(PAUSE * 2_u32.pow(attempt - 1)).await;
        }
        if github.release_attestations(&tag.object).await? > 0 {
            return Ok(None);
        }
    }
    Ok(Some(format!(
        "GitHub has no attestation for the release {0} yet; check later with `gh release verify {0}`",
        drafted.release.tag
    )))
}
