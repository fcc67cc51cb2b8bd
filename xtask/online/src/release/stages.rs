//! The stages up to `dist`: check, checksums, images, pin.

use polis_base::ImageRef;

use xtask::cli::CheckArgs;
use xtask::compose::Compose;
use xtask::error::{Error, Outcome, Result};
use xtask::finding::{Finding, Severity};
use xtask::images;
use xtask::pins::{Files, Inventory, edit};
use xtask::verbs::images::default_layout;
use xtask::verbs::verify_pins;
use xtask::write;
use xtask_dist::{Inputs, Kind, assemble};

use super::plan::Mode;
use super::{Run, out_of_order};
use crate::verbs::checksums;
use crate::verbs::images::push_one;
use crate::verbs::pin;

impl Run {
    pub(super) fn check(&mut self) -> Result<()> {
        let task = self.context.progress.task("check");
        let report = xtask_check::run(&self.context.workspace, &CheckArgs::default())?;
        let (errors, warnings): (Vec<Finding>, Vec<Finding>) = report
            .findings
            .into_iter()
            .partition(|finding| finding.severity == Severity::Error);
        if !errors.is_empty() {
            let failed = Error {
                findings: errors,
                ..Error::findings("the tree does not pass its checks")
            };
            return Err(failed.hint("mend them; `cargo xtask check` shows the same"));
        }
        task.done(&format!("fine, {} warnings", warnings.len()));
        Ok(())
    }

    pub(super) async fn hash_download(&mut self, url: &str) -> Result<()> {
        let pins = verify_pins::read_downloads(&self.context.workspace)?;
        let download = pins
            .downloads
            .iter()
            .find(|download| download.url == url)
            .ok_or_else(|| out_of_order(url))?;
        let (endpoints, expected) = match &self.scene {
            None => (&self.context.endpoints, download.sha256),
            Some(scene) => (scene.downloads(), scene.stand_in_digest(url)),
        };
        let name = checksums::name_of(download);
        let (found, _) = checksums::hash(&self.context, endpoints, &name, url).await?;
        if found == expected {
            return Ok(());
        }
        Err(Error::in_file(
            xtask::pins_env::CLOUD_INIT,
            vec![checksums::mismatch(download, found)],
        ))
    }

    pub(super) fn build_images(&mut self) -> Result<()> {
        let workspace = &self.context.workspace;
        self.images = images::build(workspace, &default_layout(workspace), self.context.progress)?;
        for image in &self.images {
            match self.plan.mode {
                Mode::Execute => image.require_portable()?,
                Mode::Rehearse => {
                    let why = image.not_portable().into_iter();
                    why.for_each(|why| {
                        self.context
                            .progress
                            .note(&format!("{}: {why}", image.image.unpinned()))
                    });
                }
            }
        }
        if self.plan.mode == Mode::Execute {
            self.require_built_as_pinned()?;
        }
        Ok(())
    }

    /// Before anything is pushed: what was built must be what the compose file pins.
    fn require_built_as_pinned(&self) -> Result<()> {
        let compose = Compose::load(&self.context.workspace.root)?;
        for image_use in compose.readable_images()? {
            let Ok(pinned) = image_use.image else {
                continue;
            };
            let Ok(built) = self.image(&pinned.unpinned()) else {
                continue;
            };
            if built.image != pinned {
                return Err(Error::new(
                    Outcome::Drift,
                    format!(
                        "`{}` was built with another digest than is pinned",
                        pinned.unpinned()
                    ),
                )
                .because(format!("pinned: {pinned}\nbuilt:  {}", built.image))
                .hint("run `cargo xtask pin`, commit, and release that commit"));
            }
        }
        Ok(())
    }

    pub(super) async fn push_image(&mut self, image: &ImageRef) -> Result<()> {
        let built = self.image(image)?.clone();
        let context = self.context.clone();
        push_one(&context, self.registry()?, &built).await
    }

    pub(super) async fn pin(&mut self) -> Result<()> {
        let task = self.context.progress.task("pin the images");
        let root = self.context.workspace.root.clone();
        let files = Files::read(&root)?;
        let inventory = match self.plan.mode {
            Mode::Execute => Inventory::extract(&files),
            // What a Dockerfile builds upon is not in the registry of the scene.
            Mode::Rehearse => Inventory::of_stack(&Compose::load(&root)?, Vec::new()),
        };
        let built = self.images.clone();
        let to_resolve = inventory.to_resolve()?;
        let digests = pin::digests(self.registry()?, to_resolve, &built).await?;
        let changes = pin::changes(&files, &inventory, &digests)?;
        match self.plan.mode {
            Mode::Rehearse => write::changes(&root, &changes)?,
            Mode::Execute if changes.is_empty() => {}
            Mode::Execute => {
                return Err(Error::new(
                    Outcome::Drift,
                    "the tree does not hold what the registry serves",
                )
                .because(edit::diff(&changes))
                .hint(
                    "review the change, run `cargo xtask pin`, commit, and release that commit",
                ));
            }
        }
        task.done(&format!(
            "{} images, {} files changed",
            digests.len(),
            changes.len()
        ));
        Ok(())
    }

    pub(super) fn write_dist(&mut self, targets: &[String]) -> Result<()> {
        let kind = self.kind();
        if kind == Kind::Rehearsal {
            self.key = Some(xtask_dist::sign::SigningKey::for_rehearsal()?);
            // The scratch copy is no commit, and nobody is to look for one.
            self.commit = "0".repeat(40);
        }
        let key = self
            .key
            .as_ref()
            .ok_or_else(|| out_of_order("the signing key"))?;
        let inputs = Inputs {
            workspace: &self.context.workspace,
            kind,
            commit: &self.commit,
            targets,
            archives: &self.archives,
            images: &self.images,
            public_key: &key.public_key_file()?,
        };
        let signed = assemble(&inputs, self.context.progress)?.sign(key)?;
        signed.write(&self.dist)?;
        self.assets = signed.assets().to_vec();
        Ok(())
    }
}
