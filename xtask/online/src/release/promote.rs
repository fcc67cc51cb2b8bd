//! Moves `latest`, on GitHub and in the registry, to the newest public version.
//!
//! Neither offers a compare-and-swap, so two concurrent releases could move it backwards: the older one reads, the newer
//! one finishes, the older one writes. Each therefore reads again after every write, and moves `latest` to the newest
//! version at that time, whether it is its own or not.

use polis_base::{Digest, ImageRef};
use semver::Version;

use xtask_dist::sign::SigningKey;
use xtask_host::error::{Error, Outcome, Result};
use xtask_online::github::{GitHub, Release};
use xtask_online::registry::Registry;

use super::decide::{self, Promotion};
use super::observed::LatestTag;
use super::order::{Clients, Released};
use super::publish::Published;
use crate::context::Context;

/// How often to look at `latest` again. Each further look means that another release was published.
const MOST_LOOKS: usize = 8;

/// Moves `latest` and completes the release.
///
/// # Errors
/// If GitHub or the registry does not respond, or the version of `latest` cannot be read.
pub(super) async fn promoted(context: &Context, published: Published) -> Result<Released> {
    let Published {
        drafted,
        release,
        warnings,
    } = published;
    let built = drafted.built;
    if built.ready.wanted.version.pre.is_empty() {
        let clients = &built.ready.clients;
        settle_github(context, &clients.github).await?;
        for image in &built.images {
            settle_image(context, clients, &built.ready.wanted.version, &image.image).await?;
        }
    }
    Ok(Released {
        images: built.images,
        assets: drafted.files.assets().to_vec(),
        release: Some(release),
        protected: built.ready.key.as_ref().map(SigningKey::is_protected),
        warnings,
    })
}

async fn settle_github(context: &Context, github: &GitHub) -> Result<()> {
    let task = context.progress.task("GitHub's latest release");
    for _ in 0..MOST_LOOKS {
        let releases = github.releases().await?;
        let latest = github.latest().await?;
        decide::readable_latest(latest.as_ref())?;
        let Some((version, newest)) = decide::newest(&releases) else {
            task.done("none");
            return Ok(());
        };
        let there = latest
            .as_ref()
            .and_then(|latest| decide::version_of_tag(&latest.tag));
        if there.is_some_and(|there| there >= version) {
            task.done(&latest.map_or_else(String::new, |latest| latest.tag));
            return Ok(());
        }
        github.make_latest(newest.id).await?;
    }
    Err(unstable("GitHub's latest release"))
}

async fn settle_image(
    context: &Context,
    clients: &Clients,
    version: &Version,
    ours: &ImageRef,
) -> Result<()> {
    let name = format!("{}:latest", ours.name());
    let task = context.progress.task(name.clone());
    for _ in 0..MOST_LOOKS {
        let releases = clients.github.releases().await?;
        let (newest, digest) = target(&clients.registry, &releases, version, ours).await?;
        let latest = LatestTag::observe(&clients.registry, ours).await?;
        match decide::promote(ours, &newest, Some(digest), &latest)? {
            Promotion::Stay(why) => {
                task.done(&why);
                return Ok(());
            }
            Promotion::Move(_) => {
                let pinned = ours.unpinned().pinned(digest);
                clients.registry.retag(&pinned, "latest").await?;
            }
        }
    }
    Err(unstable(&name))
}

/// The image that `latest` should name: that of the newest public version whose image exists.
async fn target(
    registry: &Registry,
    releases: &[Release],
    version: &Version,
    ours: &ImageRef,
) -> Result<(Version, Digest)> {
    let newer = decide::newest(releases).filter(|(newest, _)| newest > version);
    if let Some((newest, release)) = newer {
        let image = ours
            .unpinned()
            .with_tag(&release.tag)
            .map_err(|error| Error::machine(error.to_string()))?;
        match registry.resolve(&image).await {
            Ok(digest) => return Ok((newest, digest)),
            // A later version may no longer have this image.
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error.into()),
        }
    }
    let digest = ours
        .digest()
        .ok_or_else(|| Error::machine(format!("`{ours}` was built without a digest")))?;
    Ok((version.clone(), digest))
}

fn unstable(what: &str) -> Error {
    Error::new(
        Outcome::Network,
        format!("{what} keeps changing: other releases are moving it"),
    )
}
