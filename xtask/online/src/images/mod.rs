//! Reads every layer of the published images and checks them against what our files rely on: `verify-images`.
//!
//! This repository does not build the service images, so only their layers tell what they contain. Every layer is
//! fetched by digest, and hashed, counted and unpacked as it streams; only the headers of its files are kept. A layer
//! that several images share is read once.

mod document;
mod files;
#[cfg(test)]
mod fuzz;
mod judge;
mod layer;
mod read;
mod state;
mod uses;
mod who;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex as StdMutex};

use futures_util::stream::{self, StreamExt as _};
use polis_base::{Digest, ImageRef};
use tokio::sync::Mutex;
use xtask_host::progress::Progress;
use xtask_host::source::Place;
use xtask_pins::contract::Contract;

use crate::registry::{RawManifest, Registry, media};

use document::{Child, Content, Index, parse};
use files::Files;
use layer::Layer;

pub use state::{ImageStatus, Problem};
pub use uses::{ImageUse, Start, uses_in};

/// How many images are read at once; each holds one connection and one unpacker thread.
const AT_ONCE: usize = 4;
/// The most layers of an image; the limit of Docker's storage drivers.
const MOST_LAYERS: usize = 127;

/// An image of the compose file, and what it is checked against.
#[derive(Debug, Clone)]
pub struct Subject<'a> {
    /// The reference.
    pub image: ImageRef,
    /// Where the compose file names it.
    pub place: Place,
    /// Whether this repository builds it, so that it may not be published yet.
    pub built: bool,
    /// The reason given by the waiver, if it may go unpinned.
    pub waived: Option<String>,
    /// Its contract.
    pub contract: Option<&'a Contract>,
    /// The services that run it.
    pub uses: Vec<ImageUse>,
}

/// The result of reading an image.
#[derive(Debug, Clone)]
pub struct Verdict {
    /// The state: that of the most severe problem.
    pub kind: ImageStatus,
    /// Why it is in that state, if the state is not a problem.
    pub reason: Option<String>,
    /// What was read, by platform.
    pub platforms: Vec<ReadPlatform>,
    /// The platforms that it is published for and that the contract does not list.
    pub more: Vec<String>,
    /// Everything that keeps it from being verified.
    pub problems: Vec<Problem>,
}

/// One platform of an image that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadPlatform {
    /// As `linux/amd64`.
    pub platform: String,
    /// How many layers it has.
    pub layers: usize,
    /// Their total size in bytes, as stored.
    pub bytes: u64,
}

/// Reads images.
pub struct Images<'a> {
    registry: &'a Registry,
    progress: Progress,
    layers: StdMutex<BTreeMap<Digest, Slot>>,
}

/// A layer that was read, with the repositories that are known to hold it; `None` until a read has succeeded.
type Slot = Arc<Mutex<Option<Known>>>;

struct Known {
    layer: Arc<Layer>,
    size: u64,
    repositories: Vec<String>,
}

type Result<T> = std::result::Result<T, Problem>;

impl Verdict {
    fn fine(kind: ImageStatus, reason: Option<String>) -> Self {
        Self {
            kind,
            reason,
            platforms: Vec::new(),
            more: Vec::new(),
            problems: Vec::new(),
        }
    }

    fn failed(problem: Problem) -> Self {
        Self::fine(ImageStatus::Verified, None).with(vec![problem])
    }

    fn with(mut self, problems: Vec<Problem>) -> Self {
        self.problems.extend(problems);
        let mut gravest = self.problems.first().map(|problem| problem.kind);
        for problem in &self.problems {
            gravest = gravest
                .filter(|kind| kind.outcome() >= problem.kind.outcome())
                .or(Some(problem.kind));
        }
        self.kind = gravest.unwrap_or(self.kind);
        self
    }
}

impl<'a> Images<'a> {
    /// Reads through `registry` and reports to `progress`.
    pub fn new(registry: &'a Registry, progress: Progress) -> Self {
        Self {
            registry,
            progress,
            layers: StdMutex::default(),
        }
    }

