//! The second stage builds, hashes and checks everything to release. The third compares it with what is already
//! published. Neither changes anything outside this machine.

use std::path::PathBuf;

use futures_util::future::join_all;
use polis_base::Digest;
use tokio::task::spawn_blocking;

use xtask_build::images::{self, Image};
use xtask_build::report::default_layout;
use xtask_check::CheckArgs;
use xtask_dist::{Inputs, ReleaseKind, Signed};
use xtask_host::error::{Error, Outcome, Result};
use xtask_host::finding::{Finding, Severity};
use xtask_pins::compose::Compose;
use xtask_pins::edit;
use xtask_pins::inventory::{Files, Inventory};
use xtask_pins::pins_env::GuestDownload;
use xtask_pins::verify_pins;

use super::order::Order;
use super::plan::Plan;
use super::preflight::{Problems, Ready, observe};
use super::sandbox;
use crate::context::Context;
use crate::verbs::{checksums, pin};

/// The build results, with their inputs.
pub(super) struct Built {
    pub(super) ready: Ready,
    pub(super) images: Vec<Image>,
    /// The OCI image layout of the images.
    pub(super) layout: PathBuf,
    /// The SBOM of the image, a CycloneDX document.
    pub(super) sbom: Vec<u8>,
    /// The files; `None` for a release that ends before they are needed.
    pub(super) files: Option<Signed>,
}

/// The build results, after nothing published was found to conflict with them.
pub(super) struct Planned(pub(super) Built);

/// Checks the tree, hashes what the VM downloads, and builds images and files, in parallel.
///
/// # Errors
/// Everything that failed.
pub(super) async fn built(context: &Context, order: &Order, ready: Ready) -> Result<Built> {
    let mut problems = Problems::default();
    let check = {
        let workspace = context.workspace.clone();
        let task = context.progress.task("check the tree");
        spawn_blocking(move || {
            let checked = check(&workspace);
            if let Ok(warnings) = &checked {
                task.done(&format!("fine, {warnings} warnings"));
            }
            checked
        })
    };
    let images = {
        let (context, layout) = (context.clone(), order.layout.clone());
        let kind = order.kind;
        spawn_blocking(move || images_of(&context, kind, layout))
    };
    let (checked, downloaded, images) =
        tokio::join!(check, hash_downloads(context, order.kind), images);
    problems.ask(checked.unwrap_or_else(|error| Err(crashed(&error))));
    problems.add(downloaded);
    let images = problems.ask(images.unwrap_or_else(|error| Err(crashed(&error))));
    problems.end()?;
    let (images, layout) = images.unwrap_or_default();
    let (signed, sbom) = files(context, order, &ready, &images).await?;
    Ok(Built {
        ready,
        images,
        layout,
        sbom,
        files: signed,
    })
}

fn check(workspace: &xtask_host::workspace::Workspace) -> Result<usize> {
    let report = xtask_check::run(workspace, &CheckArgs::default())?;
    let (errors, warnings): (Vec<Finding>, Vec<Finding>) = report
        .findings
        .into_iter()
        .partition(|finding| finding.severity == Severity::Error);
    if errors.is_empty() {
        return Ok(warnings.len());
    }
    let failed = Error {
        findings: errors,
        ..Error::findings("the tree does not pass its checks")
    };
    Err(failed.hint("fix these findings; `cargo xtask check` shows them too"))
}

/// Downloads everything that the VM downloads, concurrently, and compares the checksums.
async fn hash_downloads(context: &Context, kind: ReleaseKind) -> Vec<Error> {
    let downloads = match verify_pins::read_downloads(&context.workspace) {
        Ok(pins) => pins.downloads,
        Err(error) => return vec![error],
    };
    let hashed = downloads
        .iter()
        .map(|download| hash_download(context, kind, download));
    let hashed = join_all(hashed).await;
    hashed.into_iter().filter_map(Result::err).collect()
}

async fn hash_download(
    context: &Context,
    kind: ReleaseKind,
    download: &GuestDownload,
) -> Result<()> {
    let expected = match kind {
        ReleaseKind::Release => download.sha256,
        ReleaseKind::Rehearsal => Digest::of(&sandbox::stand_in(&download.url)),
    };
    let name = checksums::name_of(download);
    let (found, _) = checksums::hash(context, &context.endpoints, &name, &download.url).await?;
    if found == expected {
        return Ok(());
    }
    Err(Error::in_file(
        xtask_pins::pins_env::CLOUD_INIT,
        vec![checksums::mismatch(download, found)],
    ))
}

