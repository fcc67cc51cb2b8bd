//! Servers on loopback for everything that a copy of the tree pins: a registry, GitHub and the download hosts.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use polis_base::{Digest, ImageRef};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha1::{Digest as _, Sha1};
use tempfile::TempDir;
use xtask_loopback::{EmbeddedFiles, EmbeddedRegistry, Faults};
use xtask_online::registry::{Logins, Registry};
use xtask_pins::inventory::{Dependency, Inventory};
use xtask_testkit::{Ran, Tree, prepared};

use super::{copy, endpoints, layout};

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_xtask-online");
pub(crate) const COMPOSE: &str = "compose/docker-compose.yml";
pub(crate) const CLOUD_INIT: &str = "cloud-init/cloud-init.yaml";

/// The services with images of other projects.
pub(crate) const SERVICES: [&str; 8] = [
    "resolver",
    "certgen",
    "gate",
    "sentinel",
    "scanner",
    "workspace",
    "state",
    "toolbox",
];

/// The list of digests in the release of the images, in a copy of the tree.
pub(crate) const DIGESTS: &str = "/odralabshq/polis/releases/download/v0.4.0/image-digests.json";

/// All servers except the registry. Paths do not collide, so one server plays all hosts.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Others {
    /// The served content, by path.
    pub(crate) files: BTreeMap<String, Vec<u8>>,
    hosts: Vec<String>,
}

impl Others {
    /// Creates stand-ins for what `tree` downloads besides images, and sets its checksums and fingerprint to theirs.
    pub(crate) fn of(tree: &Tree) -> Self {
        let inventory = Inventory::read(tree.root()).expect("pins");
        let mut others = Self {
            files: BTreeMap::new(),
            hosts: vec!["api.github.com".into(), "static.rust-lang.org".into()],
        };
        for pin in &inventory.pins {
            match &pin.dependency {
                Dependency::Download(download) => {
                    let bytes = format!("the bytes of {}", download.url).into_bytes();
                    let (old, new) = (download.sha256.hex(), Digest::of(&bytes).hex());
                    tree.replace(CLOUD_INIT, &old, &new);
                    others.add(&download.url, bytes);
                }
                Dependency::Key(key) => {
                    let (bytes, fingerprint) = key_file(b"the one key");
                    tree.replace(CLOUD_INIT, &key.fingerprint, &fingerprint);
                    others.add(&key.url, bytes);
                }
                Dependency::Action(action) => {
                    let repository = &action.repository;
                    let tag = action.tag.as_deref().expect("a tag");
                    others.tag(repository, tag, &action.reference);
                }
                Dependency::Toolchain(channel) => {
                    let path = format!("/dist/channel-rust-{channel}.toml");
                    others
                        .files
                        .insert(path, b"manifest-version = \"2\"".to_vec());
                }
                Dependency::Image(_) | Dependency::Base(_) => {}
            }
        }
        others
    }

    /// Saves the content to a file in `dir`, for other test processes.
    pub(crate) fn save(&self, dir: &Path) {
        let json = serde_json::to_vec(self).expect("JSON");
        fs::write(dir.join("others.json"), json).expect("others.json");
    }

    /// Loads what [`Self::save`] wrote.
    pub(crate) fn load(dir: &Path) -> Self {
        let json = fs::read(dir.join("others.json")).expect("others.json");
        serde_json::from_slice(&json).expect("JSON")
    }

    /// Serves lists of digests that match the pins of `tree`.
    pub(crate) fn list(&mut self, tree: &Tree) {
        let inventory = Inventory::read(tree.root()).expect("pins");
        let images = inventory.images().filter(|pin| !pin.built);
        let images = images.filter_map(|pin| Some((pin.name(), pin.pinned()?)));
        let mut lists: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
        for (name, digest) in images {
            let tag = name.rsplit(':').next().unwrap_or_default();
            let list = lists.entry(DIGESTS.replace("v0.4.0", tag)).or_default();
            list.insert(name, digest);
        }
        let lists = lists.into_iter();
        self.files
            .extend(lists.map(|(path, list)| (path, json!(list).to_string().into_bytes())));
    }

