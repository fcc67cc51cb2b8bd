//! `dist`: what a release publishes, in `dist/`.

use std::path::Path;

use serde_json::json;

use crate::dist::{self, Archives, Asset, Kind};
use crate::sign::SigningKey;
use xtask::cli::DistArgs;
use xtask::error::Result;
use xtask::progress::Progress;
use xtask::report::Report;
use xtask::workspace::Workspace;

/// Runs the verb.
///
/// # Errors
/// When a build fails, an archive or the signing key is missing, or the file system refuses.
pub fn run(workspace: &Workspace, args: &DistArgs, progress: Progress) -> Result<Report> {
    let output = args
        .output
        .clone()
        .unwrap_or_else(|| workspace.root.join("dist"));
    if args.archive_only {
        let asset = dist::archive_only(workspace, args.target.as_deref(), &output, progress)?;
        return Ok(report(&[asset], &output));
    }
    let archives = match &args.prebuilt {
        Some(dir) => Archives::Prebuilt(dir.clone()),
        None => Archives::Build(args.target.clone()),
    };
    // The key is asked for before anything is built: the build takes a minute, the answer none.
    let key = SigningKey::from_env()?;
    let assets = dist::write_all(workspace, Kind::Release, &archives, &key, &output, progress)?;
    Ok(report(&assets, &output))
}

fn report(assets: &[Asset], output: &Path) -> Report {
    let text: String = assets
        .iter()
        .map(|asset| {
            format!(
                "{}  {}  {} bytes\n",
                asset.sha256.hex(),
                asset.name,
                asset.size
            )
        })
        .collect();
    let data = json!({
        "directory": output.display().to_string(),
        "assets": assets.iter().map(Asset::to_json).collect::<Vec<_>>(),
    });
    Report::new("dist", data, format!("{text}in {}", output.display()))
}
