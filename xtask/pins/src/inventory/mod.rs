//! The inventory of pins: everything that a release and the VM fetch.
//!
//! An [`Inventory`] is extracted from the files that use the pins; there is no second list. [`judge`] needs the files
//! alone, no network. Only [`Files::read`] does I/O.

mod collect;
mod dockerfile;
mod downloads;
mod edit;
mod files;
mod judge;
mod lock;
mod model;
pub mod page;
mod remote;
mod scripts;
mod shell;
mod stack;
pub mod table;
mod toolchain;
pub mod update;
mod workflow;

use std::path::Path;

use polis_base::ImageRef;

use crate::compose::Compose;
use crate::waivers::{self, Waiver};
use xtask_host::error::{Error, Result};
use xtask_host::finding::{Finding, any_error};

use collect::Collector;
use lock::Lock;

pub use files::{FileKind, Files, TOOLCHAIN};
pub use judge::judge;
pub use model::{
    Action, Commit, CommitError, Dependency, Download, Field, Key, Occurrence, Pin, is_release,
};

/// Every pin of the tree.
#[derive(Debug)]
pub struct Inventory {
    /// The pins, each once, in the order of files and places.
    pub pins: Vec<Pin>,
    /// Findings of the readers: unreadable and malformed values, and constructs that no reader covers.
    pub findings: Vec<Finding>,
    /// All waivers, also unneeded ones.
    pub waivers: Vec<Waiver>,
}

impl Inventory {
    /// The pins of the tree at `root`.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub fn read(root: &Path) -> Result<Self> {
        Files::read(root).map(|files| Self::extract(&files))
    }

    /// Extracts the pins of `files`.
    pub fn extract(files: &Files) -> Self {
        let mut into = Collector::default();
        let dockerfiles = files.dockerfiles();
        let builds = stack::read(files, &dockerfiles, &mut into);
        for source in files.of(FileKind::Bake) {
            let at = into.at(source, 0..0);
            let message = "bake files are not supported: their images would not be pinned";
            into.error("pin-uncovered", &at, message);
        }
        for source in files.of(FileKind::Dockerfile) {
            dockerfile::extract(source, &builds, &mut into);
        }
        downloads::extract(&files.cloud_init, &mut into);
        let lock = files.of(FileKind::ActionsLock).next();
        let mut lock = lock.map_or_else(Lock::default, |source| Lock::read(source, &mut into));
        for source in files.of(FileKind::Workflow) {
            workflow::extract(source, &dockerfiles, &mut lock, &mut into);
        }
        lock.finish(&mut into);
        toolchain::extract(files, &mut into);
        let waivers = waivers::parse(&files.waivers).unwrap_or_else(|findings| {
            into.findings.extend(findings);
            Vec::new()
        });
        Self::new(into, waivers)
    }

    /// The images of one compose file.
    pub fn of_stack(compose: &Compose, waivers: Vec<Waiver>) -> Self {
        let mut into = Collector::default();
        stack::images(compose, &mut into);
        Self::new(into, waivers)
    }

    fn new(into: Collector, waivers: Vec<Waiver>) -> Self {
        let (mut pins, findings) = into.into_pins();
        for pin in &mut pins {
            let unpinned = pin.image().filter(|image| image.digest().is_none());
            let name = unpinned.map(ToString::to_string);
            pin.waiver = waivers
                .iter()
                .find(|waiver| Some(&waiver.image) == name.as_ref())
                .cloned();
        }
        Self {
            pins,
            findings,
            waivers,
        }
    }

    /// Requires that every file was read without errors: edits would leave out what was skipped.
    ///
    /// # Errors
    /// The findings of the readers.
    pub fn require_readable(&self) -> Result<()> {
        if !any_error(&self.findings) {
            return Ok(());
        }
        Err(Error {
            findings: self.findings.clone(),
            ..Error::findings("some pins of the tree cannot be read")
        })
    }

    /// The images that this repository does not build, each once and without its digest.
    ///
    /// # Errors
    /// If some pins cannot be read.
    pub fn to_resolve(&self) -> Result<Vec<ImageRef>> {
        self.require_readable()?;
        let named = |pin: &Pin| pin.image().map(ImageRef::unpinned);
        let built: Vec<ImageRef> = self
            .pins
            .iter()
            .filter(|pin| pin.built)
            .filter_map(named)
            .collect();
        let mut images: Vec<ImageRef> = Vec::new();
        for image in self.pins.iter().filter_map(named) {
            if !built.contains(&image) && !images.contains(&image) {
                images.push(image);
            }
        }
        Ok(images)
    }

    /// The images and base images.
    pub fn images(&self) -> impl Iterator<Item = &Pin> {
        self.pins.iter().filter(|pin| pin.image().is_some())
    }
}
