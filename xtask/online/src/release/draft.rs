//! Creates the draft, or reuses and corrects an existing one.

use xtask_dist::Signed;
use xtask_host::error::{Error, Result};
use xtask_host::write;
use xtask_online::NetError;
use xtask_online::github::Release;

use super::build::Built;
use super::decide::{self, Draft};
use super::push::Pushed;
use crate::context::Context;

/// A release with a draft, or one that is already public.
pub(super) struct Drafted {
    pub(super) built: Built,
    /// Its files.
    pub(super) files: Signed,
    /// The release on GitHub.
    pub(super) release: Release,
}

/// Finds or creates the draft.
///
/// # Errors
/// If GitHub does not respond, or a person has to choose among drafts.
pub(super) async fn drafted(context: &Context, Pushed(mut built): Pushed) -> Result<Drafted> {
    let files = built
        .files
        .take()
        .ok_or_else(|| Error::machine("a draft needs the signed files of the release"))?;
    let wanted = &built.ready.wanted.fields;
    let task = context.progress.task(format!("draft {}", wanted.tag));
    let github = &built.ready.clients.github;
    let (found, _) = decide::draft(&github.releases().await?, &wanted.tag)?;
    let (release, how) = match found {
        Draft::Public(release) => (release, "already public"),
        Draft::TakeUp(release) if release.says(wanted) => (release, "reused"),
        Draft::TakeUp(release) => {
            keep_notes(context, &release)?;
            (
                github.correct(release.id, wanted).await?,
                "reused and corrected",
            )
        }
        Draft::Create => (create(&built).await?, "created"),
    };
    task.done(how);
    Ok(Drafted {
        built,
        files,
        release,
    })
}

/// Creates a draft. GitHub allows two clients to create two drafts of a tag, so each client looks again afterwards. All
/// agree on the oldest draft, and each deletes its own if it is not that one.
async fn create(built: &Built) -> Result<Release> {
    let (github, wanted) = (&built.ready.clients.github, &built.ready.wanted.fields);
    let made = github.create_draft(wanted).await;
    if let Err(error) = &made
        && !error.is_temporary()
    {
        return Err(error.clone().into());
    }
    // Also after a lost response, because the draft may have been created.
    match (
        decide::draft(&github.releases().await?, &wanted.tag)?.0,
        made,
    ) {
        (Draft::TakeUp(chosen) | Draft::Public(chosen), Ok(made)) if chosen.id != made.id => {
            github.delete_empty_draft(made.id).await?;
            Ok(chosen)
        }
        (Draft::TakeUp(chosen) | Draft::Public(chosen), _) => Ok(chosen),
        (Draft::Create, Ok(made)) => {
            let lost = format!(
                "the draft {} was created but is missing from the list of releases",
                made.id
            );
            Err(NetError::unusable(made.page, lost).into())
        }
        (Draft::Create, Err(_)) => Ok(github.create_draft(wanted).await?),
    }
}

/// Saves text that a person may have written into a draft before it is replaced.
fn keep_notes(context: &Context, release: &Release) -> Result<()> {
    let name = format!("draft-{}.md", release.id);
    let path = context.workspace.target.join("replaced").join(name);
    let text = format!("# {}\n\n{}\n", release.name, release.body);
    write::atomically(&path, text.as_bytes())?;
    let kept = format!(
        "the previous title and notes are kept in {}",
        path.display()
    );
    context.progress.note(&kept);
    Ok(())
}