    fn add(&mut self, url: &str, bytes: Vec<u8>) {
        let url = reqwest::Url::parse(url).expect("a URL");
        let host = url.host_str().expect("a host").to_owned();
        if !self.hosts.contains(&host) {
            self.hosts.push(host);
        }
        self.files.insert(url.path().to_owned(), bytes);
    }

    /// Serves the annotated tag `tag` of `repository` on `commit`.
    pub(crate) fn tag(&mut self, repository: &str, tag: &str, commit: &str) {
        let git = format!("/repos/{repository}/git");
        let object = |kind: &str, sha: &str| {
            json!({"object": {"type": kind, "sha": sha}})
                .to_string()
                .into_bytes()
        };
        let annotated = "a".repeat(40);
        let path = format!("{git}/ref/tags/{tag}");
        self.files.insert(path, object("tag", &annotated));
        let path = format!("{git}/tags/{annotated}");
        self.files.insert(path, object("commit", commit));
    }

    /// Starts a server with this content; returns it with the endpoints that point to it.
    pub(crate) fn serve(&self, faults: &Faults) -> (EmbeddedFiles, Vec<String>) {
        let server = EmbeddedFiles::start_with(self.files.clone(), faults).expect("server");
        let url = server.url();
        let endpoints = self.hosts.iter().map(|host| format!("{host}={url}"));
        (server, endpoints.collect())
    }
}

/// A version 4 public key packet with the key material `bytes`, and its fingerprint.
pub(crate) fn key_file(bytes: &[u8]) -> (Vec<u8>, String) {
    let body = [&[4, 0, 0, 0, 0, 22], bytes].concat();
    let length = u16::try_from(body.len()).expect("short");
    let packet = [&[0x99][..], &length.to_be_bytes(), &body].concat();
    let hash = Sha1::digest(&packet);
    let hex = hash.iter().map(|byte| format!("{byte:02X}"));
    let fingerprint = hex.collect();
    (packet, fingerprint)
}

/// A copy of the tree with everything pinned, and all servers for its pins.
pub(crate) struct TestEnv {
    pub(crate) tree: Tree,
    pub(crate) others: Others,
    pub(crate) registry: EmbeddedRegistry,
    /// The faults of the registry.
    pub(crate) registry_faults: Faults,
    /// The faults of all other servers.
    pub(crate) other_faults: Faults,
    storage: TempDir,
}

impl TestEnv {
    pub(crate) fn start() -> Self {
        let prepared = prepared("test-env", |dir| {
            let tree = Tree::data();
            let storage = tempfile::tempdir().expect("storage");
            let others = Others::of(&tree);
            let mut env = Self::serve(tree, others, storage);
            env.publish_and_pin();
            env.others.list(&env.tree);
            env.others.save(dir);
            copy(env.tree.root(), &dir.join("tree"));
            copy(env.storage(), &dir.join("registry"));
        });
        let storage = tempfile::tempdir().expect("storage");
        copy(&prepared.join("registry"), storage.path());
        let tree = Tree::copy_of(&prepared.join("tree"));
        Self::serve(tree, Others::load(&prepared), storage)
    }

    fn serve(tree: Tree, others: Others, storage: TempDir) -> Self {
        let registry_faults = Faults::none();
        let registry = EmbeddedRegistry::start_with(storage.path(), &registry_faults);
        Self {
            tree,
            others,
            registry: registry.expect("registry"),
            registry_faults,
            other_faults: Faults::none(),
            storage,
        }
    }

