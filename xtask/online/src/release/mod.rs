//! A release, from a commit to what everyone downloads.
//!
//! Straight-line code: each stage takes what the one before it has made, so that another order does
//! not compile. Everything up to [`plan`] only looks and builds; a refusal there has changed
//! nothing anywhere. Each later stage observes its own part again just before it acts,
//! with the decisions of [`decide`], so that running the same command again after any failure, or
//! beside another release, ends in the same one.
//!
//! ```text
//! Ready -> Built -> Planned -> Pushed -> Drafted -> Uploaded -> Verified -> Published -> promoted
//! ```
//!
//! A rehearsal is the same code against the servers of a [`sandbox`].

mod build;
mod decide;
mod draft;
mod dry;
mod lock;
mod observed;
mod order;
mod plan;
mod preflight;
mod promote;
mod publish;
mod push;
mod sandbox;
mod times;
mod tree;
mod upload;
pub(crate) mod verb;
mod verify;

use xtask_host::error::{Outcome, Result};
use xtask_online::args::Until;

use crate::context::Context;
use order::{Order, Released};
use times::Times;

/// Runs the release of `order` in the tree of `context`.
///
/// # Errors
/// The first stage that fails. Where running the same command again may help, it says so.
pub(crate) async fn run(context: &Context, order: &Order, times: &mut Times) -> Result<Released> {
    stages(context, order, times)
        .await
        .map_err(|error| match error.outcome {
            Outcome::Network | Outcome::Interrupted => error.hint(
                "then run the same release command again: it continues from where this one stopped",
            ),
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
