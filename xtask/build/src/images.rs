//! Builds the images of the compose file's `build:` entries into one OCI image layout. The same commit always gives the
//! same bytes.

mod docker;

use std::collections::BTreeMap;
use std::path::Path;

use polis_base::archive::{EXECUTABLE, Files};
use polis_base::{Digest, ImageRef};

use self::docker::docker;
use crate::oci::{self, Blobs, Descriptor, Execution, Platform};
use crate::rust_build::{self, LeftOut, Target};
use xtask_host::error::{Error, Result};
use xtask_host::finding::Finding;
use xtask_host::progress::Progress;
use xtask_host::reports::ImageName;
use xtask_host::reports::release as reports;
use xtask_host::workspace::Workspace;
use xtask_host::{tree, write};
use xtask_pins::compose::{BuiltImage, Compose};
use xtask_pins::dockerfile::{self, Native, Recipe};

/// A built image.
#[derive(Debug, Clone)]
pub struct Image {
    /// Its reference, pinned to the built digest.
    pub image: ImageRef,
    /// Its platforms, as `linux/amd64`.
    pub platforms: Vec<String>,
    /// The platforms that were skipped, with the reason.
    pub left_out: Vec<LeftOut>,
    /// The Rust targets of its programs; empty if Docker built it.
    pub targets: Vec<String>,
}

impl Image {
    /// The digest of the index.
    pub fn digest(&self) -> Option<Digest> {
        self.image.digest()
    }

    /// Why other machines may build another digest from the same commit; `None` if they may not.
    pub fn not_portable(&self) -> Option<String> {
        if let Some(left_out) = self.left_out.first() {
            return Some(format!(
                "linux/{} was skipped: {}",
                left_out.architecture, left_out.reason
            ));
        }
        let host = self
            .targets
            .iter()
            .find(|target| !target.ends_with("-musl"))?;
        Some(format!(
            "it is linked against this machine's C library ({host})"
        ))
    }

    /// Requires that a release may contain this image.
    ///
    /// # Errors
    /// If other machines may build another digest.
    pub fn require_portable(&self) -> Result<()> {
        match self.not_portable() {
            None => Ok(()),
            Some(why) => Err(Error::machine(format!(
                "`{}` cannot be released",
                self.image.unpinned()
            ))
            .because(why)
            .hint("rustup target add x86_64-unknown-linux-musl aarch64-unknown-linux-musl")),
        }
    }

    /// The image as it appears in a JSON report.
    pub fn reported(&self) -> reports::BuiltImage {
        let left_out = self.left_out.iter().map(|left_out| reports::LeftOut {
            platform: format!("linux/{}", left_out.architecture),
            reason: left_out.reason.clone(),
        });
        reports::BuiltImage {
            image: ImageName::of(self.image.unpinned()),
            digest: self.image.digest().map(reports::Digest::of),
            platforms: self.platforms.iter().map(ToString::to_string).collect(),
            left_out: left_out.collect(),
        }
    }

    /// The image as lines of text.
    pub fn to_text(&self) -> String {
        let mut text = format!(
            "{}\n  platforms: {}\n",
            self.image,
            self.platforms.join(", ")
        );
        for left_out in &self.left_out {
            text.push_str(&format!(
                "  skipped: linux/{}: {}\n",
                left_out.architecture, left_out.reason
            ));
        }
        text
    }
}

/// Builds every image of the compose file's `build:` entries into the OCI layout `layout`.
///
/// # Errors
/// If a Dockerfile is invalid, a build fails, or no platform can be built here. `layout` is then unchanged.
pub fn build(workspace: &Workspace, layout: &Path, progress: Progress) -> Result<Vec<Image>> {
    let compose = Compose::load(&workspace.root)?;
    let mut blobs = Blobs::default();
    let mut entries = Vec::new();
    let mut images = Vec::new();
    for built in compose.built()? {
        let (mut entry, image) = build_one(workspace, &built, &mut blobs, progress)?;
        entry
            .annotations
            .insert(oci::REF_NAME.to_owned(), built.image.to_string());
        entries.push(entry);
        images.push(image);
    }
    write::directory(layout, "oci-layout", |dir| blobs.write_layout(dir, entries))?;
    Ok(images)
}

/// The images of the OCI layout `layout`, built earlier from the same tree.
///
/// # Errors
/// If it cannot be read, or does not contain exactly the images of the compose file's `build:` entries. Its blobs are
/// hashed when they are used.
pub fn of_layout(workspace: &Workspace, layout: &Path) -> Result<Vec<Image>> {
    let path = layout.join("index.json");
    let failed = |why: String| {
        Error::findings(format!(
            "`{}` is not an image layout of this tree",
            layout.display()
        ))
        .because(why)
        .hint("build it with `cargo xtask images build --output DIR`")
    };
    let bytes =
        std::fs::read(&path).map_err(|error| failed(format!("`{}`: {error}", path.display())))?;
    let index: oci::Index = serde_json::from_slice(&bytes)
        .map_err(|error| failed(format!("`{}`: {error}", path.display())))?;
    let mut entries: BTreeMap<String, Descriptor> = BTreeMap::new();
    for entry in index.manifests {
        let name = entry
            .annotations
            .get(oci::REF_NAME)
            .cloned()
            .unwrap_or_default();
        entries.insert(name, entry);
    }
    let mut images = Vec::new();
    for built in Compose::load(&workspace.root)?.built()? {
        let entry = entries
            .remove(&built.image.to_string())
            .ok_or_else(|| failed(format!("it does not contain `{}`", built.image)))?;
        let digest: Digest = entry
            .digest
            .parse()
            .map_err(|error| failed(format!("`{}`: {error}", entry.digest)))?;
        let blob = layout.join("blobs/sha256").join(digest.hex());
        let root = std::fs::read(&blob)
            .map_err(|error| failed(format!("`{}`: {error}", blob.display())))?;
        let mut blobs = Blobs::default();
        blobs.keep(digest, root);
        images.push(Image {
            image: built.image.pinned(digest),
            platforms: blobs.platforms(&entry),
            left_out: Vec::new(),
            targets: Vec::new(),
        });
    }
    match entries.keys().next() {
        Some(other) => Err(failed(format!("it also contains `{other}`"))),
        None => Ok(images),
    }
}

