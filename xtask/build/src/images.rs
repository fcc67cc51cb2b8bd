//! The images that this repository builds: from the compose file's `build:` entries to one OCI
//! image layout, bit for bit the same from the same commit.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use polis_base::archive::{EXECUTABLE, Files};
use polis_base::{Digest, ImageRef};
use serde_json::{Value, json};

use crate::oci::{self, Blobs, Descriptor, Execution, Platform};
use crate::rust_build::{self, LeftOut, Target};
use xtask_host::error::{Error, Result};
use xtask_host::finding::Finding;
use xtask_host::process::Run;
use xtask_host::progress::Progress;
use xtask_host::workspace::Workspace;
use xtask_host::{tree, write};
use xtask_pins::compose::{BuiltImage, Compose};
use xtask_pins::dockerfile::{self, Native, Recipe};

/// An image that was built.
#[derive(Debug, Clone)]
pub struct Image {
    /// Its reference, pinned to what was built.
    pub image: ImageRef,
    /// Its platforms, as `linux/amd64`.
    pub platforms: Vec<String>,
    /// The platforms that were left out, with the reason.
    pub left_out: Vec<LeftOut>,
    /// The Rust targets of its programs; none where Docker built it.
    pub targets: Vec<String>,
}

impl Image {
    /// The digest of the index.
    pub fn digest(&self) -> Option<Digest> {
        self.image.digest()
    }

