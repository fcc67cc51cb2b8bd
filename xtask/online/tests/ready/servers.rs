//! The servers that a release uses, on loopback: a registry with stand-ins for the published images, GitHub, and the
//! hosts of the downloads. Their content stays after they stop.

use std::collections::BTreeMap;
use std::path::Path;

use polis_base::{Digest, ImageRef};
use xtask_loopback::{EmbeddedFiles, EmbeddedGitHub, EmbeddedRegistry, Faults, Journal};
use xtask_online::Endpoints;
use xtask_online::github::{API, UPLOADS};
use xtask_online::registry::{Logins, Registry};
use xtask_online::stand_in;
use xtask_pins::edit::{self, apply};
use xtask_pins::inventory::{Dependency, Files, Inventory, update};

/// The token that this GitHub accepts.
pub(crate) const TOKEN: &str = "ready-token";

/// Running servers.
pub(crate) struct Servers {
    endpoints: Vec<String>,
    registry: EmbeddedRegistry,
    pub(crate) github: EmbeddedGitHub,
    /// The requests that change something.
    pub(crate) journal: Journal,
    _files: EmbeddedFiles,
}

impl Servers {
    /// Serves what the tree at `tree` downloads, and stores it below `dir`. Sets the checksums in the tree to those of
    /// stand-ins, because the real files are not available.
    pub(crate) fn start(dir: &Path, tree: &Path) -> Self {
        let journal = Journal::default();
        let registry =
            EmbeddedRegistry::start_journaled(&dir.join("registry"), &Faults::none(), &journal)
                .expect("a registry");
        let github = EmbeddedGitHub::start_journaled(
            &dir.join("github"),
            "odralabshq",
            "polis",
            TOKEN,
            &Faults::none(),
            &journal,
        )
        .expect("a GitHub");
        github.set_immutable(true).expect("immutable releases");
        let (served, mut hosts) = downloads(tree);
        let files = EmbeddedFiles::start(served).expect("a file server");
        hosts.sort();
        hosts.dedup();
        let mut endpoints = vec![format!("{API}={}", github.url())];
        endpoints.push(format!("{UPLOADS}={}", github.url()));
        endpoints.extend(hosts.iter().map(|host| format!("{host}={}", files.url())));
        let servers = Self {
            endpoints,
            registry,
            github,
            journal,
            _files: files,
        };
        servers.publish(tree)
    }

    /// The servers in the form of `POLIS_ENDPOINTS`.
    pub(crate) fn endpoints(&self) -> String {
        self.endpoints.join(",")
    }

    /// Pushes a stand-in for every image of other projects in the tree.
    fn publish(mut self, tree: &Path) -> Self {
        let inventory = Inventory::read(tree).expect("pins");
        let images = inventory.to_resolve().expect("images");
        let mut hosts: Vec<&str> = images.iter().map(ImageRef::registry).collect();
        hosts.sort_unstable();
        hosts.dedup();
        let url = self.registry.url();
        let here = hosts.iter().map(|host| format!("{host}={url}"));
        self.endpoints.extend(here);
        let endpoints = Endpoints::parse(&self.endpoints).expect("endpoints");
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let registry = Registry::new(&endpoints, Logins::none()).expect("a client");
        for image in &images {
            let dir = tempfile::tempdir().expect("a directory");
            let image = image.unpinned();
            let text = format!("Placeholder for {image}. It runs nothing.\n");
            let written = stand_in::write(tree, &image, &text, dir.path());
            let digest = written.expect("a layout");
            assert!(digest.is_some(), "{image} has no contract");
            let push = registry.push_layout(dir.path(), &image);
            runtime.block_on(push).expect("a push");
        }
        self
    }
}

/// Stand-ins for the downloads of the tree, by path, and their hosts.
fn downloads(tree: &Path) -> (BTreeMap<String, Vec<u8>>, Vec<String>) {
    let files = Files::read(tree).expect("files");
    let inventory = Inventory::extract(&files);
    let (mut served, mut hosts, mut edits) = (BTreeMap::new(), Vec::new(), Vec::new());
    for pin in &inventory.pins {
        let Dependency::Download(download) = &pin.dependency else {
            continue;
        };
        let bytes = format!("stand-in for {}\n", download.url).into_bytes();
        let rest = download.url.strip_prefix("https://").expect("https");
        let (host, path) = rest.split_once('/').expect("a path");
        let version = download.version.clone().unwrap_or_default();
        edits.extend(update::download(
            pin,
            download,
            &version,
            Digest::of(&bytes),
        ));
        served.insert(format!("/{path}"), bytes);
        hosts.push(host.to_owned());
    }
    let changes = apply(files.all(), &edits).expect("edits");
    edit::write(tree, &changes).expect("written");
    (served, hosts)
}
