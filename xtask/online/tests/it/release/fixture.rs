//! A tree that is ready for release, with everything that its release needs.
//!
//! Nothing is compiled, and releases run without cargo: archives contain programs of a few bytes with the marker of the
//! CLI, images come from a layout, and everything was assembled before, as for the CI job that has the key. One release
//! takes a fraction of a second, so hundreds can be interrupted.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use polis_base::archive::{EXECUTABLE, Files, PLAIN};
use polis_base::facts::Facts;
use polis_base::pages::{self, PAGES};
use polis_base::{Digest, ImageRef};
use xtask_build::oci::{self, Blobs, Execution, Platform};
use xtask_dist::{Archives, Inputs, ReleaseKind};
use xtask_host::progress::Progress;
use xtask_host::workspace::Workspace;
use xtask_loopback::EmbeddedRegistry;
use xtask_online::registry::{Logins, Registry};
use xtask_pins::edit;
use xtask_pins::inventory::{self, Inventory, page};
use xtask_testkit::{Tree, prepared};

use crate::support::test_env::{COMPOSE, Others};
use crate::support::{copy, endpoints, external_tool, layout, run};

/// The targets of the fixture, which one kind of runner could build.
pub(super) const TARGETS: [&str; 2] = ["aarch64-unknown-linux-musl", "x86_64-unknown-linux-musl"];

/// What all environments of a version share.
pub(super) struct Fixture {
    pub(super) tree: Tree,
    pub(super) others: Others,
    /// The directory of everything besides the tree.
    pub(super) parts: PathBuf,
    pub(super) secret_key: String,
}

