//! The world of a rehearsal: a scratch copy of the tree, and servers on loopback in the places
//! of the registry, GitHub and the download hosts.
//!
//! Nothing made here may be mistaken for a release: images name a registry that can exist
//! nowhere, placeholders are labelled, and no credential of the environment is read.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use polis_base::archive::{Files, PLAIN};
use polis_base::{Digest, ImageRef};

use xtask::compose::Compose;
use xtask::error::{Error, Result};
use xtask::oci::{self, Blobs, Execution, Platform};
use xtask::pins::{Inventory, edit};
use xtask::verbs::verify_pins;
use xtask::workspace::Workspace;
use xtask::{pins_env, write};
use xtask_online::Endpoints;
use xtask_online::embedded::{EmbeddedFiles, EmbeddedGitHub, EmbeddedRegistry};
use xtask_online::github::{self, GitHub, Token};

use super::plan::REHEARSAL_REGISTRY;
use super::{OWNER, REPO, Run};

/// What is not copied: builds, results, history.
const LEFT_BEHIND: [&str; 3] = ["target", "dist", ".git"];

/// The rehearsal's servers and where they keep what they hold.
#[derive(Debug)]
pub(crate) struct Scene {
    /// The directory of the rehearsal.
    pub(crate) root: PathBuf,
    /// Where the download hosts are reached.
    downloads: Endpoints,
    _registry: EmbeddedRegistry,
    _github: EmbeddedGitHub,
    _files: EmbeddedFiles,
}

impl Scene {
    /// Where the registry keeps its blobs and manifests.
    pub(crate) fn registry_dir(&self) -> PathBuf {
        self.root.join("registry")
    }

    /// Where the GitHub API keeps releases and assets.
    pub(crate) fn github_dir(&self) -> PathBuf {
        self.root.join("github")
    }

    /// Where the download hosts are reached.
    pub(super) fn downloads(&self) -> &Endpoints {
        &self.downloads
    }

    /// What the stand-in for `url` hashes to.
    pub(super) fn stand_in_digest(&self, url: &str) -> Digest {
        Digest::of(&stand_in(url))
    }
}

/// The bytes that stand in for a download: some of them, and none of the real ones.
fn stand_in(url: &str) -> Vec<u8> {
    format!("Stand-in of a rehearsal for {url}\n")
        .repeat(4096)
        .into_bytes()
}

impl Run {
    pub(super) fn copy_tree(&mut self) -> Result<()> {
        let task = self.context.progress.task("copy the tree");
        let real = &self.context.workspace;
        let scene = real.target.join("rehearsal");
        let tree = scene.join("tree");
        for stale in [&tree, &scene.join("registry"), &scene.join("github")] {
            if stale.exists() {
                std::fs::remove_dir_all(stale)
                    .map_err(|error| Error::io("remove", stale, &error))?;
            }
        }
        let files = copy(&real.root, &tree, &LEFT_BEHIND)?;
        // Builds are kept between rehearsals: the second one takes seconds.
        self.context.workspace = Workspace {
            root: tree.clone(),
            target: scene.join("target"),
        };
        let compose = Compose::load(&tree)?;
        let edits = Inventory::of_stack(&compose, Vec::new())
            .edit_images(|image, _| Ok(image.unpinned().with_registry(REHEARSAL_REGISTRY)))?;
        write::changes(&tree, &edit::apply([&compose.source], &edits)?)?;
        let waivers = tree.join(xtask::waivers::PATH);
        let text = std::fs::read_to_string(&waivers)
            .map_err(|error| Error::io("read", &waivers, &error))?;
        let registries: Vec<String> = compose
            .readable_images()?
            .iter()
            .filter_map(|image_use| Some(image_use.image.as_ref().ok()?.registry().to_owned()))
            .collect();
        let text = registries.iter().fold(text, |text, registry| {
            text.replace(&format!("{registry}/"), &format!("{REHEARSAL_REGISTRY}/"))
        });
        write::atomically(&waivers, text.as_bytes())?;
        task.done(&format!("{files} files to {}", tree.display()));
        Ok(())
    }

