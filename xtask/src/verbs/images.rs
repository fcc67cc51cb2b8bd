//! `images list`: the images that the compose file builds, and those that it pulls.

use xtask_host::error::Result;
use xtask_host::report::Report;
use xtask_host::reports::{BuildOf, ImageName, ImagesList};
use xtask_host::workspace::Workspace;
use xtask_pins::compose::Compose;
use xtask_pins::inventory::Inventory;

/// # Errors
/// If the compose file cannot be read.
pub fn list(workspace: &Workspace) -> Result<Report> {
    let compose = Compose::load(&workspace.root)?;
    let built = compose.built()?;
    let pulled = Inventory::of_stack(&compose, Vec::new()).to_resolve()?;
    let mut text = String::new();
    for built in &built {
        text.push_str(&format!(
            "built   {}  from {}\n",
            built.image, built.build.dockerfile
        ));
    }
    for image in &pulled {
        text.push_str(&format!("pulled  {image}\n"));
    }
    let built = built.iter().map(|built| BuildOf {
        image: ImageName::of(&built.image),
        context: built.build.context.clone(),
        dockerfile: built.build.dockerfile.clone(),
    });
    let data = ImagesList {
        built: built.collect(),
        pulled: pulled.iter().map(ImageName::of).collect(),
    };
    Ok(Report::new("images list", data, text))
}
