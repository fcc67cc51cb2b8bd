//! A copy of the tree, and the programs to run on it.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
#[cfg(unix)]
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::normal::{self, Overlay};
use crate::prepared;

/// Entries of a checkout that are not content.
const NOT_CONTENT: [&str; 3] = ["target", "dist", ".git"];
/// Files that the offline checks read.
const DATA: [&str; 8] = [
    ".github",
    "Cargo.toml",
    "CHANGELOG.md",
    "cloud-init",
    "compose",
    "docs",
    "rust-toolchain.toml",
    "schemas",
];
/// The Dockerfile that the compose file names. The files that it copies are not read.
const DOCKERFILE: &str = "services/init/Dockerfile";
/// Variables that programs need to find the toolchain and its crates.
const KEPT: [&str; 8] = [
    "PATH",
    "CARGO",
    "CARGO_HOME",
    "RUSTUP_HOME",
    "RUSTUP_TOOLCHAIN",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "HTTPS_PROXY",
];

/// The slow settings of the release profile, and their replacements.
const QUICK_PROFILE: [(&str, &str); 3] = [
    ("opt-level = \"z\"\n", "opt-level = 0\n"),
    ("lto = \"fat\"\n", "lto = \"off\"\n"),
    ("codegen-units = 1\n", "codegen-units = 16\n"),
];

/// The manifest of the CLI, and its sections of dependencies, with their replacements. Dependencies for a target that cannot
/// exist are not built, but stay in `Cargo.lock`.
const CLI_MANIFEST: &str = "cli/Cargo.toml";
const FEW_DEPENDENCIES: [(&str, &str); 2] = [
    (
        "\n[dependencies]\n",
        "\n[dependencies]\npolis-base = { workspace = true, features = [\"archive\"] }\n\n\
         [target.'cfg(all(unix, windows))'.dependencies]\n",
    ),
    (
        "[target.'cfg(unix)'.dependencies]",
        "[target.'cfg(all(unix, not(unix)))'.dependencies]",
    ),
];
/// The CLI that is built with them.
const SMALL_CLI: &str = include_str!("../fixtures/polis.rs");

/// The variable that selects the tree to copy, if different from that of the tests.
pub const TREE: &str = "POLIS_TEST_TREE";

/// A copy of this repository in a temporary directory, removed on drop.
#[derive(Debug)]
pub struct Tree {
    root: PathBuf,
    /// `None` for a tree that tests share.
    _dir: Option<TempDir>,
}

/// The result of running a program.
#[derive(Debug)]
pub struct Ran {
    /// The exit code; -1 if a signal ended it.
    pub code: i32,
    /// Standard output, with the tree's path as `[TREE]`.
    pub stdout: String,
    /// Standard error, with the tree's path as `[TREE]`.
    pub stderr: String,
}

/// The top directory of this repository, in whatever state it is.
pub fn repository() -> PathBuf {
    if let Some(tree) = std::env::var_os(TREE) {
        return std::path::absolute(tree).expect("a path");
    }
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}

/// The directory where cargo keeps the sources of crates.
pub fn cargo_home() -> PathBuf {
    std::env::var_os("CARGO_HOME").map_or_else(
        || std::env::home_dir().expect("a home").join(".cargo"),
        PathBuf::from,
    )
}

/// Whether the test tool `program` is installed. Prints a message if it is not and the test is to be skipped.
///
/// # Panics
/// If it is missing and `POLIS_REQUIRE_REAL_PARTS` is set.
pub fn has_part(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|dir| dir.join(program).is_file());
    assert!(
        found || std::env::var_os("POLIS_REQUIRE_REAL_PARTS").is_none(),
        "`{program}` is not installed and POLIS_REQUIRE_REAL_PARTS is set"
    );
    if !found {
        eprintln!("skipped: {program} is not installed");
    }
    found
}

impl Tree {
    /// The files that the offline checks read, in a known state.
    pub fn data() -> Self {
        static OVERLAY: OnceLock<Overlay> = OnceLock::new();
        let tree = Self::as_it_is();
        let overlay = OVERLAY.get_or_init(|| overlay("overlay-data", &tree, false));
        tree.normal(overlay)
    }

    /// The whole repository, so that it can be built, in a known state.
    pub fn whole() -> Self {
        static OVERLAY: OnceLock<Overlay> = OnceLock::new();
        let tree = Self::of(&|name| !NOT_CONTENT.iter().any(|not| name == *not));
        let overlay = OVERLAY.get_or_init(|| overlay("overlay-whole", &tree, true));
        tree.normal(overlay)
    }

