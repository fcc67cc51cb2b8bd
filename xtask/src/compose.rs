//! The compose file as the release reads it: which images it names, and which it builds.

use std::ops::Range;
use std::path::Path;

use polis_base::ImageRef;
use polis_base::image::ImageRefError;

use crate::error::{Error, Result};
use crate::finding::Finding;
use crate::source::{Place, Source};
use crate::yaml::{self, Node};

/// Where the compose file stands in the tree.
pub const PATH: &str = "compose/docker-compose.yml";

/// The compose file, parsed.
#[derive(Debug)]
pub struct Compose {
    /// The text.
    pub source: Source,
    /// The document.
    pub root: Node,
}

/// One `image:` value of one service.
#[derive(Debug, Clone)]
pub struct ImageUse {
    /// The service.
    pub service: String,
    /// The reference, or why it is none.
    pub image: std::result::Result<ImageRef, ImageRefError>,
    /// The bytes of the reference itself, without quotes or anchor.
    pub span: Range<usize>,
    /// The service's `build:` entry.
    pub build: Option<Build>,
}

/// A `build:` entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Build {
    /// The build context, relative to the root of the tree.
    pub context: String,
    /// The Dockerfile, relative to the root of the tree.
    pub dockerfile: String,
}

/// An image that this repository builds.
#[derive(Debug, Clone)]
pub struct BuiltImage {
    /// Its reference, with the tag and without a digest.
    pub image: ImageRef,
    /// How it is built.
    pub build: Build,
}

impl Compose {
    /// Reads the compose file of the tree at `root`.
    ///
    /// # Errors
    /// When it cannot be read or is not YAML; the error shows the place.
    pub fn load(root: &Path) -> Result<Self> {
        let source = Source::read(root, PATH)?;
        Self::parse(source).map_err(|finding| Error::in_file(PATH, vec![*finding]))
    }

    /// Parses the compose file.
    ///
    /// # Errors
    /// The finding that says why it is not YAML.
    pub fn parse(source: Source) -> std::result::Result<Self, Box<Finding>> {
        let root = yaml::parse(&source)?;
        Ok(Self { source, root })
    }

    /// The services with their name nodes.
    pub fn services(&self) -> &[(Node, Node)] {
        self.root.get("services").map_or(&[], Node::entries)
    }

    /// Every image value, in the order of the file.
    ///
    /// # Errors
    /// Findings for values that are no plain text, so that they could not be edited either.
    pub fn images(&self) -> std::result::Result<Vec<ImageUse>, Vec<Finding>> {
        let mut uses = Vec::new();
        let mut findings = Vec::new();
        for (name, service) in self.services() {
            let name = name.text().unwrap_or_default();
            let Some(node) = service.get("image") else {
                findings.push(Finding::error(
                    "image-missing",
                    self.place(service.span.clone()),
                    format!("service `{name}` names no image"),
                ));
                continue;
            };
            match self.text_span(node) {
                Some((text, span)) => uses.push(ImageUse {
                    service: name.to_owned(),
                    image: text.parse(),
                    span,
                    build: service.get("build").and_then(build),
                }),
                None => findings.push(Finding::error(
                    "image-reference",
                    self.place(node.span.clone()),
                    format!("the image of `{name}` is not one piece of plain text"),
                )),
            }
        }
        if findings.is_empty() {
            Ok(uses)
        } else {
            Err(findings)
        }
    }

    /// The images that this repository builds, each once.
    ///
    /// # Errors
    /// When an image value cannot be read.
    pub fn built(&self) -> Result<Vec<BuiltImage>> {
        let mut built: Vec<BuiltImage> = Vec::new();
        for image_use in self.readable_images()? {
            let (Some(build), Ok(image)) = (image_use.build, image_use.image) else {
                continue;
            };
            let image = image.unpinned();
            if !built.iter().any(|known| known.image == image) {
                built.push(BuiltImage { image, build });
            }
        }
        Ok(built)
    }

    /// Every image value, where all of them are references.
    ///
    /// # Errors
    /// The first value that is none, with its place.
    pub fn readable_images(&self) -> Result<Vec<ImageUse>> {
        let uses = self
            .images()
            .map_err(|findings| Error::in_file(PATH, findings))?;
        for image_use in &uses {
            if let Err(error) = &image_use.image {
                let finding = Finding::error(
                    "image-reference",
                    self.place(image_use.span.clone()),
                    format!("the image of `{}`: {error}", image_use.service),
                );
                return Err(Error::in_file(PATH, vec![finding]));
            }
        }
        Ok(uses)
    }

    /// The place of some bytes of the file.
    pub fn place(&self, span: Range<usize>) -> Place {
        self.source.place(span)
    }

    /// The text of a scalar and its exact bytes: a node's span may hold an anchor and quotes.
    fn text_span<'a>(&self, node: &'a Node) -> Option<(&'a str, Range<usize>)> {
        let text = node.text()?;
        let at = self.source.text[node.span.clone()].find(text)?;
        let start = node.span.start + at;
        Some((text, start..start + text.len()))
    }
}

fn build(node: &Node) -> Option<Build> {
    let context = node.text().or_else(|| node.get("context")?.text())?;
    let dockerfile = node
        .get("dockerfile")
        .and_then(Node::text)
        .unwrap_or("Dockerfile");
    let context = from_root(context);
    Some(Build {
        dockerfile: if context.is_empty() {
            dockerfile.to_owned()
        } else {
            format!("{context}/{dockerfile}")
        },
        context,
    })
}

/// A path that the compose file gives relative to itself, relative to the root of the tree.
fn from_root(path: &str) -> String {
    let mut parts = vec!["compose"];
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn compose(text: &str) -> Compose {
        let source = Source {
            path: PATH.to_owned(),
            text: text.to_owned(),
        };
        Compose::parse(source).unwrap()
    }

    #[test]
    fn build_paths_are_relative_to_the_compose_file() {
        let compose = compose(
            "services:\n  a:\n    image: ghcr.io/o/a:1\n    build: {context: ../services/init, dockerfile: Dockerfile}\n  b:\n    image: ghcr.io/o/b:1\n    build: .\n",
        );
        let built = compose.built().unwrap();
        assert_eq!(built[0].build.dockerfile, "services/init/Dockerfile");
        assert_eq!(built[1].build.dockerfile, "compose/Dockerfile");
    }

    #[test]
    fn an_image_that_cannot_be_read_is_an_error_with_its_place() {
        let compose = compose("services:\n  a:\n    image: ghcr.io/o/a:${V}\n");
        let error = compose.built().expect_err("a variable").to_string();
        assert!(error.contains("compose/docker-compose.yml:3:12"), "{error}");
        assert!(error.contains("holds a variable"), "{error}");
    }
}