fn build_one(
    workspace: &Workspace,
    built: &BuiltImage,
    blobs: &mut Blobs,
    progress: Progress,
) -> Result<(Descriptor, Image)> {
    let source = workspace.read(&built.build.dockerfile)?;
    let recipe = dockerfile::parse(&source).map_err(|error| {
        let finding = Finding::error("dockerfile", error.place, error.message);
        Error::in_file(&source.path, vec![finding])
    })?;
    let (targets, left_out) = rust_build::linux_targets(workspace)?;
    let (entry, targets, left_out) = match recipe {
        Recipe::Native(_) if targets.is_empty() => {
            return Err(nothing_to_build(built, left_out));
        }
        Recipe::Native(native) => {
            let entry = assemble(workspace, built, &native, &targets, blobs, progress)?;
            (
                entry,
                targets.into_iter().map(|target| target.triple).collect(),
                left_out,
            )
        }
        Recipe::Docker(reason) => {
            let entry = docker(workspace, built, &reason, blobs, progress)?;
            (entry, Vec::new(), Vec::new())
        }
    };
    let digest: Digest = entry.digest.parse().map_err(|error| {
        Error::machine(format!("`{}` was built without a digest", built.image))
            .because(format!("{error}"))
    })?;
    let platforms = blobs.platforms(&entry);
    Ok((
        entry,
        Image {
            image: built.image.pinned(digest),
            platforms,
            left_out,
            targets,
        },
    ))
}

fn nothing_to_build(built: &BuiltImage, left_out: Vec<LeftOut>) -> Error {
    let error = Error::machine(format!(
        "`{}` cannot be built here for any platform",
        built.image
    ));
    left_out.into_iter().fold(error, |error, left_out| {
        error.because(format!(
            "linux/{}: {}",
            left_out.architecture, left_out.reason
        ))
    })
}

/// Assembles a `FROM scratch` image without Docker.
fn assemble(
    workspace: &Workspace,
    built: &BuiltImage,
    native: &Native,
    targets: &[Target],
    blobs: &mut Blobs,
    progress: Progress,
) -> Result<Descriptor> {
    let mut manifests = Vec::new();
    for target in targets {
        let mut files = Files::new();
        for copy in &native.copies {
            let path = format!("{}/{}", built.build.context, copy.source)
                .replace("${TARGETARCH}", target.architecture)
                .replace("$TARGETARCH", target.architecture);
            if copy.source.contains("TARGETARCH") {
                stage(workspace, built, target, &path, progress)?;
            }
            let bytes = tree::bytes(&workspace.root, &path)?;
            files.add(copy.target.trim_start_matches('/'), copy.mode, bytes);
        }
        let layer = files.to_tar().map_err(|error| {
            Error::machine(format!("cannot pack the layer of `{}`", built.image))
                .because(error.to_string())
        })?;
        let platform = Platform {
            architecture: target.architecture.to_owned(),
            os: "linux".to_owned(),
        };
        manifests.push(blobs.add_image(&platform, &execution(native), &layer));
    }
    let version = built
        .image
        .tag()
        .unwrap_or_default()
        .trim_start_matches('v')
        .to_owned();
    let annotations = BTreeMap::from([(oci::VERSION.to_owned(), version)]);
    Ok(blobs.add_index(manifests, annotations))
}

fn execution(native: &Native) -> Execution {
    Execution {
        user: native.user.clone(),
        entrypoint: native.entrypoint.clone(),
        cmd: native.cmd.clone(),
        labels: native.labels.clone(),
    }
}

/// Builds the program that the image contains, and puts it where the Dockerfile expects it, for `docker build` as well.
fn stage(
    workspace: &Workspace,
    built: &BuiltImage,
    target: &Target,
    path: &str,
    progress: Progress,
) -> Result<()> {
    let bin = path.rsplit('/').next().unwrap_or(path);
    let program = rust_build::build(
        workspace,
        &built.build.context,
        bin,
        &target.triple,
        &[],
        progress,
    )?;
    let bytes = std::fs::read(&program).map_err(|error| Error::io("read", &program, &error))?;
    let staged = workspace.root.join(path);
    write::atomically(&staged, &bytes)?;
    write::set_mode(&staged, EXECUTABLE)
}