    /// As [`Self::whole`], with a release that takes a quarter of the time to build: for tests of the release that do not
    /// depend on optimization, nor on what `polis` can do. `xtask/dist/tests/built.rs` builds the real one.
    ///
    /// # Panics
    /// If the manifests are not the expected ones.
    pub fn quick_to_build() -> Self {
        let tree = Self::whole();
        for (ours, quick) in QUICK_PROFILE {
            tree.replace("Cargo.toml", ours, quick);
        }
        for (ours, few) in FEW_DEPENDENCIES {
            tree.replace(CLI_MANIFEST, ours, few);
        }
        tree.write("cli/src/main.rs", SMALL_CLI);
        tree
    }

    /// The files that the offline checks read, unchanged. Only for properties that must hold in every state of the
    /// tree.
    pub fn as_it_is() -> Self {
        let tree = Self::of(&|name| DATA.iter().any(|data| name == *data));
        let dockerfile = tree.root().join(DOCKERFILE);
        fs::create_dir_all(dockerfile.with_file_name("")).expect("a directory");
        copy(&repository().join(DOCKERFILE), &dockerfile);
        tree
    }

    /// An empty directory, for a program that reads none of our files.
    pub fn empty() -> Self {
        Self::of(&|_| false)
    }

    /// A copy of the tree at `root`.
    pub fn copy_of(root: &Path) -> Self {
        let tree = Self::empty();
        copy(root, tree.root());
        tree
    }

    /// The tree at `root`, which other tests share: do not write to it. It is not removed on drop.
    pub fn shared(root: PathBuf) -> Self {
        Self { root, _dir: None }
    }

    fn normal(self, overlay: &Overlay) -> Self {
        for (path, text) in overlay {
            match text {
                Some(text) => self.write(path, text),
                None => drop(fs::remove_file(self.root().join(path))),
            }
        }
        self
    }

    fn of(wanted: &dyn Fn(&OsStr) -> bool) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let root = dir.path().to_owned();
        for entry in fs::read_dir(repository()).expect("the repository can be read") {
            let entry = entry.expect("an entry");
            if wanted(&entry.file_name()) {
                copy(&entry.path(), &root.join(entry.file_name()));
            }
        }
        Self {
            root,
            _dir: Some(dir),
        }
    }

    /// The top directory of the copy.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The text of a file.
    pub fn read(&self, path: &str) -> String {
        fs::read_to_string(self.root().join(path)).expect(path)
    }

    /// Replaces a file.
    pub fn write(&self, path: &str, text: &str) {
        fs::write(self.root().join(path), text).expect(path);
    }

    /// Replaces the first `from` in a file by `to`.
    ///
    /// # Panics
    /// If it does not occur, because the test would prove nothing.
    pub fn replace(&self, path: &str, from: &str, to: &str) {
        let text = self.read(path);
        assert!(text.contains(from), "`{from}` is not in {path}");
        self.write(path, &text.replacen(from, to, 1));
    }

    /// Runs `program` on the copy.
    pub fn run(&self, program: impl AsRef<OsStr>, args: &[&str]) -> Ran {
        self.run_with(program, args, &[])
    }

    /// Runs `program` on the copy with more environment.
    pub fn run_with(&self, program: impl AsRef<OsStr>, args: &[&str], env: &[(&str, &str)]) -> Ran {
        let child = self.start(program, args, env);
        let output = child.wait_with_output().expect("the program ends");
        let text = |bytes: &[u8]| {
            let text = String::from_utf8_lossy(bytes);
            text.replace(&*self.root().to_string_lossy(), "[TREE]")
        };
        Ran {
            code: output.status.code().unwrap_or(-1),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        }
    }

    /// Starts `program` with a cargo that never exits and sends `signal` once that cargo runs. Returns the exit code,
    /// and which of cargo and its own child are still running.
    ///
    /// # Panics
    /// If the program cannot be started or does not exit.
    #[cfg(unix)]
    pub fn interrupt(
        &self,
        program: &str,
        args: &[&str],
        signal: &str,
    ) -> (Option<i32>, Vec<String>) {
        use std::os::unix::fs::PermissionsExt as _;
        let cargo = self.root().join("endless-cargo");
        let script = "#!/bin/sh\nsleep 300 &\necho $$ $! >pids.new\nmv pids.new pids\nwait\n";
        self.write("endless-cargo", script);
        fs::set_permissions(&cargo, fs::Permissions::from_mode(0o755)).expect("its mode");
        let cargo = cargo.to_str().expect("UTF-8");
        // Ignored signals are inherited, so reset them.
        let args = [&["--default-signal=INT,TERM,HUP", program], args].concat();
        let mut child = self.start("env", &args, &[("CARGO", cargo)]);
        let pids = within("cargo runs", || {
            fs::read_to_string(self.root().join("pids")).ok()
        });
        self.run("kill", &[&format!("-{signal}"), &child.id().to_string()]);
        let status = within("it ends", || child.try_wait().expect("its status"));
        let alive = |pid: &&str| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            !stat.is_empty() && !stat.contains(") Z ")
        };
        let left = || {
            pids.split_whitespace()
                .filter(alive)
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        for _ in 0..100 {
            if left().is_empty() {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        (status.code(), left())
    }

    /// Starts `program` on the copy and captures its output.
    pub fn start(&self, program: impl AsRef<OsStr>, args: &[&str], env: &[(&str, &str)]) -> Child {
        #[expect(
            clippy::disallowed_methods,
            reason = "the one place where tests start programs"
        )]
        let mut command = Command::new(program);
        command
            .args(args)
            .current_dir(self.root())
            .env_clear()
            .env("HOME", self.root())
            .env("CARGO_MANIFEST_DIR", self.root())
            // Test servers run on this machine, so there is no point in waiting longer.
            .env("POLIS_RETRY_DELAY", "10")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        for name in KEPT {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        // HOME is different, so say where cargo's and rustup's files are.
        if let Some(home) = std::env::home_dir() {
            for (name, dir) in [("CARGO_HOME", ".cargo"), ("RUSTUP_HOME", ".rustup")] {
                if std::env::var_os(name).is_none() {
                    command.env(name, home.join(dir));
                }
            }
        }
        command.envs(env.iter().copied());
        command.spawn().expect("the program starts")
    }
}

