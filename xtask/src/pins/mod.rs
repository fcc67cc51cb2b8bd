//! Pins: every byte that the release and the machine fetch, as the files of the tree name it.
//!
//! An [`Inventory`] is extracted from the files that use the pins; there is no second list.
//! [`judge`] says what the files alone can tell; the network is asked elsewhere. All of it but
//! [`Files::read`] is pure.

mod collect;
mod dockerfile;
mod downloads;
pub mod edit;
mod files;
mod judge;
mod lock;
mod model;
pub mod page;
mod remote;
mod scripts;
mod shell;
pub mod table;
mod toolchain;
pub mod update;
mod workflow;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ops::Range;
use std::path::Path;

use polis_base::ImageRef;

use crate::compose::{Compose, ImageUse};
use crate::error::{Error, Result};
use crate::finding::{Finding, any_error};
use crate::source::Source;
use crate::waivers::{self, Waiver};

use collect::Collector;
use lock::Lock;

pub use files::{FileKind, Files, TOOLCHAIN};
pub use judge::judge;
pub use model::{Action, At, Commit, CommitError, Download, Key, Part, Pin, Use, What, is_release};

/// Every pin of the tree.
#[derive(Debug)]
pub struct Inventory {
    /// The pins, in the order of files and places; equal ones are one.
    pub pins: Vec<Pin>,
    /// What is wrong with the files: what cannot be read, is malformed or brings in more.
    pub findings: Vec<Finding>,
    /// All waivers, also those that nothing needs.
    pub waivers: Vec<Waiver>,
}

impl Inventory {
    /// The pins of the tree at `root`.
    ///
    /// # Errors
    /// When a file cannot be read at all.
    pub fn read(root: &Path) -> Result<Self> {
        Files::read(root).map(|files| Self::extract(&files))
    }

    /// Extracts the pins of `files`.
    pub fn extract(files: &Files) -> Self {
        let mut into = Collector::default();
        let dockerfiles = files.dockerfiles();
        let builds = compose(files, &dockerfiles, &mut into);
        for source in files.of(FileKind::Bake) {
            let at = into.at(source, 0..0);
            let message = "bake files are not read, so nothing in them is pinned";
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
        images(compose, &mut into);
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

    /// Requires that all files could be read: an edit of what was skipped would be none.
    ///
    /// # Errors
    /// All findings of reading them.
    pub fn require_readable(&self) -> Result<()> {
        if !any_error(&self.findings) {
            return Ok(());
        }
        Err(Error {
            findings: self.findings.clone(),
            ..Error::findings("the pins of the tree cannot all be read")
        })
    }

    /// The images to ask a registry for, each once and without its digest: all that this
    /// repository does not build.
    ///
    /// # Errors
    /// Where the pins of the tree could not all be read.
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

    /// The images, of compose files, workflows and Dockerfiles.
    pub fn images(&self) -> impl Iterator<Item = &Pin> {
        self.pins.iter().filter(|pin| pin.image().is_some())
    }
}

/// What compose files say about the Dockerfiles that they build.
#[derive(Debug, Default)]
struct Builds {
    /// The names of build contexts, in lower case: a Dockerfile may say `FROM` one of them.
    contexts: BTreeSet<String>,
    /// By Dockerfile and name, the texts of arguments.
    arguments: BTreeMap<(String, String), Vec<Argument>>,
}

/// The text of a build argument: the compose file, and its bytes where it is one piece.
#[derive(Debug, Clone)]
struct Argument {
    source: Source,
    span: Option<Range<usize>>,
}

/// The images of all compose files. Returns what they say about builds.
fn compose(files: &Files, dockerfiles: &HashSet<&str>, into: &mut Collector) -> Builds {
    let mut builds = Builds::default();
    for source in files.of(FileKind::Compose) {
        let compose = match Compose::parse(source.clone()) {
            Ok(compose) => compose,
            Err(finding) => {
                into.findings.push(*finding);
                continue;
            }
        };
        for image_use in images(&compose, into) {
            if let Some(build) = &image_use.build {
                dockerfile_of(
                    dockerfiles,
                    &image_use.span,
                    &compose,
                    &build.dockerfile,
                    into,
                );
            }
        }
        builds.contexts.extend(compose.context_names());
        for (dockerfile, name, span) in compose.arguments() {
            if name == "BUILDKIT_SYNTAX" {
                frontend(&compose, span.clone(), into);
            }
            let argument = Argument {
                source: compose.source.clone(),
                span,
            };
            let of_name = builds.arguments.entry((dockerfile, name));
            of_name.or_default().push(argument);
        }
    }
    builds
}

/// The frontend that builds a Dockerfile instead of the one that it names.
fn frontend(compose: &Compose, span: Option<Range<usize>>, into: &mut Collector) {
    match span {
        Some(span) => into.image(&compose.source, span, "syntax of a build"),
        None => {
            let at = into.at(&compose.source, 0..0);
            let message = "an argument `BUILDKIT_SYNTAX` of a build is no plain text here";
            into.error("image-reference", &at, message);
        }
    }
}

/// The images of one compose file.
fn images(compose: &Compose, into: &mut Collector) -> Vec<ImageUse> {
    let (uses, findings) = compose.references();
    into.findings.extend(findings);
    for image_use in &uses {
        into.image(&compose.source, image_use.span.clone(), &image_use.by);
        if let (Some(_), Ok(image)) = (&image_use.build, &image_use.image) {
            into.built(image);
        }
    }
    uses
}

/// A Dockerfile that is built must be among those that are read.
fn dockerfile_of(
    dockerfiles: &HashSet<&str>,
    span: &Range<usize>,
    compose: &Compose,
    path: &str,
    into: &mut Collector,
) {
    if !dockerfiles.contains(path) {
        let at = into.at(&compose.source, span.clone());
        let message = format!(
            "`{path}`, which this image is built from, is missing or is not named like a Dockerfile"
        );
        into.error("dockerfile", &at, message);
    }
}
