//! `pin`: writes the digests of the images into the files that name them, all of them or none.

use std::collections::BTreeMap;

use futures_util::{StreamExt as _, stream};
use polis_base::{Digest, ImageRef};

use xtask_build::images::{self, Image};
use xtask_build::report::default_layout;
use xtask_host::error::{Error, Outcome, Result};
use xtask_host::finding::Finding;
use xtask_host::report::Report;
use xtask_host::reports::ImageName;
use xtask_host::reports::network as reports;
use xtask_online::args::PinArgs;
use xtask_online::registry::Registry;
use xtask_pins::edit::{self, Change};
use xtask_pins::inventory::page;
use xtask_pins::inventory::{Files, Inventory};
use xtask_pins::waivers;

use crate::context::Context;
use crate::failure;

/// How many lookups run at once.
const AT_ONCE: usize = 8;

/// Runs the verb.
pub(crate) async fn run(context: &Context, args: &PinArgs) -> Result<Report> {
    let workspace = &context.workspace;
    let files = Files::read(&workspace.root)?;
    let inventory = Inventory::extract(&files);
    let to_resolve = inventory.to_resolve()?;
    let built = images::build(workspace, &default_layout(workspace), context.progress)?;
    let digests = digests(&context.registry()?, to_resolve, &built).await?;
    let mut edits = inventory.pin_images(&digests)?;
    // Everything is pinned afterwards, so no waiver is needed any more.
    edits.extend(waivers::delete_all(&files.waivers).map_err(unreadable)?);
    let changes = edit::apply(files.all(), &edits)?;
    let changes = page::follow(workspace, &files, changes)?;
    if !args.check {
        edit::write(&workspace.root, &changes)?;
    }
    let paths: Vec<&str> = changes.iter().map(|change| change.path.as_str()).collect();
    let said = match args.check {
        _ if changes.is_empty() => format!("all {} images are already pinned", digests.len()),
        true => format!(
            "{}would change; run `cargo xtask pin`",
            edit::diff(&changes)
        ),
        false => format!("{}written to {}", edit::diff(&changes), paths.join(", ")),
    };
    let pinned = digests.iter().map(|(image, digest)| reports::PinnedImage {
        image: ImageName::of(image),
        digest: reports::Digest::of(*digest),
    });
    let data = reports::Pinned {
        files: paths.iter().map(ToString::to_string).collect(),
        written: !args.check && !changes.is_empty(),
        diff: edit::diff(&changes),
        images: pinned.collect(),
    };
    let warnings = not_portable(&inventory, &built);
    let mut report = Report::new("pin", data, said).with_findings(warnings);
    if args.check && !changes.is_empty() {
        report.outcome = Outcome::Drift;
    }
    Ok(report)
}

fn unreadable(findings: Vec<Finding>) -> Error {
    Error::in_file(waivers::PATH, findings)
}

/// The changes to `files` from pinning the images of `inventory` to `digests`.
pub(crate) fn changes(
    files: &Files,
    inventory: &Inventory,
    digests: &BTreeMap<ImageRef, Digest>,
) -> Result<Vec<Change>> {
    edit::apply(files.all(), &inventory.pin_images(digests)?)
}

/// The digest of every image: from the build for images built here, and from the registries for those in `to_resolve`.
///
/// # Errors
/// One error that names every failed lookup.
pub(crate) async fn digests(
    registry: &Registry,
    to_resolve: Vec<ImageRef>,
    built: &[Image],
) -> Result<BTreeMap<ImageRef, Digest>> {
    let mut digests: BTreeMap<ImageRef, Digest> = built
        .iter()
        .filter_map(|image| Some((image.image.unpinned(), image.digest()?)))
        .collect();
    let looked_up: Vec<_> = stream::iter(to_resolve)
        .map(|image| async move { (registry.resolve(&image).await, image) })
        .buffered(AT_ONCE)
        .collect()
        .await;
    let mut errors = Vec::new();
    for (digest, image) in looked_up {
        match digest {
            Ok(digest) => {
                digests.insert(image, digest);
            }
            Err(error) => errors.push(Error::from(error)),
        }
    }
    let message = format!(
        "{} of {} images could not be looked up; nothing was changed",
        errors.len(),
        errors.len() + digests.len(),
    );
    failure::all(message, errors).map_or(Ok(digests), Err)
}

/// Digests that only this machine can build are useless as pins for a release.
fn not_portable(inventory: &Inventory, built: &[Image]) -> Vec<Finding> {
    let warnings = built.iter().filter_map(|image| {
        let why = image.not_portable()?;
        let name = image.image.unpinned();
        let pin = inventory
            .images()
            .find(|pin| pin.image().map(ImageRef::unpinned).as_ref() == Some(&name))?;
        let message = format!("`{name}` gets a different digest when a release builds it: {why}");
        Some(Finding::warning("pin-not-portable", pin.place().clone(), message)
            .help("install the targets and pin again:\nrustup target add x86_64-unknown-linux-musl aarch64-unknown-linux-musl"))
    });
    warnings.collect()
}
