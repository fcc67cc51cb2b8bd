//! The environment of a rehearsal: a scratch copy of the tree that is ready for release, and servers on loopback for
//! the registry, GitHub and the download hosts.
//!
//! Whatever the state of the tree, its copy fulfils the requirements of RELEASING.md: every image pinned, nothing
//! waived, a public key, a changelog with the version released, and a commit with its tag. From there on, a rehearsal
//! is a release.
//!
//! Nothing made here can be mistaken for a release: images are in a registry that cannot exist, placeholders are
//! labelled, and no credential of the environment is read.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use polis_base::{Digest, ImageRef};

use xtask_build::images;
use xtask_build::report::default_layout;
use xtask_host::error::{Error, Result};
use xtask_host::process::Run as Process;
use xtask_host::workspace::Workspace;
use xtask_host::write;
use xtask_pins::compose::Compose;
use xtask_pins::contract;
use xtask_pins::edit;
use xtask_pins::inventory::page;
use xtask_pins::inventory::{Files, Inventory};
use xtask_pins::verify_pins;
use xtask_pins::versions;
use xtask_pins::waivers;

use xtask_dist::sign::{PUBLIC_KEY, SigningKey};
use xtask_loopback::{EmbeddedFiles, EmbeddedGitHub, EmbeddedRegistry};
use xtask_online::Endpoints;
use xtask_online::github::{self, Token};
use xtask_online::registry::{Logins, Registry};
use xtask_online::stand_in;

use super::tree;
use crate::context::{Context, REPOSITORY};
use crate::verbs::pin;

/// The registry in the image names of a rehearsal; `.invalid` never resolves (RFC 2606).
pub(crate) const REHEARSAL_REGISTRY: &str = "rehearsal.invalid";
/// What is not copied: build directories, results, history.
const LEFT_BEHIND: [&str; 3] = ["target", "dist", ".git"];
/// The token that the rehearsal's GitHub accepts.
const TOKEN: &str = "rehearsal";
/// The waivers of a tree that is ready for release.
const NO_WAIVERS: &str = "version: 1\nwaivers: []\n";

/// The rehearsal's servers and credentials, and the directories of their state.
#[derive(Debug)]
pub(crate) struct Sandbox {
    root: PathBuf,
    key: SigningKey,
    token: Token,
    _registry: EmbeddedRegistry,
    github: EmbeddedGitHub,
    _files: EmbeddedFiles,
}

impl Sandbox {
    /// The directory of the registry's blobs and manifests.
    pub(crate) fn registry_dir(&self) -> PathBuf {
        self.root.join("registry")
    }

    /// The directory of GitHub's releases and assets.
    pub(crate) fn github_dir(&self) -> PathBuf {
        self.root.join("github")
    }

    /// The key that was generated for this rehearsal.
    pub(super) fn signing_key(&self) -> SigningKey {
        self.key.clone()
    }

    /// The token that the rehearsal's GitHub accepts.
    pub(super) fn token(&self) -> Token {
        self.token.clone()
    }
}

/// The bytes that the rehearsal serves for a download. They are never the real ones.
pub(super) fn stand_in(url: &str) -> Vec<u8> {
    format!("Stand-in of a rehearsal for {url}\n")
        .repeat(4096)
        .into_bytes()
}

/// Prepares a rehearsal of the tree of `context`; returns it with the context of a release in it.
///
/// # Errors
/// If the tree cannot be copied or built, or no server can be started.
pub(crate) async fn prepare(context: &Context) -> Result<(Context, Sandbox)> {
    let root = context.workspace.target.join("rehearsal");
    let key = SigningKey::for_rehearsal()?;
    let version = versions::of_workspace(&context.workspace)?;
    let workspace = Workspace {
        root: root.join("tree"),
        target: root.join("target"),
    };
    let task = context.progress.task("copy the tree");
    let files = copy_tree(&context.workspace.root, &root, &key)?;
    task.done(&format!("{files} files to {}", workspace.root.display()));
    for stale in ["registry", "github"].map(|name| root.join(name)) {
        if stale.exists() {
            std::fs::remove_dir_all(&stale).map_err(|error| Error::io("remove", &stale, &error))?;
        }
    }
    let (sandbox, endpoints) = start_servers(context, root, &workspace, key)?;
    let context = Context {
        workspace,
        endpoints,
        ..context.clone()
    };
    publish_and_pin(&context).await?;
    let tag = format!("v{version}");
    let commit = commit(&context.workspace, &tag)?;
    sandbox.github.tag(&tag, &commit).map_err(|error| {
        Error::machine("cannot tag on the loopback GitHub").because(error.to_string())
    })?;
    Ok((context, sandbox))
}

