//! A maintainer's machine: a checkout with an `origin`, a home with keys, and the tools.
//!
//! `cargo xtask` runs the programs that were built with the tests: building them once more in another directory would take
//! minutes and prove nothing.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;
use xtask_host::error::Result;
use xtask_host::process::Run;
use xtask_testkit::Tree;

use crate::servers::Servers;

const PROGRAM: &str = env!("CARGO_BIN_EXE_xtask-online");
/// Longer than any command takes.
const LIMIT: Duration = Duration::from_secs(900);
/// Variables that the tests' environment may contain and a maintainer's does not.
const UNSET: [&str; 9] = [
    "CARGO_MANIFEST_DIR",
    "DOCKER_CONFIG",
    "GITHUB_ACTOR",
    "GITHUB_TOKEN",
    "POLIS_MINISIGN_PASSWORD",
    "POLIS_MINISIGN_SECRET_KEY",
    "POLIS_REGISTRY",
    "POLIS_REGISTRY_PASSWORD",
    "POLIS_REGISTRY_USER",
];
/// Answers `cargo xtask`, and the builds that it starts, with existing programs; passes everything else to cargo. The
/// paths are in the script, because our tools hide unknown variables from children.
const SHIM: &str = r#"#!/bin/sh
case "$*" in
  xtask*)
    shift
    export CARGO_MANIFEST_DIR="$PWD/xtask"
    exec 'PROGRAMS/xtask' "$@" ;;
  'build --locked --package xtask --package xtask-online')
    exit ;;
  build*--message-format=json-render-diagnostics*)
    for word; do
      [ "$before" = --package ] && package=$word
      before=$word
    done
    printf '{"target":{"name":"%s","kind":["bin"]},"executable":"PROGRAMS/%s"}\n' "$package" "$package"
    exit ;;
esac
exec 'REAL_CARGO' "$@"
"#;

/// The machine.
pub(crate) struct Maintainer {
    /// The checkout.
    pub(crate) tree: PathBuf,
    /// The bare repository that is its `origin`.
    pub(crate) origin: PathBuf,
    /// A short path, because GnuPG's agent has a socket below it.
    home: TempDir,
    endpoints: String,
}

impl Maintainer {
    /// A checkout of `content` below `dir`, with one commit on `main`. Keeps earlier build artifacts.
    pub(crate) fn new(dir: &Path, content: &Tree) -> Self {
        let (tree, origin) = (dir.join("tree"), dir.join("origin.git"));
        let kept = dir.join("target");
        if tree.join("target").exists() {
            let _ = fs::remove_dir_all(&kept);
            fs::rename(tree.join("target"), &kept).expect("the builds are kept");
        }
        for stale in [&tree, &origin] {
            let _ = fs::remove_dir_all(stale);
        }
        fs::create_dir_all(dir).expect("a directory");
        let home = tempfile::tempdir().expect("a home");
        let maintainer = Self {
            tree,
            origin,
            home,
            endpoints: String::new(),
        };
        maintainer.prepare_home();
        let [tree, origin] = [&maintainer.tree, &maintainer.origin].map(|path| path.display());
        let source = content.root().display();
        for command in [
            format!("cp -a '{source}/.' '{tree}'"),
            format!("git init --quiet --bare --initial-branch=main '{origin}'"),
        ] {
            maintainer.run_in(dir, &command).expect("a checkout");
        }
        if kept.exists() {
            fs::rename(&kept, maintainer.tree.join("target")).expect("the builds are kept");
        }
        maintainer
    }

    /// Redirects the hosts to `servers`.
    pub(crate) fn with_servers(mut self, servers: &Servers) -> Self {
        self.endpoints = servers.endpoints();
        self
    }

    /// Creates keys, the maintainer's identity, and the shim.
    fn prepare_home(&self) {
        let home = self.home.path();
        fs::create_dir_all(home.join("bin")).expect("a directory");
        let shim = home.join("bin/cargo");
        let programs = programs().display().to_string();
        let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
        let text = SHIM
            .replace("PROGRAMS", &programs)
            .replace("REAL_CARGO", &cargo);
        fs::write(&shim, text).expect("the shim");
        let config = "[user]\n\tname = Polis tests\n\temail = tests@polis.invalid\n\tsigningkey = tests@polis.invalid\n[init]\n\tdefaultBranch = main\n";
        fs::write(home.join(".gitconfig"), config).expect("git's configuration");
        let key = "chmod 755 ~/bin/cargo && mkdir -m 700 ~/.gnupg && gpg --batch --quiet --passphrase '' \
                   --quick-generate-key 'Polis tests <tests@polis.invalid>' ed25519 sign 2d";
        self.run_in(home, key).expect("a key for tags");
    }

    /// Runs a command at the top of the checkout, as it is written; returns its standard output.
    pub(crate) fn run(&self, command: &str) -> Result<String> {
        self.run_in(&self.tree, command)
    }

    /// Runs `script` in bash, as one session, with `answers` on standard input; returns its standard output. The
    /// programs that it would build are already built.
    pub(crate) fn session(&self, script: &str, answers: &str) -> String {
        let debug = self.tree.join("target/debug");
        if !debug.exists() {
            std::os::unix::fs::symlink(programs(), &debug).expect("a link");
        }
        let run = self.shell_of("bash", &self.tree, script);
        let answer = run.converse(answers, LIMIT).expect("an answer");
        assert!(
            answer.success,
            "{script}\n{}\n{}",
            answer.stdout, answer.stderr
        );
        answer.stdout
    }

    /// Runs an interactive command with `answers` on standard input.
    pub(crate) fn converse(&self, command: &str, answers: &str) {
        let run = self.shell(&self.tree, command);
        let answer = run.converse(answers, LIMIT).expect("an answer");
        assert!(answer.success, "{command}: {}", answer.stderr);
    }

    fn run_in(&self, dir: &Path, command: &str) -> Result<String> {
        self.shell(dir, command).output()
    }

    fn shell(&self, dir: &Path, command: &str) -> Run {
        self.shell_of("sh", dir, command)
    }

    fn shell_of(&self, shell: &str, dir: &Path, command: &str) -> Run {
        let home = self.home.path();
        let mut run = Run::new(shell)
            .args(["-euc", command])
            .cwd(dir)
            .env("HOME", home)
            .env("GNUPGHOME", home.join(".gnupg"));
        for (name, dir) in [("CARGO_HOME", ".cargo"), ("RUSTUP_HOME", ".rustup")] {
            let real = std::env::var_os(name).map(PathBuf::from);
            let real = real.or_else(|| Some(std::env::home_dir()?.join(dir)));
            run = run.env(name, real.expect("a home"));
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path: OsString = [home.join("bin").into_os_string(), ":".into(), path]
            .into_iter()
            .collect();
        run = run.env("PATH", path).env("CARGO", home.join("bin/cargo"));
        for name in UNSET {
            run = run.env_remove(name);
        }
        match self.endpoints.is_empty() {
            true => run,
            false => run.env("POLIS_ENDPOINTS", &self.endpoints),
        }
    }
}

/// The directory of the programs that were built with the tests.
fn programs() -> &'static Path {
    Path::new(PROGRAM).parent().expect("a directory")
}

impl Drop for Maintainer {
    fn drop(&mut self) {
        // The agent outlives the process that started it.
        let _ = self.run_in(self.home.path(), "gpgconf --kill all");
    }
}
