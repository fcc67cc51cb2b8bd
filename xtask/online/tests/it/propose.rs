//! The pull request that proposes newer pins, against the embedded GitHub.

mod broken_off;
mod hostile;
mod life;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;
use xtask_loopback::{EmbeddedGitHub, Entry, Faults, Journal};
use xtask_pins::inventory::{Dependency, Inventory};
use xtask_testkit::Ran;

use crate::support::test_env::TestEnv;

const BRANCH: &str = "polis/pins";
const TOKEN: &str = "s3cret";

/// An environment with a GitHub whose default branch contains the tree.
struct Setup {
    test_env: TestEnv,
    dir: TempDir,
    faults: Faults,
    journal: Journal,
    github: EmbeddedGitHub,
    token: &'static str,
}

impl Setup {
    fn start() -> Self {
        Self::with_token(TOKEN)
    }

    fn with_token(token: &'static str) -> Self {
        let (test_env, dir) = (TestEnv::start(), tempfile::tempdir().unwrap());
        let (faults, journal) = (Faults::none(), Journal::default());
        let github = serve(&dir, token, &faults, &journal);
        let setup = Self {
            test_env,
            dir,
            faults,
            journal,
            github,
            token,
        };
        let inventory = Inventory::read(setup.test_env.tree.root()).unwrap();
        let mut tags = BTreeMap::new();
        for pin in &inventory.pins {
            match &pin.dependency {
                Dependency::Action(action) => {
                    let tag = action.tag.as_deref().unwrap();
                    tags.insert(
                        format!("{} {tag}", action.repository),
                        action.reference.clone(),
                    );
                    setup.releases(&action.repository, &[tag]);
                }
                Dependency::Download(download) => {
                    let repository = xtask_pins::inventory::update::repository(download).unwrap();
                    let version = download.version.as_deref().unwrap();
                    let tag = format!("v{}", version.trim_start_matches('v'));
                    setup.releases(repository, &[&tag]);
                }
                _ => {}
            }
        }
        setup.write("tags.json", &json!(tags));
        setup.push_tree();
        setup
    }

    fn write(&self, name: &str, value: &Value) {
        fs::write(self.dir.path().join(name), value.to_string()).unwrap();
    }

    /// Sets the releases of another repository on GitHub.
    fn releases(&self, repository: &str, tags: &[&str]) {
        let releases = tags.iter().map(|tag| [*tag, "2020-01-02T00:00:00Z"]);
        self.releases_of(repository, &releases.collect::<Vec<_>>());
    }

    /// As [`Self::releases`], with the time of each.
    fn releases_of(&self, repository: &str, releases: &[[&str; 2]]) {
        let file = self.dir.path().join("elsewhere.json");
        let known = fs::read_to_string(&file).unwrap_or_else(|_| "{}".to_owned());
        let mut known: Value = serde_json::from_str(&known).unwrap();
        known[repository] = json!(releases);
        self.write("elsewhere.json", &known);
    }

    /// Publishes `version` of yq beside the pinned one.
    fn publish_yq(&mut self, version: &str) {
        for arch in ["amd64", "arm64"] {
            let path = format!("/mikefarah/yq/releases/download/{version}/yq_linux_{arch}");
            let bytes = format!("yq {version} {arch}").into_bytes();
            self.test_env.others.files.insert(path, bytes);
        }
        self.releases("mikefarah/yq", &["v4.44.6", version]);
    }

    /// Publishes a version of an action.
    fn publish_checkout(&self, version: &str) {
        self.releases("actions/checkout", &["v6.0.2", version]);
        let file = self.dir.path().join("tags.json");
        let mut tags: Value = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
        tags[format!("actions/checkout {version}")] = json!("c".repeat(40));
        self.write("tags.json", &tags);
    }

    /// Commits the tree on the default branch.
    fn push_tree(&self) {
        let mut files = BTreeMap::new();
        read(self.test_env.tree.root(), "", &mut files);
        self.github.push("main", "Work", &files).unwrap();
    }

    fn run(&self, more: &[&str]) -> Ran {
        self.run_at(&self.github.url(), more, &[("GITHUB_TOKEN", self.token)])
    }