    /// The verdict on each of `subjects`, in their order.
    pub async fn verify(&self, subjects: &[Subject<'_>]) -> Vec<Verdict> {
        let all: Vec<_> = subjects.iter().map(|subject| self.one(subject)).collect();
        stream::iter(all).buffered(AT_ONCE).collect().await
    }

    async fn one(&self, subject: &Subject<'_>) -> Verdict {
        let image = &subject.image;
        if image.digest().is_none() {
            return match &subject.waived {
                Some(reason) => Verdict::fine(ImageStatus::Waived, Some(reason.clone())),
                None => Verdict::failed(Problem::new(
                    ImageStatus::Unpinned,
                    "the reference has no digest",
                )),
            };
        }
        let Some(contract) = subject.contract else {
            let about = format!("no contract in {} names it", xtask_pins::contract::DIR);
            return Verdict::failed(Problem::new(ImageStatus::NoContract, about));
        };
        let root = match self.registry.manifest(image).await {
            Err(error) if error.is_not_found() && subject.built => {
                let reason = format!("{} is published by a release", image.unpinned());
                return Verdict::fine(ImageStatus::NotPublished, Some(reason));
            }
            Err(error) => {
                return Verdict::failed(Problem::failed(&error, ImageStatus::MissingManifest));
            }
            Ok(root) => root,
        };
        self.platforms(subject, contract, &root)
            .await
            .unwrap_or_else(Verdict::failed)
    }

    /// Reads every platform of the contract, one after the other, because they share layers.
    async fn platforms(
        &self,
        subject: &Subject<'_>,
        contract: &Contract,
        root: &RawManifest,
    ) -> Result<Verdict> {
        let image = &subject.image;
        let children = match media::is_index(root.media_type) {
            true => Some(parse::<Index>(image, &root.bytes)?.manifests),
            false => None,
        };
        let offered: Vec<String> = children
            .iter()
            .flatten()
            .filter_map(Child::platform)
            .collect();
        let mut verdict = Verdict::fine(ImageStatus::Verified, None);
        let mut problems = Vec::new();
        for fact in &contract.platforms {
            let platform = fact.value.as_str();
            let read = async {
                let manifest = match &children {
                    None => root.clone(),
                    Some(children) => {
                        let child = children
                            .iter()
                            .find(|child| child.platform().as_deref() == Some(platform));
                        let child = child.ok_or_else(|| {
                            let about = format!("the index offers {}", listed(&offered));
                            Problem::broken(ImageStatus::MissingPlatform, &fact.place, about)
                        })?;
                        self.child(image, child).await?
                    }
                };
                self.platform(subject, contract, fact, &manifest).await
            };
            match read.await {
                Ok((seen, found)) => {
                    verdict.platforms.push(seen);
                    problems.extend(found.into_iter().map(|problem| problem.on(platform)));
                }
                Err(problem) => problems.push(problem.on(platform)),
            }
        }
        let promised = |platform: &String| {
            contract
                .platforms
                .iter()
                .any(|fact| fact.value == *platform)
        };
        verdict.more = offered
            .into_iter()
            .filter(|platform| !promised(platform))
            .collect();
        Ok(verdict.with(problems))
    }

    /// Reads all layers of one platform and checks them.
    async fn platform(
        &self,
        subject: &Subject<'_>,
        contract: &Contract,
        fact: &xtask_pins::contract::Fact<String>,
        manifest: &RawManifest,
    ) -> Result<(ReadPlatform, Vec<Problem>)> {
        let image = &subject.image;
        let content: Content = parse(image, &manifest.bytes)?;
        let config = self.config(image, &content.config).await?;
        let found = format!("{}/{}", config.os, config.architecture);
        if found != fact.value {
            let about = format!("the configuration is for {found}");
            return Err(Problem::broken(
                ImageStatus::MissingPlatform,
                &fact.place,
                about,
            ));
        }
        if content.layers.len() > MOST_LAYERS {
            let about = format!(
                "{} layers, but engines accept at most {MOST_LAYERS}",
                content.layers.len()
            );
            return Err(Problem::new(ImageStatus::Unreadable, about));
        }
        let mut layers = Vec::new();
        for (at, layer) in content.layers.iter().enumerate() {
            let name = format!(
                "read {} layer {}/{}",
                image.unpinned(),
                at + 1,
                content.layers.len()
            );
            layers.push(self.layer(image, layer, &name).await?);
        }
        let unpacked: Vec<Digest> = layers.iter().map(|layer| layer.unpacked).collect();
        if let Some(problem) = judge::unpacked(&config, &unpacked) {
            return Err(problem);
        }
        let files = Files::of(layers.iter().map(Arc::as_ref));
        let files = files.map_err(|reason| Problem::new(ImageStatus::Unreadable, reason))?;
        let seen = ReadPlatform {
            platform: found,
            layers: layers.len(),
            bytes: content.layers.iter().map(|layer| layer.size).sum(),
        };
        Ok((seen, judge::judge(contract, &subject.uses, &config, &files)))
    }
}

fn listed(platforms: &[String]) -> String {
    match platforms.is_empty() {
        true => "none".to_owned(),
        false => platforms.join(", "),
    }
}