    pub(super) fn start_servers(&mut self) -> Result<()> {
        let failed = |what: &str| {
            let what = format!("cannot start {what} on loopback");
            move |error: std::io::Error| Error::machine(what).because(error.to_string())
        };
        let root = self
            .context
            .workspace
            .target
            .parent()
            .map_or_else(PathBuf::new, Path::to_owned);
        let token = Token::new("rehearsal")?;
        let downloads = verify_pins::read_downloads(&self.context.workspace)?.downloads;
        let registry =
            EmbeddedRegistry::start(&root.join("registry")).map_err(failed("a registry"))?;
        let github = EmbeddedGitHub::start(&root.join("github"), OWNER, REPO, &token)
            .map_err(failed("a GitHub API"))?;
        let files = downloads
            .iter()
            .filter_map(|download| Some((url_path(&download.url)?, stand_in(&download.url))));
        let files = EmbeddedFiles::start(files).map_err(failed("a file server"))?;
        self.context.endpoints = endpoints(&[
            (REHEARSAL_REGISTRY, &registry.url()),
            (github::API, &github.url()),
            (github::UPLOADS, &github.url()),
        ])?;
        let hosts: BTreeMap<&str, String> = downloads
            .iter()
            .filter_map(|download| Some((host(&download.url)?, files.url())))
            .collect();
        let hosts: Vec<(&str, &str)> = hosts
            .iter()
            .map(|(host, url)| (*host, url.as_str()))
            .collect();
        self.context.progress.note(&format!(
            "registry {}, GitHub API {}, downloads {}",
            registry.url(),
            github.url(),
            files.url()
        ));
        self.github = Some(GitHub::new(&self.context.endpoints, OWNER, REPO, &token)?);
        self.scene = Some(Scene {
            root,
            downloads: endpoints(&hosts)?,
            _registry: registry,
            _github: github,
            _files: files,
        });
        Ok(())
    }

    /// Pushes a tiny image that says what it is, on every platform of a release.
    pub(super) async fn push_placeholder(&mut self, image: &ImageRef) -> Result<()> {
        let scratch = tempfile::tempdir().map_err(|error| {
            Error::machine("cannot make a scratch directory").because(error.to_string())
        })?;
        let layout = placeholder(image, scratch.path())?;
        self.registry()?
            .push_layout(scratch.path(), &image.pinned(layout))
            .await?;
        Ok(())
    }
}

/// Writes the placeholder for `image` as an OCI layout and returns its digest.
fn placeholder(image: &ImageRef, dir: &Path) -> Result<Digest> {
    let text = format!("Placeholder of a rehearsal for {image}. It runs nothing.\n");
    let mut files = Files::new();
    files.add("PLACEHOLDER", PLAIN, text.into_bytes());
    let layer = files
        .to_tar()
        .map_err(|error| Error::machine("cannot pack a placeholder").because(error.to_string()))?;
    let execution = Execution {
        labels: BTreeMap::from([("io.polis.rehearsal".to_owned(), "placeholder".to_owned())]),
        ..Execution::default()
    };
    let mut blobs = Blobs::default();
    let manifests = pins_env::ARCHITECTURES
        .map(|architecture| Platform {
            architecture: architecture.to_owned(),
            os: "linux".to_owned(),
        })
        .map(|platform| blobs.add_image(&platform, &execution, &layer));
    let annotations = BTreeMap::from([(oci::VERSION.to_owned(), "0.0.0-placeholder".to_owned())]);
    let index = blobs.add_index(manifests.to_vec(), annotations);
    let digest = index
        .digest
        .parse()
        .map_err(|error| Error::machine(format!("{error}")))?;
    blobs.write_layout(dir, vec![index])?;
    Ok(digest)
}

fn endpoints(overrides: &[(&str, &str)]) -> Result<Endpoints> {
    overrides
        .iter()
        .try_fold(Endpoints::public(), |endpoints, (host, url)| {
            endpoints.with(host, url).map_err(|error| {
                Error::machine("a server on loopback cannot be reached").because(error.to_string())
            })
        })
}

fn host(url: &str) -> Option<&str> {
    url.strip_prefix("https://")?.split('/').next()
}

fn url_path(url: &str) -> Option<String> {
    let (_, path) = url.strip_prefix("https://")?.split_once('/')?;
    Some(format!("/{path}"))
}

/// Copies the files below `from`, but not what `left_behind` names there; returns how many.
fn copy(from: &Path, to: &Path, left_behind: &[&str]) -> Result<usize> {
    std::fs::create_dir_all(to).map_err(|error| Error::io("create", to, &error))?;
    let mut count = 0;
    for entry in std::fs::read_dir(from).map_err(|error| Error::io("read", from, &error))? {
        let entry = entry.map_err(|error| Error::io("read", from, &error))?;
        let name = entry.file_name();
        if left_behind.iter().any(|left| name == *left) {
            continue;
        }
        let (source, target) = (entry.path(), to.join(&name));
        let kind = entry
            .file_type()
            .map_err(|error| Error::io("read", &source, &error))?;
        if kind.is_dir() {
            count += copy(&source, &target, &[])?;
        } else if kind.is_file() {
            std::fs::copy(&source, &target).map_err(|error| Error::io("copy", &source, &error))?;
            count += 1;
        }
    }
    Ok(count)
}
