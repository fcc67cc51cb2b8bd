//! `pin`: writes the digests of the images into the compose file, all of them or none.

use std::collections::BTreeMap;

use futures_util::{StreamExt as _, stream};
use polis_base::{Digest, ImageRef};
use serde_json::json;

use xtask::cli::PinArgs;
use xtask::compose::{self, Compose};
use xtask::error::{Error, Outcome, Result};
use xtask::finding::Finding;
use xtask::images::{self, Image};
use xtask::report::Report;
use xtask::verbs::images::default_layout;
use xtask::{pins, write};
use xtask_online::registry::Registry;

use crate::context::Context;
use crate::failure;

/// How many look-ups are under way at once.
const AT_ONCE: usize = 8;

/// Runs the verb.
pub(crate) async fn run(context: &Context, args: &PinArgs) -> Result<Report> {
    let workspace = &context.workspace;
    let compose = Compose::load(&workspace.root)?;
    let built = images::build(workspace, &default_layout(workspace), context.progress)?;
    let registry = context.registry()?;
    let digests = digests(&registry, &compose, &built).await?;
    let text = pins::pinned_text(&compose, &digests)?;
    let changes = changes(&compose.source.text, &text);
    if !args.check && !changes.is_empty() {
        write::atomically(&workspace.root.join(compose::PATH), text.as_bytes())?;
    }
    let said = match (changes.len(), args.check) {
        (0, _) => format!("{} images, all pinned as they are", digests.len()),
        (_, true) => format!(
            "{}\nwould change; run `cargo xtask pin`",
            changes.join("\n")
        ),
        (_, false) => format!("{}\nwritten to {}", changes.join("\n"), compose::PATH),
    };
    let data = json!({
        "changed": changes.len(),
        "written": !args.check && !changes.is_empty(),
        "images": digests.iter().map(|(image, digest)| json!({
            "image": image.to_string(), "digest": digest.to_string(),
        })).collect::<Vec<_>>(),
    });
    let mut report = Report::new("pin", data, said).with_findings(not_portable(&compose, &built));
    if args.check && !changes.is_empty() {
        report.outcome = Outcome::Drift;
    }
    Ok(report)
}

/// The digest of every image of the compose file: of what is built here from the build, of the
/// others from their registry.
///
/// # Errors
/// One that names every image whose look-up failed.
pub(crate) async fn digests(
    registry: &Registry,
    compose: &Compose,
    built: &[Image],
) -> Result<BTreeMap<ImageRef, Digest>> {
    let mut digests: BTreeMap<ImageRef, Digest> = built
        .iter()
        .filter_map(|image| Some((image.image.unpinned(), image.digest()?)))
        .collect();
    let looked_up: Vec<_> = stream::iter(pins::to_resolve(compose)?)
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
        "{} of {} images could not be looked up; `{}` is unchanged",
        errors.len(),
        errors.len() + digests.len(),
        compose::PATH
    );
    failure::all(message, errors).map_or(Ok(digests), Err)
}

/// The lines that differ, as `-` and `+` pairs: an edit never adds or removes a line.
pub(crate) fn changes(before: &str, after: &str) -> Vec<String> {
    let pairs = before.lines().zip(after.lines()).enumerate();
    pairs
        .filter(|(_, (old, new))| old != new)
        .map(|(at, (old, new))| format!("{}:{}\n-{old}\n+{new}", compose::PATH, at + 1))
        .collect()
}

/// A digest of what only this machine builds is no pin for a release.
fn not_portable(compose: &Compose, built: &[Image]) -> Vec<Finding> {
    built
        .iter()
        .filter_map(|image| {
            let why = image.not_portable()?;
            let at = compose.source.text.find(&image.image.name()).unwrap_or(0);
            let place = compose.place(at..at + image.image.name().len());
            let message = format!("`{}` has another digest when a release builds it: {why}", image.image.unpinned());
            Some(Finding::warning("pin-not-portable", place, message)
                .help("install the targets and pin again:\nrustup target add x86_64-unknown-linux-musl aarch64-unknown-linux-musl"))
        })
        .collect()
}
