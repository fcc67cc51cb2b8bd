//! `prepare`: sets the version of the next release everywhere in the tree.
//!
//! It does not write what it cannot know: the text of the changelog, and digests, which `pin` writes.

use polis_base::ImageRef;
use semver::Version;

use crate::cli::PrepareArgs;
use xtask_host::error::{Error, Outcome, Result};
use xtask_host::report::Report;
use xtask_host::reports::Prepared;
use xtask_host::workspace::Workspace;
use xtask_pins::edit::{self, Edit};
use xtask_pins::inventory::{FileKind, Files, Inventory, page};
use xtask_pins::versions::{self, CHANGELOG, LOCK, MANIFEST};
use xtask_pins::waivers;

/// # Errors
/// If a file cannot be read or written, the version is invalid, or the changelog has no section for it. No file has
/// changed then.
pub fn run(workspace: &Workspace, args: &PrepareArgs) -> Result<Report> {
    let version = version(workspace, args)?;
    let files = Files::read(&workspace.root)?;
    let (lock, changelog) = (workspace.read(LOCK)?, workspace.read(CHANGELOG)?);
    let manifests = files.of(FileKind::Manifest);
    let manifest = workspace.read(MANIFEST)?;
    let mut edits = versions::set(&version, &manifest, Some(&lock), manifests)?;
    edits.extend(versions::announce(&version, &changelog)?);
    let inventory = Inventory::extract(&files);
    edits.extend(tags(&inventory, &version)?);
    edits.extend(waived(&inventory, &files, &version)?);
    let changes = edit::apply(files.all().chain([&lock, &changelog]), &edits)?;
    let changes = page::follow(workspace, &files, changes)?;
    if !args.check {
        edit::write(&workspace.root, &changes)?;
    }
    let paths: Vec<&str> = changes.iter().map(|change| change.path.as_str()).collect();
    let diff = edit::diff(&changes);
    let text = match args.check {
        _ if changes.is_empty() => format!("the tree already has version {version}"),
        true => format!("{diff}would change; run `cargo xtask prepare {version}`"),
        false => format!("{diff}written to {}", paths.join(", ")),
    };
    let data = Prepared {
        version: version.to_string(),
        files: paths.iter().map(ToString::to_string).collect(),
        written: !args.check && !changes.is_empty(),
        diff,
    };
    let mut report = Report::new("prepare", data, text);
    if args.check && !changes.is_empty() {
        report.outcome = Outcome::Findings;
    }
    Ok(report)
}

/// The requested version, with or without the `v` of its tag, or else that of the tree.
fn version(workspace: &Workspace, args: &PrepareArgs) -> Result<Version> {
    let Some(given) = &args.version else {
        return versions::of_workspace(workspace);
    };
    let number = given.strip_prefix('v').unwrap_or(given);
    number.parse().map_err(|error| {
        Error::usage(format!("`{given}` is not a version"))
            .because(format!("{error}"))
            .hint("name it in full, as in `cargo xtask prepare 1.2.3`")
    })
}

/// Edits that set the tag of the images built here to `version`. Removes a digest that belongs to another version.
fn tags(inventory: &Inventory, version: &Version) -> Result<Vec<Edit>> {
    let built = inventory.pins.iter().filter(|pin| pin.built);
    let built: Vec<String> = built.filter_map(|pin| Some(pin.image()?.name())).collect();
    inventory.edit_images(|image, _| match built.contains(&image.name()) {
        true => tagged(image, version),
        false => Ok(image.clone()),
    })
}

/// Edits that keep the waivers of the images built here: an unpinned image stays waived under its new tag.
fn waived(inventory: &Inventory, files: &Files, version: &Version) -> Result<Vec<Edit>> {
    let mut edits = Vec::new();
    for pin in inventory.pins.iter().filter(|pin| pin.built) {
        if let (Some(image), Some(waiver)) = (pin.image(), &pin.waiver) {
            let to = tagged(image, version)?.to_string();
            let renamed = waivers::rename(&files.waivers, &waiver.image, &to);
            edits.extend(renamed.map_err(|found| Error::in_file(waivers::PATH, found))?);
        }
    }
    Ok(edits)
}

/// The image with the tag of `version`; unchanged if it has that tag.
fn tagged(image: &ImageRef, version: &Version) -> Result<ImageRef> {
    let tag = format!("v{version}");
    if image.tag() == Some(&tag) {
        return Ok(image.clone());
    }
    image.unpinned().with_tag(&tag).map_err(|error| {
        Error::usage(format!("`{tag}` cannot be the tag of an image"))
            .because(error.to_string())
            .hint("take a version without build metadata (`+...`)")
    })
}
