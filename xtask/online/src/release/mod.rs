//! A release, from a commit to what everyone downloads.
//!
//! Straight-line code: each stage takes what the one before it has made, so that another order does
//! not compile. Everything up to [`plan`] only looks and builds; a refusal there has changed
//! nothing anywhere. Each later stage looks again at its own part of the world just before it acts,
//! with the decisions of [`plan`], so that running the same command again after any failure, or
//! beside another release, ends in the same one.
//!
//! ```text
//! Ready -> Built -> Planned -> Pushed -> Drafted -> Uploaded -> Verified -> Published -> promoted
//! ```
//!
//! A rehearsal is the same code against the servers of a [`scene`].

mod build;
mod draft;
mod dry;
mod lock;
pub(crate) mod plan;
mod preflight;
mod promote;
mod publish;
mod push;
pub(crate) mod scene;
mod times;
mod tree;
mod upload;
mod verify;
mod world;

use std::path::PathBuf;

use semver::Version;

use xtask::cli::Until;
use xtask::error::{Outcome, Result};
use xtask::images::Image;
use xtask_dist::{Archives, Asset, Kind};
use xtask_online::github::{GitHub, Release};
use xtask_online::registry::Registry;

use crate::context::Context;
pub(crate) use dry::dry_run;
pub(crate) use lock::Lock;
use scene::Scene;
pub(crate) use times::Times;

/// The repository whose releases these are.
pub(crate) const REPOSITORY: &str = "odralabshq/polis";

/// What is to be released, and from what.
#[derive(Debug)]
pub(crate) struct Order {
    /// A release or a rehearsal of one.
    pub(crate) kind: Kind,
    /// The version.
    pub(crate) version: Version,
    /// The targets that it has an archive for.
    pub(crate) targets: Vec<String>,
    /// Where the archives come from.
    pub(crate) archives: Archives,
    /// The OCI image layout to take the images from, instead of building them.
    pub(crate) layout: Option<PathBuf>,
    /// Where its files are written.
    pub(crate) dist: PathBuf,
    /// How far it goes.
    pub(crate) until: Until,
    /// The rehearsal's servers and credentials.
    pub(crate) scene: Option<Scene>,
}

impl Order {
    /// The git tag.
    pub(crate) fn tag(&self) -> String {
        format!("v{}", self.version)
    }
}

/// The servers that a release talks to.
pub(crate) struct Clients {
    github: GitHub,
    registry: Registry,
    /// The registry as users ask it, without a login.
    anonymous: Registry,
}

/// What came of a release.
#[derive(Debug)]
pub(crate) struct Released {
    /// The images.
    pub(crate) images: Vec<Image>,
    /// The files.
    pub(crate) assets: Vec<Asset>,
    /// The release on GitHub, where it went that far.
    pub(crate) release: Option<Release>,
    /// Whether the signing key has a password; `None` where nothing was signed.
    pub(crate) protected: Option<bool>,
    /// What a person should know.
    pub(crate) warnings: Vec<String>,
}

/// Runs the release of `order` in the tree of `context`.
///
/// # Errors
/// The first stage that fails. Where running the same command again may help, it says so.
pub(crate) async fn run(context: &Context, order: &Order, times: &mut Times) -> Result<Released> {
    stages(context, order, times)
        .await
        .map_err(|error| match error.outcome {
            Outcome::Network | Outcome::Interrupted => {
                error.hint("then run the same release command again: it goes on from what is there")
            }
            _ => error,
        })
}

async fn stages(context: &Context, order: &Order, times: &mut Times) -> Result<Released> {
    let ready = times
        .stage("preflight", preflight::ready(context, order))
        .await?;
    let built = times
        .stage("build", build::built(context, order, ready))
        .await?;
    let planned = times
        .stage("plan", build::planned(context, order, built))
        .await?;
    let pushed = times.stage("push", push::pushed(context, planned)).await?;
    if order.until == Until::Pushed {
        return Ok(pushed.released());
    }
    let drafted = times
        .stage("draft", draft::drafted(context, pushed))
        .await?;
    let uploaded = times
        .stage("upload", upload::uploaded(context, drafted))
        .await?;
    let verified = times
        .stage("verify", verify::verified(context, uploaded))
        .await?;
    let published = times
        .stage("publish", publish::published(context, verified))
        .await?;
    times
        .stage("promote", promote::promoted(context, published))
        .await
}