    /// Why another machine would build another digest from the same commit, if it would.
    pub fn not_portable(&self) -> Option<String> {
        if let Some(left_out) = self.left_out.first() {
            return Some(format!(
                "linux/{} is left out: {}",
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

    /// Requires that a release may carry this image.
    ///
    /// # Errors
    /// When another machine would build another digest.
    pub fn require_portable(&self) -> Result<()> {
        match self.not_portable() {
            None => Ok(()),
            Some(why) => Err(
                Error::machine(format!("`{}` is not whole", self.image.unpinned()))
                    .because(why)
                    .hint("rustup target add x86_64-unknown-linux-musl aarch64-unknown-linux-musl"),
            ),
        }
    }

    /// The image in a JSON report.
    pub fn to_json(&self) -> Value {
        json!({
            "image": self.image.unpinned().to_string(),
            "digest": self.image.digest().map(|digest| digest.to_string()),
            "platforms": self.platforms,
            "left_out": self.left_out.iter().map(|left_out| json!({
                "platform": format!("linux/{}", left_out.architecture),
                "reason": left_out.reason,
            })).collect::<Vec<_>>(),
        })
    }

    /// The image in lines for people.
    pub fn to_text(&self) -> String {
        let mut text = format!(
            "{}\n  platforms: {}\n",
            self.image,
            self.platforms.join(", ")
        );
        for left_out in &self.left_out {
            text.push_str(&format!(
                "  left out: linux/{}: {}\n",
                left_out.architecture, left_out.reason
            ));
        }
        text
    }
}

/// Builds every image of the compose file's `build:` entries into the OCI layout `layout`.
///
/// # Errors
/// When a Dockerfile is wrong, a build fails, or no platform can be built here. `layout` is
/// then what it was before.
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

/// The images of the OCI layout `layout`, which was built before from the same tree.
///
/// # Errors
/// When it cannot be read, or does not hold exactly the images of the compose file's `build:`
/// entries. Its blobs are hashed where they are used.
pub fn of_layout(workspace: &Workspace, layout: &Path) -> Result<Vec<Image>> {
    let path = layout.join("index.json");
    let failed = |why: String| {
        Error::findings(format!(
            "`{}` is no image layout of this tree",
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
            .ok_or_else(|| failed(format!("it does not hold `{}`", built.image)))?;
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
        Some(other) => Err(failed(format!("it also holds `{other}`"))),
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

/// Puts a `FROM scratch` image together without an engine.
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

/// Builds the program that the image copies, and puts it where the Dockerfile finds it, so that
/// `docker build` finds it too.
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

/// Lets Docker build what we cannot, for both architectures, and takes its layout over.
fn docker(
    workspace: &Workspace,
    built: &BuiltImage,
    reason: &str,
    blobs: &mut Blobs,
    progress: Progress,
) -> Result<Descriptor> {
    let task = progress.task(format!("docker buildx build {}", built.image));
    std::fs::create_dir_all(&workspace.target)
        .map_err(|error| Error::io("create", &workspace.target, &error))?;
    let scratch = tempfile::tempdir_in(&workspace.target)
        .map_err(|error| Error::io("create a directory in", &workspace.target, &error))?;
    let tar = scratch.path().join("image.tar");
    let why = format!(
        "`{}` is no `FROM scratch` image that only copies (`{reason}`), so Docker must build it",
        built.build.dockerfile
    );
    // Without its plugin, Docker complains of an option of the build.
    let plugin = Run::new("docker").args(["buildx", "version"]).output();
    plugin.map_err(|error| {
        Error::machine("`docker buildx` is not installed")
            .because(error.to_string())
            .because(why.clone())
            .hint("install Docker's buildx plugin (the package docker-buildx-plugin), then run this again")
    })?;
    Run::new("docker")
        .args([
            "buildx",
            "build",
            "--platform",
            "linux/amd64,linux/arm64",
            "--provenance=false",
        ])
        .arg("--file")
        .arg(workspace.root.join(&built.build.dockerfile))
        .arg("--output")
        .arg(format!(
            "type=oci,rewrite-timestamp=true,dest={}",
            tar.display()
        ))
        .arg(workspace.root.join(&built.build.context))
        .env("SOURCE_DATE_EPOCH", "0")
        // Docker's own logins, for what an image builds upon.
        .passing(&["DOCKER_AUTH_CONFIG"])
        .output()
        .map_err(|error| error.because(why))?;
    let file = std::fs::File::open(&tar).map_err(|error| Error::io("read", &tar, &error))?;
    let entry = import(file, blobs).map_err(|why| {
        Error::machine(format!(
            "what Docker built for `{}` is no OCI layout",
            built.image
        ))
        .because(why)
    })?;
    task.done(&entry.digest);
    Ok(entry)
}

/// Takes over the one image of an OCI layout in a tar.
fn import(tar: impl Read, blobs: &mut Blobs) -> std::result::Result<Descriptor, String> {
    let text = |error: std::io::Error| error.to_string();
    let mut index = None;
    for entry in tar::Archive::new(tar).entries().map_err(text)? {
        let mut entry = entry.map_err(text)?;
        let path = entry.path().map_err(text)?.display().to_string();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).map_err(text)?;
        if let Some(hex) = path
            .strip_prefix("blobs/sha256/")
            .filter(|hex| !hex.is_empty())
        {
            let found = Digest::of(&bytes);
            if found.hex() != hex {
                return Err(format!("blob {hex} hashes to {}", found.hex()));
            }
            blobs.keep(found, bytes);
        } else if path == "index.json" {
            index = Some(
                serde_json::from_slice::<oci::Index>(&bytes).map_err(|error| error.to_string())?,
            );
        }
    }
    let mut manifests = index.ok_or("it has no index.json")?.manifests;
    match (manifests.pop(), manifests.is_empty()) {
        (Some(mut one), true) => {
            one.annotations.clear();
            Ok(one)
        }
        _ => Err("its index.json does not name exactly one image".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(change: impl Fn(&str, Vec<u8>) -> Vec<u8>) -> Vec<u8> {
        let mut blobs = Blobs::default();
        let platform = Platform {
            architecture: "arm64".to_owned(),
            os: "linux".to_owned(),
        };
        let manifest = blobs.add_image(&platform, &Execution::default(), &[0; 1024]);
        let index = blobs.add_index(vec![manifest], BTreeMap::new());
        let dir = tempfile::tempdir().unwrap();
        blobs.write_layout(dir.path(), vec![index]).unwrap();
        let mut files = Files::new();
        let mut add = |path: String, full: &Path| {
            let bytes = change(&path, std::fs::read(full).unwrap());
            files.add(&path, 0o644, bytes);
        };
        add("index.json".to_owned(), &dir.path().join("index.json"));
        for blob in std::fs::read_dir(dir.path().join("blobs/sha256")).unwrap() {
            let blob = blob.unwrap();
            add(
                format!("blobs/sha256/{}", blob.file_name().display()),
                &blob.path(),
            );
        }
        files.to_tar().unwrap()
    }

    #[test]
    fn what_docker_built_is_taken_over_and_verified() {
        let mut blobs = Blobs::default();
        let entry = import(layout(|_, bytes| bytes).as_slice(), &mut blobs).unwrap();
        assert_eq!(blobs.platforms(&entry), ["linux/arm64"]);
        let broken = layout(|path, bytes| {
            if path.starts_with("blobs") {
                b"x".to_vec()
            } else {
                bytes
            }
        });
        assert!(
            import(broken.as_slice(), &mut Blobs::default())
                .expect_err("broken")
                .contains("hashes to")
        );
        let empty = layout(|path, bytes| {
            if path == "index.json" {
                b"{\"schemaVersion\":2,\"manifests\":[]}".to_vec()
            } else {
                bytes
            }
        });
        assert!(
            import(empty.as_slice(), &mut Blobs::default())
                .expect_err("empty")
                .contains("exactly one")
        );
    }
}
