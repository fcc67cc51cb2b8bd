//! Verifies that GitHub and the registry have what was built: downloads every file, and resolves every image as users
//! do.

use futures_util::future::try_join_all;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use polis_base::Digest;

use xtask_build::images::Image;
use xtask_dist::{ReleaseFile, SIGNATURE};
use xtask_host::error::{Error, Outcome, Result};
use xtask_online::github;

use super::decide;
use super::draft::Drafted;
use super::upload::{Uploaded, require_signature};
use crate::context::Context;

/// How many files are transferred at once.
const AT_ONCE: usize = 4;

/// A release whose files and images have been verified.
pub(super) struct Verified(pub(super) Drafted);

/// Downloads and compares everything.
///
/// # Errors
/// If something is missing, differs, or is not available without credentials.
pub(super) async fn verified(context: &Context, Uploaded(drafted): Uploaded) -> Result<Verified> {
    let there = drafted
        .built
        .ready
        .clients
        .github
        .assets(drafted.release.id)
        .await?;
    require_complete(&drafted, &there)?;
    let mut files = Vec::new();
    for asset in &there {
        files.push(verify_file(context, &drafted, asset));
    }
    let files = stream::iter(files)
        .buffer_unordered(AT_ONCE)
        .try_collect::<Vec<()>>();
    let mut images = Vec::new();
    for image in &drafted.built.images {
        images.push(verify_image(context, &drafted, image));
    }
    let images = try_join_all(images);
    tokio::try_join!(files, images)?;
    Ok(Verified(drafted))
}

/// Requires that `there` are exactly our files, by name, size and, where GitHub knows it, digest.
///
/// # Errors
/// If a file is missing, is not ours or has other bytes.
pub(super) fn require_complete(drafted: &Drafted, there: &[github::Asset]) -> Result<()> {
    let tag = &drafted.release.tag;
    decide::no_foreign(drafted.files.assets(), there, tag)?;
    for ours in drafted.files.assets() {
        match github::ExistingAsset::find(there, &ours.name, ours.size, ours.sha256) {
            github::ExistingAsset::Same(_) => {}
            github::ExistingAsset::Other(_) if ours.name == SIGNATURE => {}
            github::ExistingAsset::Other(there) => return Err(decide::other_bytes(ours, &there)),
            github::ExistingAsset::Absent | github::ExistingAsset::Unfinished(_) => {
                return Err(Error::new(
                    Outcome::Drift,
                    format!("the release {tag} lacks `{}`, or has only a part of it", ours.name),
                )
                .hint("run the same command again; if the release is already public, release the next version"));
            }
        }
    }
    Ok(())
}

async fn verify_file(context: &Context, drafted: &Drafted, asset: &github::Asset) -> Result<()> {
    let task = context.progress.task(format!("verify {}", asset.name));
    let ours = drafted
        .files
        .assets()
        .iter()
        .find(|ours| ours.name == asset.name);
    let bytes = drafted.built.ready.clients.github.download(asset).await?;
    let found = Digest::of(&bytes);
    if ours.is_some_and(|ours| ours.sha256 == found) {
        task.done("identical");
        return Ok(());
    }
    if asset.name == SIGNATURE {
        require_signature(drafted, asset).await?;
        task.done("a valid signature from an earlier run");
        return Ok(());
    }
    Err(different_bytes(asset, ours, found))
}

fn different_bytes(asset: &github::Asset, ours: Option<&ReleaseFile>, found: Digest) -> Error {
    let expected = ours.map_or_else(String::new, |ours| ours.sha256.hex());
    let message = format!(
        "`{}` was downloaded with different bytes than were uploaded",
        asset.download
    );
    Error::new(Outcome::Drift, message)
        .because(format!("expected {expected}\nfound    {}", found.hex()))
}

/// Resolves the image as users do, without credentials. A package that is still private fails here, before anything is
/// public.
async fn verify_image(context: &Context, drafted: &Drafted, image: &Image) -> Result<()> {
    let name = image.image.unpinned();
    let task = context.progress.task(format!("verify {name}"));
    let anonymous = &drafted.built.ready.clients.anonymous;
    let found = anonymous.resolve(&name).await.map_err(|error| {
        Error::from(error).because("users pull without a login; a new package on ghcr.io is private until its visibility is changed")
    })?;
    let expected = image.digest();
    if expected == Some(found) {
        task.done("the same digest");
        return Ok(());
    }
    let expected = expected.map_or_else(String::new, |digest| digest.to_string());
    Err(Error::new(
        Outcome::Drift,
        format!("`{name}` names a different digest than the one pushed"),
    )
    .because(format!("expected {expected}\nfound    {found}")))
}