impl Ran {
    /// Everything that a user sees, for snapshots.
    pub fn seen(&self) -> String {
        let mut seen = format!("exit {}\n", self.code);
        for (name, text) in [("stdout", &self.stdout), ("stderr", &self.stderr)] {
            if !text.is_empty() {
                seen.push_str(&format!("--- {name}\n{}\n", text.trim_end()));
            }
        }
        seen
    }

    /// The JSON document on standard output, validated against the schema of reports.
    ///
    /// # Panics
    /// If it is not valid.
    pub fn report(&self) -> Value {
        let schema = fs::read_to_string(repository().join("schemas/report.schema.json"));
        self.document(&schema.expect("the schema"))
    }

    /// The SARIF log on standard output, validated against OASIS's schema.
    ///
    /// # Panics
    /// If it is not valid.
    pub fn sarif(&self) -> Value {
        // From the standard's repository, as shipped by the crate serde-sarif 0.8.0.
        let schema = include_str!("../sarif-2.1.0.schema.json");
        // One pattern in it is not a valid regular expression; it is for a property that we do not write.
        self.document(&schema.replace("[a-zA-Z]{2}]?$", "[a-zA-Z]{2}$"))
    }

    fn document(&self, schema: &str) -> Value {
        let report: Value = serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error}\n{}", self.seen()));
        let schema: Value = serde_json::from_str(schema).expect("the schema is JSON");
        let validator = jsonschema::validator_for(&schema).expect("the schema is one");
        let errors: Vec<String> = validator
            .iter_errors(&report)
            .map(|error| format!("{error} at {}", error.instance_path()))
            .collect();
        assert!(errors.is_empty(), "{errors:#?}\n{report:#}");
        report
    }

    /// The rules of the findings with their lines: `rule path:line`.
    pub fn findings(&self) -> Vec<String> {
        let report = self.report();
        let findings = report["findings"].as_array().cloned().unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        findings
            .iter()
            .filter(|finding| finding["severity"] == "error")
            .map(|finding| {
                format!(
                    "{} {}:{}",
                    text(&finding["rule"]),
                    text(&finding["path"]),
                    finding["line"]
                )
            })
            .collect()
    }
}

/// The changes that normalize `tree`. Shared by all tests of a run, because computing them takes longer than many
/// tests.
fn overlay(name: &str, tree: &Tree, built: bool) -> Overlay {
    if std::env::var_os(TREE).is_some() {
        // The tree that this variable selects may change between two tests.
        return normal::overlay(tree.root(), built);
    }
    let dir = prepared(name, |dir| {
        let overlay = normal::overlay(tree.root(), built);
        let json = serde_json::to_vec(&overlay).expect("JSON");
        fs::write(dir.join("overlay.json"), json).expect("the overlay");
    });
    let json = fs::read(dir.join("overlay.json")).expect("the overlay");
    serde_json::from_slice(&json).expect("JSON")
}

fn copy(from: &Path, to: &Path) {
    if from.is_dir() {
        fs::create_dir_all(to).expect("a directory");
        for entry in fs::read_dir(from).expect("a readable directory") {
            let entry = entry.expect("an entry");
            copy(&entry.path(), &to.join(entry.file_name()));
        }
    } else {
        fs::copy(from, to).expect("a copy");
    }
}

/// The result of `look`, retried for up to a minute.
#[cfg(unix)]
fn within<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    for _ in 0..3_000 {
        if let Some(found) = look() {
            return found;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("a minute went by until {what}");
}