/// Makes `root/tree` a release-ready copy of `from`, without digests; returns the number of files. Does not touch
/// unchanged files, so that earlier builds stay valid.
fn copy_tree(from: &Path, root: &Path, key: &SigningKey) -> Result<usize> {
    let fresh = root.join("fresh");
    if fresh.exists() {
        std::fs::remove_dir_all(&fresh).map_err(|error| Error::io("remove", &fresh, &error))?;
    }
    copy(from, &fresh, &LEFT_BEHIND)?;
    let compose = Compose::load(&fresh)?;
    let edits = Inventory::of_stack(&compose, Vec::new())
        .edit_images(|image, _| Ok(image.unpinned().with_registry(REHEARSAL_REGISTRY)))?;
    edit::write(&fresh, &edit::apply([&compose.source], &edits)?)?;
    rename_contracts(&fresh)?;
    write::atomically(&fresh.join(waivers::PATH), NO_WAIVERS.as_bytes())?;
    write::atomically(&fresh.join(PUBLIC_KEY), key.public_key_file()?.as_bytes())?;
    release_changelog(&fresh)?;
    let tree = root.join("tree");
    keep_pins(&fresh, &tree)?;
    let count = sync(&fresh, &tree)?;
    std::fs::remove_dir_all(&fresh).map_err(|error| Error::io("remove", &fresh, &error))?;
    Ok(count)
}

/// Changes the contracts to name the images of the rehearsal.
fn rename_contracts(root: &Path) -> Result<()> {
    for contract in contract::load(root)? {
        let path = root.join(&contract.source.path);
        let text =
            std::fs::read_to_string(&path).map_err(|error| Error::io("read", &path, &error))?;
        let (_, repository) = contract.image.split_once('/').unwrap_or_default();
        let renamed = format!("{REHEARSAL_REGISTRY}/{repository}");
        let text = text.replacen(&contract.image, &renamed, 1);
        write::atomically(&path, text.as_bytes())?;
    }
    Ok(())
}

/// Removes `(unreleased)` from the heading of the newest version in the changelog.
fn release_changelog(root: &Path) -> Result<()> {
    let workspace = Workspace {
        root: root.to_owned(),
        target: root.join("target"),
    };
    let version = versions::of_workspace(&workspace)?;
    let changelog = workspace.read("CHANGELOG.md")?;
    let Some(span) = versions::unreleased(&changelog.text, &version) else {
        return Ok(());
    };
    let text = &changelog.text;
    let text = format!("{}## {version}{}", &text[..span.start], &text[span.end..]);
    write::atomically(&root.join("CHANGELOG.md"), text.as_bytes())
}

/// Copies the digests of the last rehearsal into the fresh compose file if nothing else differs. An unchanged compose
/// file need not be embedded again.
fn keep_pins(fresh: &Path, last: &Path) -> Result<()> {
    let Ok(known) = Compose::load(last) else {
        return Ok(());
    };
    let edits =
        Inventory::of_stack(&known, Vec::new()).edit_images(|image, _| Ok(image.unpinned()))?;
    let unpinned = edit::apply([&known.source], &edits)?;
    let now = Compose::load(fresh)?;
    if unpinned
        .iter()
        .any(|change| change.after == now.source.text)
    {
        let path = fresh.join(xtask_pins::compose::PATH);
        write::atomically(&path, known.source.text.as_bytes())?;
    }
    Ok(())
}

fn start_servers(
    context: &Context,
    root: PathBuf,
    workspace: &Workspace,
    key: SigningKey,
) -> Result<(Sandbox, Endpoints)> {
    let failed = |what: &str| {
        let what = format!("cannot start {what} on loopback");
        move |error: std::io::Error| Error::machine(what).because(error.to_string())
    };
    let token = Token::new(TOKEN)?;
    let (owner, repo) = REPOSITORY.split_once('/').unwrap_or((REPOSITORY, ""));
    let downloads = verify_pins::read_downloads(workspace)?.downloads;
    let registry = EmbeddedRegistry::start(&root.join("registry")).map_err(failed("a registry"))?;
    let github = EmbeddedGitHub::start(&root.join("github"), owner, repo, TOKEN)
        .map_err(failed("a GitHub API"))?;
    github
        .set_immutable(true)
        .map_err(failed("a GitHub API with immutable releases"))?;
    let files = downloads
        .iter()
        .filter_map(|download| Some((url_path(&download.url)?, stand_in(&download.url))));
    let files = EmbeddedFiles::start(files).map_err(failed("a file server"))?;
    let hosts: BTreeSet<&str> = downloads
        .iter()
        .filter_map(|download| host(&download.url))
        .collect();
    let mut overrides = vec![
        (REHEARSAL_REGISTRY, registry.url()),
        (github::API, github.url()),
        (github::UPLOADS, github.url()),
    ];
    overrides.extend(hosts.iter().map(|host| (*host, files.url())));
    let endpoints = overrides
        .iter()
        .try_fold(Endpoints::public(), |endpoints, (host, url)| {
            endpoints.with(host, url).map_err(|error| {
                Error::machine("a server on loopback cannot be reached").because(error.to_string())
            })
        })?;
    context.progress.note(&format!(
        "registry {}, GitHub API {}, downloads {}",
        registry.url(),
        github.url(),
        files.url()
    ));
    let sandbox = Sandbox {
        root,
        key,
        token,
        _registry: registry,
        github,
        _files: files,
    };
    Ok((sandbox, endpoints))
}

