//! Runs a release plan, step by step, exactly as it was printed.
//!
//! A real release and a rehearsal differ in the scene ([`scene`]) and in the preflight; every
//! other step is the same code. Each step first looks at what is there, so that running a
//! release again after any failure goes on from where it stopped.

mod github;
pub(crate) mod plan;
mod preflight;
pub(crate) mod scene;
mod stages;

use xtask::error::{Error, Result};
use xtask::images::Image;
use xtask_dist::sign::SigningKey;
use xtask_dist::{Archives, Asset, Kind};
use xtask_online::github::{GitHub, Release};
use xtask_online::registry::Registry;

use crate::context::Context;
use crate::failure;
use plan::{Mode, Plan, Stage, Step};
use scene::Scene;

/// Where the releases of Polis live.
pub(crate) const OWNER: &str = "odralabshq";
/// The repository there.
pub(crate) const REPO: &str = "polis";

/// A release under way.
pub(crate) struct Run {
    /// The tree that is released, and where hosts are reached. In a rehearsal, after its first
    /// steps, the scratch copy and the servers on loopback.
    pub(crate) context: Context,
    /// The plan.
    pub(crate) plan: Plan,
    /// The rehearsal's world.
    pub(crate) scene: Option<Scene>,
    /// Where the CLI archives come from.
    pub(crate) archives: Archives,
    /// Where `dist/` is written.
    pub(crate) dist: std::path::PathBuf,
    /// The images that were built.
    pub(crate) images: Vec<Image>,
    /// The files that were written.
    pub(crate) assets: Vec<Asset>,
    registry: Option<Registry>,
    key: Option<SigningKey>,
    github: Option<GitHub>,
    release: Option<Release>,
    commit: String,
}

impl Run {
    /// A release of the tree of `context` by `plan`; nothing has happened yet.
    pub(crate) fn new(context: Context, plan: Plan, archives: Archives) -> Self {
        Self {
            dist: context.workspace.root.join("dist"),
            context,
            plan,
            archives,
            scene: None,
            images: Vec::new(),
            assets: Vec::new(),
            registry: None,
            key: None,
            github: None,
            release: None,
            commit: String::new(),
        }
    }

    /// Runs every step. The preflight reports all its problems at once; any other failure stops
    /// the release there.
    pub(crate) async fn execute(&mut self) -> Result<()> {
        let steps = self.plan.steps.clone();
        let mut refusals = Vec::new();
        let mut stage = None;
        for (at, step) in steps.iter().enumerate() {
            if step.stage() != Stage::Preflight && !refusals.is_empty() {
                break;
            }
            if stage != Some(step.stage()) {
                stage = Some(step.stage());
                self.context
                    .progress
                    .note(&format!("== {}", step.stage().name()));
            }
            let done = self.step(step).await;
            match done {
                Err(error) if step.stage() == Stage::Preflight => refusals.push(error),
                Err(error) => {
                    let which = format!(
                        "step {} of {} ({}): {}",
                        at + 1,
                        steps.len(),
                        step.stage().name(),
                        step.describe()
                    );
                    return Err(error.because(which).hint("then run the same release command again: finished steps are recognised and skipped"));
                }
                Ok(()) => {}
            }
        }
        match failure::all(
            "the release cannot start; nothing was changed".to_owned(),
            refusals,
        ) {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    async fn step(&mut self, step: &Step) -> Result<()> {
        match step {
            Step::CopyTree => self.copy_tree(),
            Step::StartServers => self.start_servers(),
            Step::PushPlaceholder(image) => self.push_placeholder(image).await,
            Step::CleanTree => self.require_clean_tree(),
            Step::NoWaivers => self.require_no_waivers(),
            Step::SigningKey => self.require_signing_key(),
            Step::Token => self.require_token(),
            Step::Check => self.check(),
            Step::HashDownload { url, .. } => self.hash_download(url).await,
            Step::BuildImages => self.build_images(),
            Step::PushImage(image) => self.push_image(image).await,
            Step::Pin(_) => self.pin().await,
            Step::Dist(targets) => self.write_dist(targets),
            Step::Draft(tag) => self.draft(tag).await,
            Step::Upload => self.upload().await,
            Step::VerifyAssets => self.verify_assets().await,
            Step::VerifyImage(image) => self.verify_image(image).await,
            Step::Publish(tag) => self.publish(tag).await,
            Step::Promote(image) => self.promote(image).await,
        }
    }

    /// Whether this is a rehearsal.
    pub(crate) fn kind(&self) -> Kind {
        match self.plan.mode {
            Mode::Execute => Kind::Release,
            Mode::Rehearse => Kind::Rehearsal,
        }
    }

    fn registry(&mut self) -> Result<&Registry> {
        if self.registry.is_none() {
            self.registry = Some(match self.plan.mode {
                Mode::Execute => self.context.registry()?,
                // No login of the environment goes to a rehearsal.
                Mode::Rehearse => Registry::new(
                    &self.context.endpoints,
                    xtask_online::registry::Logins::none(),
                )?,
            });
        }
        self.registry
            .as_ref()
            .ok_or_else(|| out_of_order("a registry"))
    }

    fn image(&self, image: &polis_base::ImageRef) -> Result<&Image> {
        self.images
            .iter()
            .find(|built| built.image.unpinned() == *image)
            .ok_or_else(|| out_of_order(&image.to_string()))
    }
}

/// A plan whose steps stand in the wrong order: a defect of the plan, said as one.
fn out_of_order(what: &str) -> Error {
    Error::machine(format!("the plan needs {what} before it is there"))
}