/// The fixture of `version`.
pub(super) fn fixture(version: &'static str) -> &'static Fixture {
    static OLDER: OnceLock<Fixture> = OnceLock::new();
    static NEWER: OnceLock<Fixture> = OnceLock::new();
    let cell = match version {
        "0.5.0" => &OLDER,
        _ => &NEWER,
    };
    cell.get_or_init(|| {
        let parts = prepared(&format!("release-{version}"), |dir| {
            Fixture::make(dir, version)
        });
        Fixture {
            tree: Tree::shared(parts.join("tree")),
            others: Others::load(&parts),
            secret_key: fs::read_to_string(parts.join("key")).unwrap(),
            parts,
        }
    })
}

impl Fixture {
    /// Populates the directory `parts`.
    fn make(parts: &Path, version: &str) {
        let whole = Tree::whole();
        copy(whole.root(), &parts.join("tree"));
        let tree = Tree::shared(parts.join("tree"));
        let others = Others::of(&tree);
        others.save(parts);
        let key = minisign::KeyPair::generate_unencrypted_keypair().unwrap();
        let fixture = Self {
            others,
            parts: parts.to_owned(),
            secret_key: key.sk.to_box(None).unwrap().into_string(),
            tree,
        };
        fs::write(parts.join("key"), &fixture.secret_key).unwrap();
        let bin = fixture.parts.join("bin");
        fs::create_dir(&bin).unwrap();
        std::os::unix::fs::symlink(external_tool("git").unwrap(), bin.join("git")).unwrap();
        let tree = &fixture.tree;
        tree.write("minisign.pub", &key.pk.to_box().unwrap().into_string());
        fixture.set_version(version);
        fixture.publish_and_pin(version);
        fixture.pack(version);
        git(tree.root(), &["init", "--quiet"]);
        git(tree.root(), &["add", "--all"]);
        git(tree.root(), &["commit", "--quiet", "--message", "Release"]);
        let tag = format!("v{version}");
        git(tree.root(), &["tag", "--annotate", "--message", &tag, &tag]);
        // A checkout is copied hundreds of times, so pack its objects into one file.
        git(tree.root(), &["gc", "--quiet", "--prune=now"]);
        fixture.assemble();
    }

    /// Assembles everything except the signature, as the CI job before the release does.
    fn assemble(&self) {
        let workspace = self.workspace();
        let layout = self.parts.join("layout");
        let inputs = Inputs {
            workspace: &workspace,
            kind: ReleaseKind::Release,
            commit: &head(self.tree.root()),
            targets: &TARGETS.map(str::to_owned),
            archives: &Archives::Prebuilt(self.parts.join("prebuilt")),
            images: &xtask_build::images::of_layout(&workspace, &layout).unwrap(),
            public_key: &self.tree.read("minisign.pub"),
        };
        let assembled = xtask_dist::assemble(&inputs, Progress::Silent).unwrap();
        let dir = self.parts.join("assembled");
        assembled.unsigned().write(&dir).unwrap();
    }

    fn workspace(&self) -> Workspace {
        Workspace {
            root: self.tree.root().to_owned(),
            target: self.tree.root().join("target"),
        }
    }

    fn set_version(&self, version: &str) {
        let tree = &self.tree;
        let old = xtask_testkit::VERSION;
        for (path, before, after) in [
            (
                "Cargo.toml",
                format!("version = \"{old}\""),
                format!("version = \"{version}\""),
            ),
            (
                "CHANGELOG.md",
                format!("## {old} (unreleased)"),
                format!("## {version}"),
            ),
            ("CHANGELOG.md", format!("## {old}"), format!("## {version}")),
        ] {
            if tree.read(path).contains(&before) {
                tree.replace(path, &before, &after);
            }
        }
        let text = tree.read(COMPOSE);
        let (ours, theirs) = (format!("init-oss:v{old}"), format!("init-oss:v{version}"));
        tree.write(COMPOSE, &text.replace(&ours, &theirs));
        let lock = tree.read("Cargo.lock");
        let members = lock
            .split("\n\n")
            .map(|package| match package.contains("source = ") {
                true => package.to_owned(),
                false => package.replace(
                    &format!("version = \"{old}\""),
                    &format!("version = \"{version}\""),
                ),
            });
        tree.write("Cargo.lock", &members.collect::<Vec<_>>().join("\n\n"));
    }

    /// Pushes all images of other projects, writes the layout of ours, and pins all of them.
    fn publish_and_pin(&self, version: &str) {
        let registry = EmbeddedRegistry::start(&self.parts.join("registry")).unwrap();
        let inventory = Inventory::read(self.tree.root()).unwrap();
        let mut text = self.tree.read(COMPOSE);
        let ours = self.lay_out(version, &self.parts.join("layout"));
        for image in inventory.images().filter_map(|pin| pin.image()) {
            let digest = match image.repository() == "odralabshq/polis-init-oss" {
                true => ours,
                false => push(self.tree.root(), &registry, image),
            };
            let name = image.unpinned();
            let old = format!("image: {image}\n");
            assert!(text.contains(&old), "{old}");
            text = text.replace(&old, &format!("image: {name}@{digest}\n"));
        }
        self.tree.write(COMPOSE, &text);
        self.tree
            .write("compose/pin-waivers.yaml", "version: 1\nwaivers: []\n");
        // The page of pins must match the files.
        let workspace = self.workspace();
        let files = inventory::Files::read(&workspace.root).unwrap();
        let changes = page::follow(&workspace, &files, Vec::new()).unwrap();
        edit::write(&workspace.root, &changes).unwrap();
    }

    /// Writes our image, with a layer of a few bytes, as `images build` does; returns its digest.
    fn lay_out(&self, version: &str, dir: &Path) -> Digest {
        let mut files = Files::new();
        files.add("polis-init", EXECUTABLE, b"not a program".to_vec());
        let layer = files.to_tar().unwrap();
        let mut blobs = Blobs::default();
        let manifests = ["amd64", "arm64"].map(|architecture| {
            let platform = Platform {
                architecture: architecture.to_owned(),
                os: "linux".to_owned(),
            };
            let execution = Execution {
                entrypoint: vec!["/polis-init".to_owned()],
                ..Execution::default()
            };
            blobs.add_image(&platform, &execution, &layer)
        });
        let annotations = BTreeMap::from([(oci::VERSION.to_owned(), version.to_owned())]);
        let mut index = blobs.add_index(manifests.to_vec(), annotations);
        let digest = index.digest.parse().unwrap();
        let name = format!("ghcr.io/odralabshq/polis-init-oss:v{version}");
        index.annotations.insert(oci::REF_NAME.to_owned(), name);
        blobs.write_layout(dir, vec![index]).unwrap();
        digest
    }

    /// Creates the archives, as their CI jobs do.
    fn pack(&self, version: &str) {
        let facts = xtask_dist::facts(&self.workspace(), ReleaseKind::Release, version).unwrap();
        let dir = self.parts.join("prebuilt");
        fs::create_dir_all(&dir).unwrap();
        for triple in TARGETS {
            let bytes = archive(&facts, triple, self.tree.root());
            fs::write(dir.join(xtask_dist::archive_name(version, triple)), bytes).unwrap();
        }
    }

    /// The directory of the assembled files.
    pub(super) fn assembled(&self) -> PathBuf {
        self.parts.join("assembled")
    }
}

fn push(tree: &Path, registry: &EmbeddedRegistry, image: &ImageRef) -> Digest {
    let dir = tempfile::tempdir().unwrap();
    let name = image.unpinned();
    layout::published(tree, &name, &name.to_string(), dir.path());
    let endpoint = format!("{}={}", image.registry(), registry.url());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let pushed = runtime.block_on(async {
        let registry = Registry::new(&endpoints(&[endpoint]), Logins::none()).unwrap();
        registry.push_layout(dir.path(), &image.unpinned()).await
    });
    pushed.unwrap()
}

/// An archive of the CLI whose program consists of a header and the marker.
pub(super) fn archive(facts: &Facts, triple: &str, tree: &Path) -> Vec<u8> {
    let read = |path: &str| fs::read_to_string(tree.join(path)).unwrap();
    let label = &facts.label;
    let stem = format!("polis-{label}-{triple}");
    let machine: u8 = if triple.starts_with("aarch64") {
        183
    } else {
        62
    };
    let mut program = b"\x7fELF\x02\x01".to_vec();
    program.resize(18, 0);
    program.extend([machine, 0]);
    program.extend(facts.to_marked().unwrap().into_bytes());
    let mut files = Files::new();
    let mut add =
        |name: &str, text: String| files.add(&format!("{stem}/{name}"), PLAIN, text.into_bytes());
    add("LICENSE", read("LICENSE"));
    add("README.md", read("xtask/dist/archive-readme.md"));
    add(
        "THIRD-PARTY-NOTICES",
        format!("Third-party notices of polis {label} for {triple}\n"),
    );
    for words in PAGES {
        let page = format!("man/{}", pages::file(words));
        add(&page, format!(".TH polis 1 \"polis {label}\"\n"));
    }
    for name in [
        "polis.bash",
        "polis.elv",
        "polis.fish",
        "_polis.ps1",
        "_polis",
    ] {
        add(&format!("completions/{name}"), "# completions\n".to_owned());
    }
    files.add(&format!("{stem}/polis"), EXECUTABLE, program);
    xtask_build::oci::gzip(&files.to_tar().unwrap())
}

/// Runs git in `root` without any user's configuration.
pub(super) fn git(root: &Path, args: &[&str]) -> String {
    let root = root.to_str().unwrap();
    let mut all = vec![
        "-C",
        root,
        "-c",
        "user.name=tests",
        "-c",
        "user.email=tests@example.invalid",
        "-c",
        "init.defaultBranch=main",
    ];
    all.extend(args);
    let said = run("git", all);
    String::from_utf8(said).unwrap().trim().to_owned()
}

/// The commit of HEAD in `root`.
pub(super) fn head(root: &Path) -> String {
    git(root, &["rev-parse", "HEAD"])
}
