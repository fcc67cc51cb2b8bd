//! The environment for releases of the fixture: a checkout, the real program, and servers with a journal.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Child;

use polis_base::archive::Files;
use polis_base::{Digest, ImageRef};
use tempfile::TempDir;
use xtask_build::oci::{self, Blobs, Execution, Platform};
use xtask_loopback::{EmbeddedFiles, EmbeddedGitHub, EmbeddedRegistry, Faults, Journal};
use xtask_online::github::{API, GitHub, Token, UPLOADS};
use xtask_online::registry::{Logins, Registry};
use xtask_testkit::{Canary, Ran};

use super::fixture::{TARGETS, fixture, head};
use crate::support::test_env::PROGRAM;
use crate::support::{copy, endpoints, place, run};

/// One GitHub, one registry, one checkout.
pub(super) struct ReleaseEnv {
    pub(super) dir: TempDir,
    pub(super) journal: Journal,
    /// What this GitHub accepts, and no other: a client of another test must not change a server that got the port of its
    /// own, which has ended.
    pub(super) token: String,
    pub(super) github: EmbeddedGitHub,
    pub(super) registry: EmbeddedRegistry,
    /// The version that its checkout releases.
    pub(super) version: &'static str,
}

/// The part of a release's result that must be the same wherever it was interrupted.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct End {
    /// Each release: tag, title, draft, latest, and its files with their digests, without those of signatures.
    pub(super) releases: Vec<String>,
    /// Each tag of the image with its digest.
    pub(super) tags: BTreeMap<String, String>,
}

impl ReleaseEnv {
    /// An environment without any release of `version`.
    pub(super) fn new(version: &'static str) -> Self {
        let (dir, journal) = (tempfile::tempdir().unwrap(), Journal::default());
        let registry = fixture(version).parts.join("registry");
        place(&registry, &dir.path().join("registry"), &|from, to| {
            // The registry replaces files instead of writing into them, so hard links suffice, except across file
            // systems.
            if fs::hard_link(from, to).is_err() {
                fs::copy(from, to).unwrap();
            }
        });
        let name = dir.path().file_name().unwrap().to_string_lossy();
        let token = format!("token-that-writes-{name}");
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
        let test_env = Self {
            dir,
            journal,
            token,
            github: github.unwrap(),
            registry: registry.unwrap(),
            version,
        };
        test_env.github.set_immutable(true).unwrap();
        test_env.check_out(version);
        test_env.journal.clear();
        test_env
    }

    /// Checks out `version`, and pushes its tag to GitHub; returns the directory.
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

    /// The checkout of its version.
    pub(super) fn root(&self) -> PathBuf {
        self.dir.path().join(format!("tree-{}", self.version))
    }

    /// Releases its version to the end.
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
        let bin = fixture.parts.join("bin");
        let mut vars = vec![
            // Only git: neither a compiler nor cargo.
            ("PATH", bin.to_str().unwrap()),
            ("CARGO", "/nowhere/cargo"),
            ("GITHUB_TOKEN", &self.token),
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
        let layout = fixture.parts.join("layout").display().to_string();
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

    /// Prints the plan of the release.
    pub(super) fn plan(&self) -> Ran {
        let hosts = (self.github.url(), self.registry.url());
        let (_files, args) = self.arguments(&self.root(), self.version, &hosts);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let tree = &fixture(self.version).tree;
        tree.run_with(PROGRAM, &args, &[("GITHUB_TOKEN", &self.token)])
    }

    /// Releases with the secrets of `canary` in the environment.
    pub(super) fn release_watched(&self, canary: Canary) -> (Ran, Canary) {
        let fixture = fixture(self.version);
        let canary = canary
            .with(xtask_online::github::VARIABLE, &self.token)
            .with("POLIS_MINISIGN_SECRET_KEY", &fixture.secret_key);
        let hosts = (self.github.url(), self.registry.url());
        let (_files, mut args) = self.arguments(&self.root(), self.version, &hosts);
        args.extend(["--execute", "--format", "json"].map(str::to_owned));
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        // The fixture's key has no password, and its registry needs no login.
        let none = [
            ("POLIS_MINISIGN_PASSWORD", ""),
            (xtask_host::secrets::REGISTRY_PASSWORD, ""),
        ];
        let ran = canary.run(&fixture.tree, PROGRAM, &args, &none);
        (ran, canary)
    }

    /// Deletes `path` on GitHub, as a person with rights would.
    pub(super) fn delete(&self, path: &str) {
        let url = format!("{}{path}", self.github.url());
        let token = format!("Authorization: Bearer {}", self.token);
        run("curl", ["-sS", "-X", "DELETE", "-H", &token, &url]);
    }

    /// The state of GitHub and the registry.
    pub(super) fn end(&self) -> End {
        let get = |path: &str| -> serde_json::Value {
            let url = format!("{}{path}", self.github.url());
            let token = format!("Authorization: Bearer {}", self.token);
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

    /// Changes something with our own client, as a colleague would.
    pub(super) fn by_hand<T>(&self, act: impl AsyncFnOnce(GitHub) -> T) -> T {
        let url = self.github.url();
        let endpoints = endpoints(&[format!("{API}={url}"), format!("{UPLOADS}={url}")]);
        let token = Token::new(&self.token).unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let done = runtime.block_on(async {
            let github = GitHub::new(&endpoints, "odralabshq/polis", Some(&token)).unwrap();
            act(github).await
        });
        self.journal.clear();
        done
    }

    /// Sets `tag` of the image to an index with this version annotation; returns its digest.
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

    /// Each tag of the image with its digest.
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
        let index = fixture(version).parts.join("layout/index.json");
        let index: serde_json::Value = serde_json::from_slice(&fs::read(index).unwrap()).unwrap();
        index["manifests"][0]["digest"].as_str().unwrap().to_owned()
    }
}

/// Waits for a release to end.
pub(super) fn finish((child, _files): (Child, EmbeddedFiles)) -> Ran {
    let output = child.wait_with_output().unwrap();
    Ran {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
