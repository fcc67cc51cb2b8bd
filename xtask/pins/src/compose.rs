//! The images of the compose file: those that it pulls, and those that it builds.

use std::ops::Range;
use std::path::Path;

use polis_base::ImageRef;
use polis_base::image::ImageRefError;

use crate::yaml::{self, Node};
use xtask_host::error::{Error, Result};
use xtask_host::finding::Finding;
use xtask_host::source::{Place, Source};

/// The path of the compose file in the tree.
pub const PATH: &str = xtask_host::workspace::LANDMARK;

/// The compose file, parsed.
#[derive(Debug)]
pub struct Compose {
    /// The file.
    pub source: Source,
    /// The document.
    pub root: Node,
}

/// An image reference of a service, a volume or a build context.
#[derive(Debug, Clone)]
pub struct ImageUse {
    /// The user of the image: `service gate`, `volume of gate`, `build of gate`.
    pub by: String,
    /// The parsed reference.
    pub image: std::result::Result<ImageRef, ImageRefError>,
    /// The bytes of the reference, without quotes and anchor.
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
    /// Its `build:` entry.
    pub build: Build,
}

impl Compose {
    /// Reads the compose file of the tree at `root`.
    ///
    /// # Errors
    /// If it cannot be read or is not valid YAML.
    pub fn load(root: &Path) -> Result<Self> {
        let source = Source::read(root, PATH)?;
        Self::parse(source).map_err(|finding| Error::in_file(PATH, vec![*finding]))
    }

    /// Parses the compose file.
    ///
    /// # Errors
    /// If it is not valid YAML.
    pub fn parse(source: Source) -> std::result::Result<Self, Box<Finding>> {
        let root = yaml::parse(&source)?;
        Ok(Self { source, root })
    }

    /// The names and values of the services.
    pub fn services(&self) -> &[(Node, Node)] {
        self.root.get("services").map_or(&[], Node::entries)
    }

    /// The images of services, of their volumes of `type: image` and of their build contexts, in the order of the file.
    ///
    /// # Errors
    /// Findings for values that are not plain text, and so cannot be edited, and for keys that bring in images which no
    /// reader covers.
    pub fn images(&self) -> std::result::Result<Vec<ImageUse>, Vec<Finding>> {
        let (uses, findings) = self.references();
        if findings.is_empty() {
            Ok(uses)
        } else {
            Err(findings)
        }
    }

    /// Like [`Self::images`], but returns the readable images together with the findings.
    pub fn references(&self) -> (Vec<ImageUse>, Vec<Finding>) {
        let mut reader = Reader {
            compose: self,
            uses: Vec::new(),
            findings: Vec::new(),
        };
        reader.uncovered(&self.root, "the file", &["include", "models"]);
        for (name, service) in self.services() {
            reader.service(name.text().unwrap_or_default(), service);
        }
        (reader.uses, reader.findings)
    }

    /// The build arguments of services: the Dockerfile, the name, and the bytes of the value if it is contiguous.
    pub fn arguments(&self) -> Vec<(String, String, Option<Range<usize>>)> {
        let builds = self.services().iter();
        let mut arguments = Vec::new();
        for node in builds.filter_map(|(_, service)| service.get("build")) {
            let (Some(build), Some(args)) = (self.build(node), node.get("args")) else {
                continue;
            };
            let mut add = |name: &str, span| {
                arguments.push((build.dockerfile.clone(), name.to_owned(), span));
            };
            for item in args.items() {
                let span = yaml::text_span(&self.source, item);
                // Without `=`, the value comes from the environment.
                let text = item.text().unwrap_or_default();
                let (name, value) = text.split_once('=').unwrap_or((text, ""));
                let value = span.map(|span| span.end - value.len()..span.end);
                add(name, value.filter(|span| !span.is_empty()));
            }
            for (name, value) in args.entries() {
                let span = yaml::text_span(&self.source, value);
                add(name.text().unwrap_or_default(), span);
            }
        }
        arguments
    }

    /// The names of additional build contexts, in lower case. `FROM` may name one of them.
    pub fn context_names(&self) -> Vec<String> {
        let builds = self.services().iter();
        let contexts =
            builds.filter_map(|(_, service)| service.get("build")?.get("additional_contexts"));
        let mut names = Vec::new();
        for node in contexts {
            let listed = node.items().iter().filter_map(Node::text);
            let listed = listed.filter_map(|item| Some(item.split_once('=')?.0));
            let mapped = node.entries().iter().filter_map(|(name, _)| name.text());
            names.extend(listed.chain(mapped).map(str::to_ascii_lowercase));
        }
        names
    }

