//! `images list` and `images build`: what the compose file builds, and the OCI layout of it.

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::cli::ImagesBuildArgs;
use xtask_build::images::{self, Image};
use xtask_host::error::Result;
use xtask_host::progress::Progress;
use xtask_host::report::Report;
use xtask_host::workspace::Workspace;
use xtask_pins::compose::Compose;
use xtask_pins::inventory::Inventory;

/// Runs `images list`.
///
/// # Errors
/// When the compose file cannot be read.
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
    let data = json!({
        "built": built.iter().map(|built| json!({
            "image": built.image.to_string(),
            "context": built.build.context,
            "dockerfile": built.build.dockerfile,
        })).collect::<Vec<_>>(),
        "pulled": pulled.iter().map(ToString::to_string).collect::<Vec<_>>(),
    });
    Ok(Report::new("images list", data, text))
}

/// Runs `images build`.
///
/// # Errors
/// When a build fails; the layout is then what it was before.
pub fn build(workspace: &Workspace, args: &ImagesBuildArgs, progress: Progress) -> Result<Report> {
    let layout = args
        .output
        .clone()
        .unwrap_or_else(|| default_layout(workspace));
    let images = images::build(workspace, &layout, progress)?;
    Ok(report("images build", &images, &layout))
}

/// Where `images build` and `images push` put the layout by default.
pub fn default_layout(workspace: &Workspace) -> PathBuf {
    workspace.target.join("images")
}

/// The report over built images.
pub fn report(verb: &'static str, images: &[Image], layout: &Path) -> Report {
    let mut text: String = images.iter().map(Image::to_text).collect();
    text.push_str(&format!("OCI image layout: {}\n", layout.display()));
    let data = json!({
        "layout": layout.display().to_string(),
        "images": images.iter().map(Image::to_json).collect::<Vec<_>>(),
    });
    Report::new(verb, data, text)
}
