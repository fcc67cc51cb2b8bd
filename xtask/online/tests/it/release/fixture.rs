//! A tree that is ready to be released, with everything that its release needs, and worlds to
//! release it into: real git, the real program, and servers that keep a journal.
//!
//! Nothing is compiled, and a release here has no cargo at all: the archives hold programs of a few
//! bytes that carry the marker of the CLI, the images come from a layout, and everything was put
//! together before, as it is for the job that holds the key. So one release takes a fraction of a
//! second, and hundreds can be broken off.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::OnceLock;

use polis_base::archive::{EXECUTABLE, Files, PLAIN};
use polis_base::facts::Facts;
use polis_base::pages::{self, PAGES};
use polis_base::{Digest, ImageRef};
use tempfile::TempDir;
use xtask::cli::DocsArgs;
use xtask::oci::{self, Blobs, Execution, Platform};
use xtask::pins::Inventory;
use xtask::progress::Progress;
use xtask::workspace::Workspace;
use xtask_dist::{Archives, Inputs, Kind};
use xtask_online::embedded::{EmbeddedFiles, EmbeddedGitHub, EmbeddedRegistry, Faults, Journal};
use xtask_online::github::{API, GitHub, Token, UPLOADS};
use xtask_online::registry::{Logins, Registry};
use xtask_testkit::{Canary, Ran, Tree};

use crate::support::world::{COMPOSE, Others, PROGRAM};
use crate::support::{endpoints, layout, real_part, run};

/// The targets of the fixture: what a job of one kind of runner could build.
pub(super) const TARGETS: [&str; 2] = ["aarch64-unknown-linux-musl", "x86_64-unknown-linux-musl"];
const TOKEN: &str = "a-token-that-writes";

/// The parts that all worlds share.
pub(super) struct Fixture {
    tree: Tree,
    others: Others,
    parts: TempDir,
    secret_key: String,
}

/// One GitHub, one registry, one checkout.
pub(super) struct World {
    pub(super) dir: TempDir,
    pub(super) journal: Journal,
    pub(super) github: EmbeddedGitHub,
    pub(super) registry: EmbeddedRegistry,
    /// The version that its checkout releases.
    pub(super) version: &'static str,
}

/// What is left of a release, wherever it was broken off: all that must be the same.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct End {
    /// Each release: tag, title, draft, latest, and its files with their digests but for signatures.
    pub(super) releases: Vec<String>,
    /// Each tag of the image with what it names.
    pub(super) tags: BTreeMap<String, String>,
}