    /// The images that this repository builds, each once.
    ///
    /// # Errors
    /// If an image cannot be read.
    pub fn built(&self) -> Result<Vec<BuiltImage>> {
        Ok(built_of(&self.readable_images()?))
    }

    /// All images, which must be valid references.
    ///
    /// # Errors
    /// The first invalid reference, with its place.
    pub fn readable_images(&self) -> Result<Vec<ImageUse>> {
        let uses = self
            .images()
            .map_err(|findings| Error::in_file(PATH, findings))?;
        for image_use in &uses {
            if let Err(error) = &image_use.image {
                let finding = Finding::error(
                    "image-reference",
                    self.place(image_use.span.clone()),
                    format!("the image of {}: {error}", image_use.by),
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
}

/// The images among `uses` that this repository builds, each once.
pub fn built_of(uses: &[ImageUse]) -> Vec<BuiltImage> {
    let mut built: Vec<BuiltImage> = Vec::new();
    for image_use in uses {
        let (Some(build), Ok(image)) = (&image_use.build, &image_use.image) else {
            continue;
        };
        let image = image.unpinned();
        if !built.iter().any(|known| known.image == image) {
            let build = build.clone();
            built.push(BuiltImage { image, build });
        }
    }
    built
}

/// Collects the image values of a compose file.
struct Reader<'a> {
    compose: &'a Compose,
    uses: Vec<ImageUse>,
    findings: Vec<Finding>,
}

impl Reader<'_> {
    fn service(&mut self, name: &str, service: &Node) {
        let by = format!("service {name}");
        self.uncovered(service, &by, &["provider"]);
        let extends = service.get("extends");
        self.uncovered_in(extends, &by, "extends", &["file"]);
        let node = service.get("build");
        self.uncovered_in(node, &by, "build", &["cache_from", "dockerfile_inline"]);
        match service.get("image") {
            Some(image) => {
                let build = node.and_then(|build| self.compose.build(build));
                self.image(image, by, build, "");
            }
            // A service of another file may only extend one of this file.
            None if self.compose.source.path == PATH => self.finding(
                "image-missing",
                service,
                format!("service `{name}` has no `image`"),
            ),
            None => {}
        }
        for volume in service.get("volumes").map_or(&[][..], Node::items) {
            let of_image = volume.get("type").and_then(Node::text) == Some("image");
            if let (true, Some(image)) = (of_image, volume.get("source")) {
                self.image(image, format!("volume of {name}"), None, "");
            }
        }
        self.contexts(name, node);
    }

    /// Build contexts: images are pins, directories of the tree need none, and everything else is unverified.
    fn contexts(&mut self, name: &str, build: Option<&Node>) {
        let by = format!("build of {name}");
        let Some(build) = build else { return };
        let more = build.get("additional_contexts");
        let listed = more.map_or(&[][..], Node::items).iter();
        let mapped = more.map_or(&[][..], Node::entries).iter();
        let own = build.text().map(|_| build).or_else(|| build.get("context"));
        for context in listed.chain(mapped.map(|(_, value)| value)).chain(own) {
            let text = context.text().unwrap_or_default();
            if text.contains("docker-image://") {
                self.image(context, by.clone(), None, "docker-image://");
            } else if ["://", "git@", "$"].iter().any(|sign| text.contains(sign))
                && !text.contains("oci-layout://")
            {
                self.finding(
                    "pin-uncovered",
                    context,
                    format!("the {by} uses `{text}`, which cannot be pinned by digest"),
                );
            }
        }
    }

    fn image(&mut self, node: &Node, by: String, build: Option<Build>, after: &str) {
        let Some(mut span) = yaml::text_span(&self.compose.source, node) else {
            let message = format!("the image of {by} is not contiguous plain text");
            return self.finding("image-reference", node, message);
        };
        let text = &self.compose.source.text[span.clone()];
        if let (false, Some(at)) = (after.is_empty(), text.find(after)) {
            span.start += at + after.len();
        }
        let text = &self.compose.source.text[span.clone()];
        let inner = reference_in(text);
        self.uses.push(ImageUse {
            image: text[inner.clone()].parse(),
            by,
            span: span.start + inner.start..span.start + inner.end,
            build,
        });
    }

    fn uncovered_in(&mut self, node: Option<&Node>, by: &str, inside: &str, keys: &[&str]) {
        if let Some(node) = node {
            self.uncovered(node, &format!("`{inside}` of {by}"), keys);
        }
    }

    /// Reports keys that add images which no reader covers.
    fn uncovered(&mut self, node: &Node, by: &str, keys: &[&str]) {
        for name in keys {
            if let Some((key, _)) = node.entry(name) {
                let message = format!("{by} uses `{name}`, whose images would not be pinned");
                self.finding("pin-uncovered", key, message);
            }
        }
    }

    fn finding(&mut self, rule: &'static str, node: &Node, message: String) {
        let place = self.compose.place(node.span.clone());
        self.findings.push(Finding::error(rule, place, message));
    }
}

/// The bytes of the reference in `text`: the default in `${NAME:-reference}`, else all of it.
///
/// The default is what everyone pulls who does not set the variable.
pub fn reference_in(text: &str) -> Range<usize> {
    let inside = text
        .strip_prefix("${")
        .and_then(|rest| rest.strip_suffix('}'));
    let default = inside.and_then(|inside| {
        let end = inside.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))?;
        let rest = &inside[end..];
        let reference = rest.strip_prefix(":-").or_else(|| rest.strip_prefix('-'))?;
        (end > 0 && !reference.contains('$')).then_some(reference.len())
    });
    match default {
        Some(length) => text.len() - 1 - length..text.len() - 1,
        None => 0..text.len(),
    }
}

