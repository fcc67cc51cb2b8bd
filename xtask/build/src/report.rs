//! Builds the images for a verb, and reports them.

use std::path::{Path, PathBuf};

use xtask_host::error::Result;
use xtask_host::progress::Progress;
use xtask_host::report::Report;
use xtask_host::reports::release::BuiltImages;
use xtask_host::workspace::Workspace;

use crate::images::{self, Image};

/// Runs `images build`; `output` is where the layout is written.
///
/// # Errors
/// When a build fails; the layout is then what it was before.
pub fn build(workspace: &Workspace, output: Option<PathBuf>, progress: Progress) -> Result<Report> {
    let layout = output.unwrap_or_else(|| default_layout(workspace));
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
    let data = BuiltImages {
        layout: layout.display().to_string(),
        images: images.iter().map(Image::reported).collect(),
    };
    Report::new(verb, data, text)
}
