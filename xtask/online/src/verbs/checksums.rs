//! `verify-checksums`: only the pins of what the VM downloads, for use after changing just those.

use polis_base::Digest;

use xtask_host::error::{Error, Result};
use xtask_host::finding::Finding;
use xtask_host::report::Report;
use xtask_online::Endpoints;
use xtask_online::download::hash_url;
use xtask_pins::inventory::{Dependency, Inventory, Pin};
use xtask_pins::pins_env::GuestDownload;
use xtask_pins::verify_pins as offline;

use super::verify_pins;
use crate::context::Context;

/// Runs the verb.
pub(crate) async fn run(context: &Context) -> Result<Report> {
    // Malformed pins stop the verb, with the location of each.
    offline::read_downloads(&context.workspace)?;
    let inventory = Inventory::read(&context.workspace.root)?;
    let fetched =
        |pin: &Pin| matches!(pin.dependency, Dependency::Download(_) | Dependency::Key(_));
    let pins: Vec<Pin> = inventory.pins.into_iter().filter(fetched).collect();
    verify_pins::ask(&context.verifier()?, None, "verify-checksums", &pins).await
}

/// The name of the file in messages.
pub(crate) fn name_of(download: &GuestDownload) -> String {
    let GuestDownload {
        tool,
        version,
        architecture,
        ..
    } = download;
    format!("{tool} {version} {architecture}")
}

/// The digest and size of the content at `url`, with progress.
pub(crate) async fn hash(
    context: &Context,
    endpoints: &Endpoints,
    name: &str,
    url: &str,
) -> Result<(Digest, u64)> {
    let task = context.progress.task(format!("download {name}"));
    let (digest, size) = hash_url(endpoints, url, |done, total| task.bytes(done, total))
        .await
        .map_err(Error::from)?;
    task.done(&format!("{size} bytes"));
    Ok((digest, size))
}

/// The finding for a file that differs from its pin: both values, at the pin.
pub(crate) fn mismatch(download: &GuestDownload, found: Digest) -> Finding {
    let message = format!(
        "{} {} for {} does not match its pin: expected {}, found {}",
        download.tool,
        download.version,
        download.architecture,
        download.sha256.hex(),
        found.hex()
    );
    Finding::error("checksum-mismatch", download.place.clone(), message).help(format!(
        "find out why first: {} no longer serves the bytes that were reviewed",
        download.url
    ))
}