    /// Pushes an image for every reference and pins it.
    fn publish_and_pin(&self) {
        let inventory = Inventory::read(self.tree.root()).expect("pins");
        let mut text = self.tree.read(COMPOSE);
        for image in inventory.images().filter_map(|pin| pin.image()) {
            let digest = self.push(image, &image.to_string());
            let old = format!("image: {image}\n");
            assert!(text.contains(&old), "{old}");
            text = text.replace(&old, &format!("image: {image}@{digest}\n"));
        }
        self.tree.write(COMPOSE, &text);
        self.tree
            .write("compose/pin-waivers.yaml", "version: 1\nwaivers: []\n");
    }

    /// Pushes an image as `image` that meets its contract and contains `text`.
    pub(crate) fn push(&self, image: &ImageRef, text: &str) -> Digest {
        let dir = tempfile::tempdir().expect("layout");
        layout::published(self.tree.root(), image, text, dir.path());
        self.push_layout(image, dir.path())
    }

    /// Pushes the layout in `dir` as `image`.
    pub(crate) fn push_layout(&self, image: &ImageRef, dir: &Path) -> Digest {
        let endpoint = format!("{}={}", image.registry(), self.registry.url());
        let runtime = tokio::runtime::Runtime::new().expect("runtime");
        let push = async {
            let registry = Registry::new(&endpoints(&[endpoint]), Logins::none()).expect("client");
            registry.push_layout(dir, &image.unpinned()).await
        };
        runtime.block_on(push).expect("push")
    }

    /// The directory of the registry's content.
    pub(crate) fn storage(&self) -> &Path {
        self.storage.path()
    }

    /// The line at which the compose file names the image of `service`, as findings show it.
    pub(crate) fn line_of(&self, service: &str) -> String {
        let text = self.tree.read("compose/docker-compose.yml");
        let named = format!("image: ghcr.io/odralabshq/polis-{service}-oss:");
        let line = text.lines().position(|line| line.contains(&named));
        let line = line.expect("the compose file names the image") + 1;
        format!("compose/docker-compose.yml:{line}")
    }

    /// The pinned reference of the image of `service`.
    pub(crate) fn image(&self, service: &str) -> ImageRef {
        let inventory = Inventory::read(self.tree.root()).expect("pins");
        let mut images = inventory.images().filter_map(|pin| pin.image());
        let name = format!("polis-{service}-oss");
        let found = images.find(|image| image.repository().ends_with(&name));
        found.expect(service).clone()
    }

    /// Runs a verb.
    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        self.run_with(args, &[])
    }

    /// Runs a verb with additional environment.
    pub(crate) fn run_with(&self, args: &[&str], env: &[(&str, &str)]) -> Ran {
        self.run_at(args, env, &[])
    }

    /// Runs a verb with additional environment and other servers for some hosts.
    pub(crate) fn run_at(
        &self,
        args: &[&str],
        env: &[(&str, &str)],
        servers: &[(&str, String)],
    ) -> Ran {
        let (_server, mut endpoints) = self.others.serve(&self.other_faults);
        endpoints.push(format!("ghcr.io={}", self.registry.url()));
        for (host, url) in servers {
            endpoints.retain(|endpoint| !endpoint.starts_with(&format!("{host}=")));
            endpoints.push(format!("{host}={url}"));
        }
        let mut args: Vec<&str> = args.to_vec();
        args.push("--quiet");
        for endpoint in &endpoints {
            args.extend(["--endpoint", endpoint]);
        }
        self.tree.run_with(PROGRAM, &args, env)
    }

    /// The states of all pins that are not fine, as `STATE NAME`, and the exit code.
    pub(crate) fn states(&self) -> (i32, Vec<String>) {
        let ran = self.run(&["verify-pins", "--format", "json"]);
        let report = ran.report();
        let pins = report["data"]["pins"].as_array().expect("pins").iter();
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        let states = pins.map(|pin| format!("{} {}", text(&pin["state"]), text(&pin["name"])));
        let states = states.filter(|state| !state.starts_with("ok "));
        (ran.code, states.collect())
    }
}
