//! `images push`: builds the images and pushes them under their version tags.

use xtask_build::images::{self, Image};
use xtask_build::report::{default_layout, report};
use xtask_host::error::Result;
use xtask_host::report::Report;
use xtask_online::args::ImagesPushArgs;
use xtask_online::registry::Registry;

use crate::context::Context;

/// Runs the verb.
pub(crate) async fn push(context: &Context, args: &ImagesPushArgs) -> Result<Report> {
    let layout = default_layout(&context.workspace);
    let built = images::build(&context.workspace, &layout, context.progress)?;
    if !args.partial {
        built.iter().try_for_each(Image::require_portable)?;
    }
    let registry = context.registry()?;
    for image in &built {
        push_one(context, &registry, image).await?;
    }
    Ok(report("images push", &built, &layout))
}

/// Pushes one image from the layout that `images build` wrote.
pub(crate) async fn push_one(context: &Context, registry: &Registry, image: &Image) -> Result<()> {
    let task = context
        .progress
        .task(format!("push {}", image.image.unpinned()));
    let layout = default_layout(&context.workspace);
    let digest = registry.push_layout(&layout, &image.image).await?;
    task.done(&digest.to_string());
    Ok(())
}
