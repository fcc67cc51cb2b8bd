//! A release, from a commit to public downloads.
//!
//! The code is linear: each stage takes the result of the previous one, so a different order does not compile. Stages
//! up to [`plan`] only read and build; if they refuse, nothing has changed anywhere. Each later stage observes its part
//! again just before it acts, and decides by [`decide`]. Running the same command again after any failure, or beside
//! another release, therefore ends in the same state.
//!
//! ```text
//! Ready -> Built -> Planned -> Pushed -> Drafted -> Uploaded -> Verified -> Published -> promoted
//! ```
//!
//! A rehearsal runs the same code against the servers of a [`sandbox`].

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
/// Those of the first stage that fails, with a hint if running the same command again may help.
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