impl Compose {
    fn build(&self, node: &Node) -> Option<Build> {
        let context = node.text().or_else(|| node.get("context")?.text())?;
        let dockerfile = node
            .get("dockerfile")
            .and_then(Node::text)
            .unwrap_or("Dockerfile");
        let dir = self.source.path.rsplit_once('/').map_or("", |(dir, _)| dir);
        let context = from_root(dir, context);
        Some(Build {
            dockerfile: from_root(&context, dockerfile),
            context,
        })
    }
}

/// The path from the root of the tree for `path`, which is relative to `dir`.
pub fn from_root(dir: &str, path: &str) -> String {
    let mut parts: Vec<&str> = dir.split('/').filter(|part| !part.is_empty()).collect();
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
    fn images_of_volumes_contexts_defaults_and_merge_keys_are_found() {
        let text = "x: &x\n  image: &v1 v.example/x:v1\nservices:\n  a:\n    <<: *x\n    build:\n      context: .\n      additional_contexts:\n        b: docker-image://v.example/b:1\n    volumes:\n      - {type: image, source: 'v.example/v:1', target: /v}\n      - ./x:/x\n  d:\n    image: \"${D:-v.example/d:1}\"\n    build: {context: d, additional_contexts: [e=docker-image://v.example/e:1]}\n  f: {image: '${F-v.example/f:1}'}\n";
        let compose = compose(text);
        let found: Vec<_> = compose
            .images()
            .unwrap()
            .into_iter()
            .map(|image_use| {
                assert_eq!(
                    image_use.image.unwrap().to_string(),
                    text[image_use.span.clone()]
                );
                format!("{}: {}", image_use.by, &text[image_use.span])
            })
            .collect();
        let expected = [
            "service a: v.example/x:v1",
            "volume of a: v.example/v:1",
            "build of a: v.example/b:1",
            "service d: v.example/d:1",
            "build of d: v.example/e:1",
            "service f: v.example/f:1",
        ];
        assert_eq!(found, expected);
    }

    /// A skipped image would be an unpinned one.
    #[test]
    fn keys_that_add_other_images_are_rejected() {
        for text in [
            "include: [x.yml]\nservices: {}\n",
            "models: {m: {model: ai/m}}\nservices: {}\n",
            "services: {a: {image: v.example/a:1, extends: {file: x.yml, service: a}}}\n",
            "services: {a: {image: v.example/a:1, provider: {type: x}}}\n",
            "services: {a: {image: v.example/a:1, build: {dockerfile_inline: FROM x}}}\n",
            "services: {a: {image: v.example/a:1, build: {context: ., cache_from: [v.example/c:1]}}}\n",
            "services: {a: {image: v.example/a:1, build: 'https://g.example/r.git'}}\n",
            "services: {a: {image: v.example/a:1, build: {context: ., additional_contexts: {b: 'git@g.example:r'}}}}\n",
        ] {
            let findings = compose(text).images().expect_err(text);
            assert_eq!(findings[0].rule, "pin-uncovered", "{text}");
        }
    }

    #[test]
    fn an_unreadable_image_is_an_error_with_a_location() {
        let compose = compose("services:\n  a:\n    image: ghcr.io/o/a:${V}\n");
        let error = compose.built().expect_err("a variable").to_string();
        assert!(error.contains("compose/docker-compose.yml:3:12"), "{error}");
        assert!(error.contains("holds a variable"), "{error}");
    }
}
