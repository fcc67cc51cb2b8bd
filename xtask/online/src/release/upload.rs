//! Uploads the files that the draft does not have yet, several at a time. A file that GitHub has completely is never
//! deleted: if one of our names is taken by other bytes, the release stops.

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use xtask_dist::{ReleaseFile, SIGNATURE};
use xtask_host::error::{Error, Result};
use xtask_online::github::{self, Upload};

use super::decide::{self, Put};
use super::draft::Drafted;
use crate::context::Context;

/// How many files are transferred at once.
const AT_ONCE: usize = 4;

/// A release that has all of its files.
pub(super) struct Uploaded(pub(super) Drafted);

/// Uploads the files.
///
/// # Errors
/// If GitHub does not respond, or has a file that is not ours.
pub(super) async fn uploaded(context: &Context, drafted: Drafted) -> Result<Uploaded> {
    if !drafted.release.draft {
        // It is public, so nothing is touched. The next stage verifies that it is ours.
        return Ok(Uploaded(drafted));
    }
    let github = &drafted.built.ready.clients.github;
    let there = github.assets(drafted.release.id).await?;
    decide::no_foreign(drafted.files.assets(), &there, &drafted.release.tag)?;
    let mut uploads = Vec::new();
    for asset in drafted.files.assets() {
        uploads.push(upload(context, &drafted, asset, decide::put(asset, &there)));
    }
    stream::iter(uploads)
        .buffer_unordered(AT_ONCE)
        .try_collect::<Vec<()>>()
        .await?;
    Ok(Uploaded(drafted))
}

async fn upload(
    context: &Context,
    drafted: &Drafted,
    asset: &ReleaseFile,
    put: Result<Put>,
) -> Result<()> {
    let github = &drafted.built.ready.clients.github;
    let task = context.progress.task(format!("upload {}", asset.name));
    match put? {
        Put::Skip => return done(task, "already exists"),
        Put::Keep(there) => {
            require_signature(drafted, &there).await?;
            return done(task, "a valid signature already exists");
        }
        Put::Finish(broken) => {
            github
                .delete_unfinished(drafted.release.id, &broken)
                .await?
        }
        Put::Create => {}
    }
    let bytes = drafted
        .files
        .bytes(&asset.name)
        .unwrap_or_default()
        .to_vec();
    match github
        .upload(drafted.release.id, &asset.name, bytes)
        .await?
    {
        Upload::There(_) => done(task, &format!("{} bytes", asset.size)),
        Upload::Other(there) if there.name == SIGNATURE => {
            require_signature(drafted, &there).await?;
            done(task, "a valid signature already exists")
        }
        Upload::Other(there) => Err(decide::other_bytes(asset, &there)),
    }
}

fn done(task: xtask_host::progress::Task, how: &str) -> Result<()> {
    task.done(how);
    Ok(())
}

/// Requires that the signature on GitHub is by our key over our checksums. Signatures are randomized, so it may differ
/// from the one just made.
///
/// # Errors
/// If it is not.
pub(super) async fn require_signature(drafted: &Drafted, there: &github::Asset) -> Result<()> {
    let bytes = drafted.built.ready.clients.github.download(there).await?;
    let text = String::from_utf8_lossy(&bytes);
    let sums = drafted.files.bytes(xtask_dist::SUMS).unwrap_or_default();
    let good = drafted
        .built
        .ready
        .key
        .as_ref()
        .is_some_and(|key| key.verifies(&text, sums));
    match good {
        true => Ok(()),
        false => Err(Error::new(
            xtask_host::error::Outcome::Drift,
            format!("`{SIGNATURE}` of the release does not sign these checksums"),
        )
        .because(there.download.clone())
        .hint("someone signed different files, or used a different key: find out who first")),
    }
}