/// The fixture of `version`.
pub(super) fn fixture(version: &'static str) -> &'static Fixture {
    static OLDER: OnceLock<Fixture> = OnceLock::new();
    static NEWER: OnceLock<Fixture> = OnceLock::new();
    let cell = match version {
        "0.5.0" => &OLDER,
        _ => &NEWER,
    };
    cell.get_or_init(|| Fixture::make(version))
}

impl Fixture {
    fn make(version: &str) -> Self {
        let tree = Tree::whole();
        let others = Others::of(&tree);
        let key = minisign::KeyPair::generate_unencrypted_keypair().unwrap();
        let fixture = Self {
            others,
            parts: tempfile::tempdir().unwrap(),
            secret_key: key.sk.to_box(None).unwrap().into_string(),
            tree,
        };
        let bin = fixture.parts.path().join("bin");
        fs::create_dir(&bin).unwrap();
        std::os::unix::fs::symlink(real_part("git").unwrap(), bin.join("git")).unwrap();
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
        // A checkout is copied hundreds of times: one file of objects instead of hundreds.
        git(tree.root(), &["gc", "--quiet", "--prune=now"]);
        fixture.assemble();
        fixture
    }

    /// Puts everything but the signature together, as the job before the release does.
    fn assemble(&self) {
        let workspace = self.workspace();
        let layout = self.parts.path().join("layout");
        let inputs = Inputs {
            workspace: &workspace,
            kind: Kind::Release,
            commit: &head(self.tree.root()),
            targets: &TARGETS.map(str::to_owned),
            archives: &Archives::Prebuilt(self.parts.path().join("prebuilt")),
            images: &xtask::images::of_layout(&workspace, &layout).unwrap(),
            public_key: &self.tree.read("minisign.pub"),
        };
        let assembled = xtask_dist::assemble(&inputs, Progress::Silent).unwrap();
        let dir = self.parts.path().join("assembled");
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

    /// Pushes every image that others publish, lays out ours, and pins all of them.
    fn publish_and_pin(&self, version: &str) {
        let registry = EmbeddedRegistry::start(&self.parts.path().join("registry")).unwrap();
        let inventory = Inventory::read(self.tree.root()).unwrap();
        let mut text = self.tree.read(COMPOSE);
        let ours = self.lay_out(version, &self.parts.path().join("layout"));
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
        // The page of pins follows the files.
        let args = DocsArgs { check: false };
        xtask::verbs::docs::run(&self.workspace(), &args).unwrap();
    }

    /// Our image as `images build` writes it, of a layer of a few bytes; returns its digest.
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

    /// The archives, as their jobs would have made them.
    fn pack(&self, version: &str) {
        let facts = xtask_dist::facts(&self.workspace(), Kind::Release, version).unwrap();
        let dir = self.parts.path().join("prebuilt");
        fs::create_dir_all(&dir).unwrap();
        for triple in TARGETS {
            let bytes = archive(&facts, triple, self.tree.root());
            fs::write(dir.join(xtask_dist::archive_name(version, triple)), bytes).unwrap();
        }
    }

    /// Where the files are that were put together.
    pub(super) fn assembled(&self) -> PathBuf {
        self.parts.path().join("assembled")
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

/// An archive of the CLI whose program is a header and the marker.
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
    xtask::oci::gzip(&files.to_tar().unwrap())
}

impl World {
    /// A world in which nothing of `version` has been released.
    pub(super) fn new(version: &'static str) -> Self {
        let (dir, journal) = (tempfile::tempdir().unwrap(), Journal::default());
        let registry = fixture(version).parts.path().join("registry");
        place(&registry, &dir.path().join("registry"), &|from, to| {
            // The registry replaces its files and never writes into them.
            fs::hard_link(from, to).unwrap();
        });
        let token = Token::new(TOKEN).unwrap();
        let github = EmbeddedGitHub::start_journaled(
            &dir.path().join("github"),
            "odralabshq",
            "polis",
            &token,
            &Faults::none(),
            &journal,
        );
        let registry = EmbeddedRegistry::start_journaled(
            &dir.path().join("registry"),
            &Faults::none(),
            &journal,
        );
        let world = Self {
            dir,
            journal,
            github: github.unwrap(),
            registry: registry.unwrap(),
            version,
        };
        world.github.set_immutable(true).unwrap();
        world.check_out(version);
        world.journal.clear();
        world
    }

    /// A checkout of `version`, whose tag GitHub then has; returns where it is.
    pub(super) fn check_out(&self, version: &'static str) -> PathBuf {
        let root = self.dir.path().join(format!("tree-{version}"));
        if !root.exists() {
            copy(fixture(version).tree.root(), &root);
            self.github
                .tag(&format!("v{version}"), &head(&root))
                .unwrap();
        }
        root
    }

    /// The checkout of this world's version.
    pub(super) fn root(&self) -> PathBuf {
        self.dir.path().join(format!("tree-{}", self.version))
    }

    /// Releases this world's version to the end.
    pub(super) fn release(&self) -> Ran {
        self.release_with(&[])
    }

    /// As [`Self::release`], with more arguments.
    pub(super) fn release_with(&self, more: &[&str]) -> Ran {
        let hosts = (self.github.url(), self.registry.url());
        finish(self.start(self.version, &hosts, more, &[]))
    }

    /// As [`Self::release`], with more arguments and more environment.
    pub(super) fn release_env(&self, more: &[&str], env: &[(&str, &str)]) -> Ran {
        let hosts = (self.github.url(), self.registry.url());
        finish(self.start(self.version, &hosts, more, env))
    }

    /// Starts a release of `version` that reaches GitHub and the registry at `hosts`.
    pub(super) fn start(
        &self,
        version: &'static str,
        hosts: &(String, String),
        more: &[&str],
        env: &[(&str, &str)],
    ) -> (Child, EmbeddedFiles) {
        let root = self.dir.path().join(format!("tree-{version}"));
        self.start_in(&root, version, hosts, more, env)
    }

    /// As [`Self::start`], in the checkout `root`.
    pub(super) fn start_in(
        &self,
        root: &Path,
        version: &'static str,
        hosts: &(String, String),
        more: &[&str],
        env: &[(&str, &str)],
    ) -> (Child, EmbeddedFiles) {
        let fixture = fixture(version);
        let (files, mut args) = self.arguments(root, version, hosts);
        args.extend(["--execute", "--format", "json"].map(str::to_owned));
        if more.contains(&"--assembled") {
            let at = args.iter().position(|arg| arg == "--assembled").unwrap();
            args.drain(at..at + 2);
        }
        args.extend(more.iter().map(|more| (*more).to_owned()));
        let bin = fixture.parts.path().join("bin");
        let mut vars = vec![
            // git and nothing else: no compiler, and no cargo.
            ("PATH", bin.to_str().unwrap()),
            ("CARGO", "/nowhere/cargo"),
            ("GITHUB_TOKEN", TOKEN),
            ("GITHUB_ACTOR", "octocat"),
            ("POLIS_MINISIGN_SECRET_KEY", &fixture.secret_key),
        ];
        vars.extend(env);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        (fixture.tree.start(PROGRAM, &args, &vars), files)
    }

    /// The arguments of a release of `version` in the checkout `root`, and the server of its downloads.
    fn arguments(
        &self,
        root: &Path,
        version: &'static str,
        (github, registry): &(String, String),
    ) -> (EmbeddedFiles, Vec<String>) {
        let fixture = fixture(version);
        let (files, mut endpoints) = fixture.others.serve(&Faults::none());
        endpoints.retain(|endpoint| !endpoint.starts_with("api.github.com="));
        endpoints.push(format!("api.github.com={github}"));
        endpoints.push(format!("uploads.github.com={github}"));
        endpoints.push(format!("ghcr.io={registry}"));
        let layout = fixture.parts.path().join("layout").display().to_string();
        let (root, targets) = (root.display().to_string(), TARGETS.join(","));
        let assembled = fixture.assembled().display().to_string();
        let mut args = vec!["release".to_owned(), "--quiet".to_owned()];
        for (name, value) in [
            ("--root", root),
            ("--assembled", assembled),
            ("--images", layout),
            ("--targets", targets),
        ] {
            args.extend([name.to_owned(), value]);
        }
        for endpoint in endpoints {
            args.extend(["--endpoint".to_owned(), endpoint]);
        }
        (files, args)
    }

    /// What a release would do.
    pub(super) fn plan(&self) -> Ran {
        let hosts = (self.github.url(), self.registry.url());
        let (_files, args) = self.arguments(&self.root(), self.version, &hosts);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let tree = &fixture(self.version).tree;
        tree.run_with(PROGRAM, &args, &[("GITHUB_TOKEN", TOKEN)])
    }

    /// Releases with the canaries of `canary` in the environment.
    pub(super) fn release_watched(&self, canary: Canary) -> (Ran, Canary) {
        let fixture = fixture(self.version);
        let canary = canary
            .with(xtask_online::github::VARIABLE, TOKEN)
            .with("POLIS_MINISIGN_SECRET_KEY", &fixture.secret_key);
        let hosts = (self.github.url(), self.registry.url());
        let (_files, mut args) = self.arguments(&self.root(), self.version, &hosts);
        args.extend(["--execute", "--format", "json"].map(str::to_owned));
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        // The fixture's key has no password, and its registry no login.
        let none = [
            ("POLIS_MINISIGN_PASSWORD", ""),
            (xtask::secrets::REGISTRY_PASSWORD, ""),
        ];
        let ran = canary.run(&fixture.tree, PROGRAM, &args, &none);
        (ran, canary)
    }

    /// What the world holds.
    pub(super) fn end(&self) -> End {
        let get = |path: &str| -> serde_json::Value {
            let url = format!("{}{path}", self.github.url());
            let token = format!("Authorization: Bearer {TOKEN}");
            serde_json::from_slice(&run("curl", ["-sS", "-H", &token, &url])).unwrap()
        };
        let latest = get("/repos/odralabshq/polis/releases/latest")["id"].clone();
        let releases = get("/repos/odralabshq/polis/releases?per_page=100");
        let mut told: Vec<String> = releases
            .as_array()
            .unwrap()
            .iter()
            .map(|release| {
                let mut files: Vec<String> = release["assets"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|asset| match asset["name"].as_str().unwrap() {
                        "SHA256SUMS.minisig" => "SHA256SUMS.minisig".to_owned(),
                        name => format!("{name} {} {}", asset["digest"], asset["state"]),
                    })
                    .collect();
                files.sort();
                format!(
                    "{} {} draft={} prerelease={} immutable={} latest={} commit={}\n{}",
                    release["tag_name"],
                    release["name"],
                    release["draft"],
                    release["prerelease"],
                    release["immutable"],
                    release["id"] == latest,
                    release["target_commitish"],
                    files.join("\n")
                )
            })
            .collect();
        told.sort();
        End {
            releases: told,
            tags: self.tags(),
        }
    }

    /// Does something by our own client, as a colleague would.
    pub(super) fn by_hand<T>(&self, act: impl AsyncFnOnce(GitHub) -> T) -> T {
        let url = self.github.url();
        let endpoints = endpoints(&[format!("{API}={url}"), format!("{UPLOADS}={url}")]);
        let token = Token::new(TOKEN).unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let done = runtime.block_on(async {
            let github = GitHub::new(&endpoints, "odralabshq/polis", Some(&token)).unwrap();
            act(github).await
        });
        self.journal.clear();
        done
    }

    /// Puts `tag` of the image on an index with this version annotation; returns its digest.
    pub(super) fn push_image(&self, tag: &str, version: Option<&str>) -> Digest {
        let dir = tempfile::tempdir().unwrap();
        let mut blobs = Blobs::default();
        let layer = Files::new().to_tar().unwrap();
        let platform = Platform {
            architecture: "amd64".to_owned(),
            os: "linux".to_owned(),
        };
        let manifest = blobs.add_image(&platform, &Execution::default(), &layer);
        let annotations = version.map(|version| (oci::VERSION.to_owned(), version.to_owned()));
        let index = blobs.add_index(vec![manifest], annotations.into_iter().collect());
        blobs.write_layout(dir.path(), vec![index]).unwrap();
        let image: ImageRef = format!("ghcr.io/odralabshq/polis-init-oss:{tag}")
            .parse()
            .unwrap();
        let endpoint = format!("ghcr.io={}", self.registry.url());
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let pushed = runtime.block_on(async {
            let registry = Registry::new(&endpoints(&[endpoint]), Logins::none()).unwrap();
            registry.push_layout(dir.path(), &image).await
        });
        self.journal.clear();
        pushed.unwrap()
    }

    /// Each tag of the image with the digest that it names.
    pub(super) fn tags(&self) -> BTreeMap<String, String> {
        let dir = self
            .dir
            .path()
            .join("registry/repositories/odralabshq/polis-init-oss/_tags");
        let entries = fs::read_dir(dir).into_iter().flatten();
        entries
            .map(|entry| {
                let path = entry.unwrap().path();
                let name = path.file_name().unwrap().to_string_lossy().into_owned();
                (name, fs::read_to_string(&path).unwrap())
            })
            .collect()
    }

    /// The digest of the image of `version`.
    pub(super) fn image(&self, version: &'static str) -> String {
        let index = fixture(version).parts.path().join("layout/index.json");
        let index: serde_json::Value = serde_json::from_slice(&fs::read(index).unwrap()).unwrap();
        index["manifests"][0]["digest"].as_str().unwrap().to_owned()
    }
}

/// Waits for a release.
pub(super) fn finish((child, _files): (Child, EmbeddedFiles)) -> Ran {
    let output = child.wait_with_output().unwrap();
    Ran {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Runs git in `root`, without anybody's configuration.
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

/// The commit that is checked out in `root`.
pub(super) fn head(root: &Path) -> String {
    git(root, &["rev-parse", "HEAD"])
}

fn copy(from: &Path, to: &Path) {
    place(from, to, &|from, to| {
        fs::copy(from, to).unwrap();
    });
}

/// Makes the directory `to` as `from`, each file by `file`.
fn place(from: &Path, to: &Path, file: &dyn Fn(&Path, &Path)) {
    if from.is_dir() {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            place(&entry.path(), &to.join(entry.file_name()), file);
        }
    } else {
        file(from, to);
    }
}
