//! Pins of compose files, and how they build Dockerfiles.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ops::Range;

use super::collect::Collector;
use super::files::{FileKind, Files};
use crate::compose::{Compose, ImageUse};
use xtask_host::source::Source;

/// The builds of all compose files.
#[derive(Debug, Default)]
pub(super) struct Builds {
    /// The names of additional build contexts, in lower case. `FROM` may name one of them.
    pub(super) contexts: BTreeSet<String>,
    /// The values of build arguments, by Dockerfile and name.
    pub(super) arguments: BTreeMap<(String, String), Vec<Argument>>,
}

/// The value of a build argument: the compose file, and its bytes if it is contiguous.
#[derive(Debug, Clone)]
pub(super) struct Argument {
    pub(super) source: Source,
    pub(super) span: Option<Range<usize>>,
}

/// Collects the images of all compose files. Returns their builds.
pub(super) fn read(files: &Files, dockerfiles: &HashSet<&str>, into: &mut Collector) -> Builds {
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

/// The frontend that replaces the one of the Dockerfile.
fn frontend(compose: &Compose, span: Option<Range<usize>>, into: &mut Collector) {
    match span {
        Some(span) => into.image(&compose.source, span, "syntax of a build"),
        None => {
            let at = into.at(&compose.source, 0..0);
            let message = "the build argument `BUILDKIT_SYNTAX` is not contiguous plain text";
            into.error("image-reference", &at, message);
        }
    }
}

/// Collects the images of one compose file.
pub(super) fn images(compose: &Compose, into: &mut Collector) -> Vec<ImageUse> {
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

/// Requires that the inventory reads the Dockerfile `path`.
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
            "the Dockerfile `{path}` of this image does not exist, or its name is not recognized"
        );
        into.error("dockerfile", &at, message);
    }
}