    fn run_at(&self, url: &str, more: &[&str], env: &[(&str, &str)]) -> Ran {
        let api = [("api.github.com", url.to_owned())];
        let args = [&["drift", "--pull-request", "--format", "json"], more].concat();
        let ran = self.test_env.run_at(&args, env, &api);
        assert!(!ran.seen().contains("s3cret"), "{}", ran.seen());
        ran
    }

    /// Runs the check once; returns what it did to which pull request, or why nothing.
    fn night(&self) -> (String, u64) {
        let ran = self.run(&[]);
        assert_eq!(ran.code, 0, "{}", ran.seen());
        let pull = &ran.report()["data"]["pull_request"];
        let done = pull["reason"].as_str().or(pull["action"].as_str());
        let number = pull["number"].as_u64().unwrap_or(0);
        (done.unwrap().to_owned(), number)
    }

    /// As [`Self::night`], without any write to GitHub.
    fn quiet_night(&self) -> (String, u64) {
        self.journal.clear();
        let night = self.night();
        assert_eq!(self.journal.entries(), []);
        night
    }

    /// The pull requests, oldest first.
    fn pulls(&self) -> Vec<Value> {
        match fs::read_to_string(self.dir.path().join("issues.json")) {
            Ok(text) => serde_json::from_str(&text).unwrap(),
            Err(_) => Vec::new(),
        }
    }

    /// Edits the pull requests, as a person would.
    fn edit_pulls(self, edit: impl FnOnce(&mut Vec<Value>)) -> Self {
        let mut pulls = self.pulls();
        edit(&mut pulls);
        self.write("issues.json", &json!(pulls));
        self.with_faults(Faults::none())
    }

    /// Restarts GitHub with `faults` from its files.
    fn with_faults(self, faults: Faults) -> Self {
        let github = serve(&self.dir, self.token, &faults, &self.journal);
        Self {
            github,
            faults,
            ..self
        }
    }

    /// The files of GitHub's state, by name.
    fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let entries = fs::read_dir(self.dir.path()).unwrap();
        let files = entries.map(|entry| entry.unwrap().path());
        let files = files.filter(|path| path.is_file());
        files
            .map(|path| (path.clone(), fs::read(path).unwrap()))
            .collect()
    }

    /// Restores GitHub's state from `files`.
    fn with_files(self, files: &BTreeMap<PathBuf, Vec<u8>>) -> Self {
        for path in self.files().keys() {
            fs::remove_file(path).unwrap();
        }
        for (path, bytes) in files {
            fs::write(path, bytes).unwrap();
        }
        self.journal.clear();
        self.with_faults(Faults::none())
    }

    /// The files in which the proposal differs from the default branch.
    fn proposed(&self) -> Vec<String> {
        let (main, ours) = (self.github.files("main"), self.github.files(BRANCH));
        let paths = main
            .keys()
            .chain(ours.keys().filter(|path| !main.contains_key(*path)));
        let differing = paths.filter(|path| main.get(*path) != ours.get(*path));
        differing.cloned().collect()
    }

    /// Applies the proposal to the local tree.
    fn merge_here(&self) {
        for (path, (_, text)) in self.github.files(BRANCH) {
            self.test_env.tree.write(&path, &text);
        }
    }
}

fn serve(dir: &TempDir, token: &str, faults: &Faults, journal: &Journal) -> EmbeddedGitHub {
    let (owner, repo) = ("odralabshq", "polis");
    EmbeddedGitHub::start_journaled(dir.path(), owner, repo, token, faults, journal).unwrap()
}

/// Adds the files below `root/dir`, with mode and text by path.
fn read(root: &Path, dir: &str, files: &mut BTreeMap<String, (&str, String)>) {
    for entry in fs::read_dir(root.join(dir)).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let path = format!("{dir}{name}");
        match entry.file_type().unwrap().is_dir() {
            true => read(root, &format!("{path}/"), files),
            false => {
                let text = fs::read_to_string(entry.path()).unwrap();
                files.insert(path, ("100644", text));
            }
        }
    }
}

fn done(what: &str, number: u64) -> (String, u64) {
    (what.to_owned(), number)
}

/// The methods and paths of requests.
fn lines(entries: &[Entry]) -> Vec<String> {
    let line = |entry: &Entry| {
        let path = entry.path.trim_start_matches("/repos/odralabshq/polis");
        format!("{} {path}", entry.method)
    };
    entries.iter().map(line).collect()
}
