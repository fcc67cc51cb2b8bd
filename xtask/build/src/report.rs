//! Builds the images for a verb, and reports them.

use std::path::{Path, PathBuf};

use xtask_host::error::Result;
use xtask_host::progress::Progress;
use xtask_host::report::Report;
use xtask_host::reports::release::BuiltImages;
use xtask_host::workspace::Workspace;

use crate::images::{self, Image};

/// Runs `images build`, which writes the layout to `output`.
///
/// # Errors
/// If a build fails; the layout is then unchanged.
pub fn build(workspace: &Workspace, output: Option<PathBuf>, progress: Progress) -> Result<Report> {
    let layout = output.unwrap_or_else(|| default_layout(workspace));
    let images = images::build(workspace, &layout, progress)?;
    Ok(report("images build", &images, &layout))
}

/// The default path of the layout for `images build` and `images push`.
pub fn default_layout(workspace: &Workspace) -> PathBuf {
    workspace.target.join("images")
}

/// The report on built images.
pub fn report(verb: &'static str, images: &[Image], layout: &Path) -> Report {
    let mut text: String = images.iter().map(Image::to_text).collect();
    text.push_str(&format!("OCI image layout: {}\n", layout.display()));
    let data = BuiltImages {
        layout: layout.display().to_string(),
        images: images.iter().map(Image::reported).collect(),
    };
    Report::new(verb, data, text)
}