/// Pushes a placeholder for every image of other projects, builds ours, and pins all of them.
async fn publish_and_pin(context: &Context) -> Result<()> {
    let workspace = &context.workspace;
    let files = Files::read(&workspace.root)?;
    let inventory = Inventory::of_stack(&Compose::load(&workspace.root)?, Vec::new());
    let pulled = inventory.to_resolve()?;
    let task = context
        .progress
        .task(format!("push placeholders for {} images", pulled.len()));
    let registry = Registry::new(&context.endpoints, Logins::none())?;
    for image in &pulled {
        push_placeholder(&workspace.root, &registry, &image.unpinned()).await?;
    }
    task.done("labelled `io.polis.rehearsal`");
    let built = images::build(workspace, &default_layout(workspace), context.progress)?;
    let digests: BTreeMap<ImageRef, Digest> = pin::digests(&registry, pulled, &built).await?;
    let changes = pin::changes(&files, &inventory, &digests)?;
    let changes = page::follow(workspace, &files, changes)?;
    edit::write(&workspace.root, &changes)
}

/// Pushes a stand-in that meets the contract of `image` in the tree at `root`.
async fn push_placeholder(root: &Path, registry: &Registry, image: &ImageRef) -> Result<()> {
    let scratch = tempfile::tempdir().map_err(|error| {
        Error::machine("cannot create a scratch directory").because(error.to_string())
    })?;
    let text = format!("Placeholder of a rehearsal for {image}. It runs nothing.\n");
    let digest = stand_in::write(root, image, &text, scratch.path())?.ok_or_else(|| {
        Error::findings(format!(
            "no contract in `{}` is for `{image}`",
            contract::DIR
        ))
        .hint("add one with the facts that our files rely on")
    })?;
    registry
        .push_layout(scratch.path(), &image.pinned(digest))
        .await?;
    Ok(())
}

/// Commits the copy as a repository with the tag `tag`; returns the commit.
fn commit(workspace: &Workspace, tag: &str) -> Result<String> {
    let history = workspace.root.join(".git");
    if history.exists() {
        std::fs::remove_dir_all(&history).map_err(|error| Error::io("remove", &history, &error))?;
    }
    for args in [
        &["init", "--quiet"][..],
        &["add", "--all"],
        &["commit", "--quiet", "--message", "Rehearsal of a release"],
        &["tag", "--annotate", "--message", "A rehearsal", tag],
    ] {
        git(workspace, args).output()?;
    }
    tree::head(workspace)
}

/// git without any user's configuration, hooks or keys.
fn git(workspace: &Workspace, args: &[&str]) -> Process {
    const SETTINGS: [&str; 6] = [
        "-c",
        "user.name=rehearsal",
        "-c",
        "user.email=rehearsal@rehearsal.invalid",
        "-c",
        "core.autocrlf=false",
    ];
    Process::new("git")
        .args(SETTINGS)
        .args(args)
        .cwd(&workspace.root)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env(
            "GIT_CONFIG_GLOBAL",
            if cfg!(windows) { "NUL" } else { "/dev/null" },
        )
}

fn host(url: &str) -> Option<&str> {
    url.strip_prefix("https://")?.split('/').next()
}

fn url_path(url: &str) -> Option<String> {
    let (_, path) = url.strip_prefix("https://")?.split_once('/')?;
    Some(format!("/{path}"))
}

/// Copies the files below `from`, except for the entries in `left_behind`.
fn copy(from: &Path, to: &Path, left_behind: &[&str]) -> Result<()> {
    std::fs::create_dir_all(to).map_err(|error| Error::io("create", to, &error))?;
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
            copy(&source, &target, &[])?;
        } else if kind.is_file() {
            std::fs::copy(&source, &target).map_err(|error| Error::io("copy", &source, &error))?;
        }
    }
    Ok(())
}

/// Makes the files below `to` equal to those below `from`; returns their number. Unchanged files keep their
/// modification time, so that cargo does not rebuild them.
fn sync(from: &Path, to: &Path) -> Result<usize> {
    let (wanted, there) = (below(from)?, below(to).unwrap_or_default());
    for gone in there.difference(&wanted) {
        let path = to.join(gone);
        std::fs::remove_file(&path).map_err(|error| Error::io("remove", &path, &error))?;
    }
    for name in &wanted {
        let (source, target) = (from.join(name), to.join(name));
        let bytes = std::fs::read(&source).map_err(|error| Error::io("read", &source, &error))?;
        if std::fs::read(&target).is_ok_and(|there| there == bytes) {
            continue;
        }
        if let Some(dir) = target.parent() {
            std::fs::create_dir_all(dir).map_err(|error| Error::io("create", dir, &error))?;
        }
        std::fs::copy(&source, &target).map_err(|error| Error::io("copy", &source, &error))?;
    }
    Ok(wanted.len())
}

/// The files below `root`, relative to it, without those of git.
fn below(root: &Path) -> Result<BTreeSet<String>> {
    let mut found = Vec::new();
    write::files_below(root, ".", &mut found)?;
    Ok(found
        .into_iter()
        .filter(|path| !path.starts_with("./.git/"))
        .collect())
}
