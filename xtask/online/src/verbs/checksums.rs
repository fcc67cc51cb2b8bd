//! `verify-checksums`: downloads what the VM downloads, streaming, and compares the checksums.

use futures_util::future::join_all;
use polis_base::Digest;
use serde_json::json;

use xtask::error::{Error, Outcome, Result};
use xtask::finding::Finding;
use xtask::pins_env::Download;
use xtask::report::Report;
use xtask::verbs::verify_pins;
use xtask_online::Endpoints;
use xtask_online::download::hash_url;

use crate::context::Context;

/// Runs the verb.
pub(crate) async fn run(context: &Context) -> Result<Report> {
    let pins = verify_pins::read_downloads(&context.workspace)?;
    let mut findings = Vec::new();
    let mut text = String::new();
    let mut outcome = Outcome::Ok;
    let mut data = Vec::new();
    // All at once: a server that does not answer costs its patience once, not for each file.
    let hashed = pins.downloads.iter().map(|download| async move {
        let name = name_of(download);
        let hashed = hash(context, &context.endpoints, &name, &download.url).await;
        (download, name, hashed)
    });
    for (download, name, hashed) in join_all(hashed).await {
        let state = match &hashed {
            Ok((found, _)) if *found == download.sha256 => "ok",
            Ok((found, _)) => {
                findings.push(mismatch(download, *found));
                "mismatch"
            }
            Err(error) => {
                outcome = outcome.max(error.outcome);
                text.push_str(&format!("{error}\n"));
                "failed"
            }
        };
        text.push_str(&format!("{state:<9} {name}  {}\n", download.url));
        data.push(json!({
            "tool": download.tool, "version": download.version, "architecture": download.architecture,
            "url": download.url, "pinned": download.sha256.hex(), "state": state,
            "found": hashed.as_ref().ok().map(|(found, _)| found.hex()),
            "bytes": hashed.as_ref().ok().map(|(_, bytes)| bytes),
        }));
    }
    let mut report =
        Report::new("verify-checksums", json!({"downloads": data}), text).with_findings(findings);
    report.outcome = outcome;
    Ok(report)
}

/// The file as messages call it.
pub(crate) fn name_of(download: &Download) -> String {
    let Download {
        tool,
        version,
        architecture,
        ..
    } = download;
    format!("{tool} {version} {architecture}")
}

/// The digest and size of what `url` serves, with progress.
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

/// The finding for a file that is not what is pinned: both values, at the pin.
pub(crate) fn mismatch(download: &Download, found: Digest) -> Finding {
    let message = format!(
        "{} {} for {} is not what is pinned: expected {}, found {}",
        download.tool,
        download.version,
        download.architecture,
        download.sha256.hex(),
        found.hex()
    );
    Finding::error("checksum-mismatch", download.place.clone(), message).help(format!(
        "find out why before anything else: {} serves other bytes than those that were reviewed",
        download.url
    ))
}