/// The images and their layout: built here, or taken from `given`.
fn images_of(
    context: &Context,
    kind: ReleaseKind,
    given: Option<PathBuf>,
) -> Result<(Vec<Image>, PathBuf)> {
    let workspace = &context.workspace;
    let (built, layout) = match given {
        Some(layout) => (images::of_layout(workspace, &layout)?, layout),
        None => {
            let layout = default_layout(workspace);
            (images::build(workspace, &layout, context.progress)?, layout)
        }
    };
    for image in &built {
        match (kind, image.not_portable()) {
            (ReleaseKind::Release, _) => image.require_portable()?,
            (ReleaseKind::Rehearsal, Some(why)) => {
                let name = image.image.unpinned();
                context.progress.note(&format!("{name}: {why}"));
            }
            (ReleaseKind::Rehearsal, None) => {}
        }
    }
    require_built_as_pinned(context, &built)?;
    Ok((built, layout))
}

/// Requires that the built images are those that the compose file pins.
fn require_built_as_pinned(context: &Context, images: &[Image]) -> Result<()> {
    let compose = Compose::load(&context.workspace.root)?;
    for image_use in compose.readable_images()? {
        let Ok(pinned) = image_use.image else {
            continue;
        };
        let built = images
            .iter()
            .find(|built| built.image.unpinned() == pinned.unpinned());
        if let Some(built) = built.filter(|built| built.image != pinned) {
            let message = format!(
                "`{}` was built with a different digest than the pinned one",
                pinned.unpinned()
            );
            return Err(Error::new(Outcome::Drift, message)
                .because(format!("pinned: {pinned}\nbuilt:  {}", built.image))
                .hint("run `cargo xtask pin`, commit, and release that commit"));
        }
    }
    Ok(())
}

/// The files of the release, signed if there is a key, and the SBOM of the image.
async fn files(
    context: &Context,
    order: &Order,
    ready: &Ready,
    images: &[Image],
) -> Result<(Option<Signed>, Vec<u8>)> {
    let (workspace, progress) = (context.workspace.clone(), context.progress);
    let (kind, targets) = (order.kind, order.targets.clone());
    let (archives, images) = (order.archives.clone(), images.to_vec());
    let (commit, public_key) = (ready.wanted.fields.commit.clone(), ready.public_key.clone());
    let assembled = spawn_blocking(move || {
        let inputs = Inputs {
            workspace: &workspace,
            kind,
            commit: &commit,
            targets: &targets,
            archives: &archives,
            images: &images,
            public_key: &public_key,
        };
        xtask_dist::assemble(&inputs, progress)
    });
    let assembled = assembled
        .await
        .unwrap_or_else(|error| Err(crashed(&error)))?;
    let sbom = xtask_dist::sbom_name("polis-init", &kind.label(&order.version));
    let sbom = assembled.bytes(&sbom).unwrap_or_default().to_vec();
    let Some(key) = &ready.key else {
        return Ok((None, sbom));
    };
    let signed = assembled.sign(key)?;
    signed.write(&order.dist)?;
    Ok((Some(signed), sbom))
}

fn crashed(error: &tokio::task::JoinError) -> Error {
    Error::machine("a task of the release crashed").because(error.to_string())
}

/// Resolves every image, observes again and decides; refuses before anything is changed.
///
/// # Errors
/// Everything that prevents the release.
pub(super) async fn planned(context: &Context, order: &Order, mut built: Built) -> Result<Planned> {
    require_served(context, order.kind, &built).await?;
    let assets = built.files.as_ref().map(|files| files.assets().to_vec());
    built.ready.wanted.assets = assets;
    built.ready.wanted.images = built
        .images
        .iter()
        .map(|image| image.image.clone())
        .collect();
    let observed = observe(&built.ready.clients, &built.ready.wanted).await?;
    let plan = Plan::new(&observed, &built.ready.wanted, order.until);
    context.progress.note(plan.to_text().trim_end());
    let mut problems = Problems::default();
    problems.add(plan.refusals);
    problems.end()?;
    Ok(Planned(built))
}

/// Requires that the registries serve every image that the tree pins.
async fn require_served(context: &Context, kind: ReleaseKind, built: &Built) -> Result<()> {
    let task = context.progress.task("resolve the pinned images");
    let root = &context.workspace.root;
    let files = Files::read(root)?;
    let inventory = match kind {
        ReleaseKind::Release => Inventory::extract(&files),
        // The sandbox's registry does not have the base images of Dockerfiles.
        ReleaseKind::Rehearsal => Inventory::of_stack(&Compose::load(root)?, Vec::new()),
    };
    let to_resolve = inventory.to_resolve()?;
    let digests = pin::digests(&built.ready.clients.registry, to_resolve, &built.images).await?;
    let changes = pin::changes(&files, &inventory, &digests)?;
    if !changes.is_empty() {
        return Err(Error::new(
            Outcome::Drift,
            "the pins in the tree differ from what the registry serves",
        )
        .because(edit::diff(&changes))
        .hint("review the change, run `cargo xtask pin`, commit, and release that commit"));
    }
    task.done(&format!("{} images, all as pinned", digests.len()));
    Ok(())
}
