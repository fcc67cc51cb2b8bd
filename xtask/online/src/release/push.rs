//! Pushes the images under their version tags, and attaches the SBOM. No released compose file names these tags yet, so
//! no user is affected.

use xtask_build::images::Image;
use xtask_host::error::Result;

use super::build::{Built, Planned};
use super::order::Released;
use super::{decide, observed};
use crate::context::Context;

/// A release with its images in the registry.
pub(super) struct Pushed(pub(super) Built);

impl Pushed {
    /// The result of a release that ends here.
    pub(super) fn released(self) -> Released {
        Released {
            images: self.0.images,
            assets: Vec::new(),
            release: None,
            protected: None,
            warnings: Vec::new(),
        }
    }
}

/// Pushes the images that the registry does not have yet.
///
/// # Errors
/// If the registry rejects a push, or a version tag of a public release names something else.
pub(super) async fn pushed(context: &Context, Planned(built): Planned) -> Result<Pushed> {
    for image in &built.images {
        push_one(context, &built, image).await?;
    }
    Ok(Pushed(built))
}

async fn push_one(context: &Context, built: &Built, image: &Image) -> Result<()> {
    let clients = &built.ready.clients;
    let tag = &built.ready.wanted.fields.tag;
    let name = image.image.unpinned();
    let task = context.progress.task(format!("push {name}"));
    let releases = clients.github.releases().await?;
    let public = observed::of_tag(&releases, tag).any(|release| !release.draft);
    let held = observed::version_tag(&clients.registry, &image.image).await?;
    let done = match decide::push(&image.image, held, public)? {
        decide::Push::Skip => "already exists".to_owned(),
        decide::Push::Create => {
            let digest = clients
                .registry
                .push_layout(&built.layout, &image.image)
                .await?;
            digest.to_string()
        }
        decide::Push::Replace(was) => {
            let digest = clients
                .registry
                .push_layout(&built.layout, &image.image)
                .await?;
            format!("was {was}, now {digest}")
        }
    };
    task.done(&done);
    let task = context.progress.task(format!("attach the SBOM to {name}"));
    let attached = clients
        .registry
        .attach(&image.image, CYCLONEDX, &built.sbom)
        .await?;
    task.done(match attached {
        true => "attached",
        false => "already exists",
    });
    Ok(())
}

/// The media type of a CycloneDX document, registered by its specification.
const CYCLONEDX: &str = "application/vnd.cyclonedx+json";
