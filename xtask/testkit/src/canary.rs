//! Detects whether a secret of the environment reaches a child. Every secret gets a unique value, and every program
//! that is started records its own environment and its parent's.
//!
//! Programs on `PATH` are replaced by scripts that record and then run the real ones; build scripts and procedural
//! macros get code that does the same. Needs `/proc`, so Linux.

use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

use crate::tree::{Ran, Tree};

/// Secrets, and a record of what the children of a program saw of them.
#[derive(Debug)]
pub struct Canary {
    dir: TempDir,
    secrets: Vec<(String, String)>,
}

/// What one child inherited.
#[derive(Debug)]
pub struct Given {
    /// The program with its arguments, `build script` or `procedural macro`.
    pub program: String,
    /// Its variables, one per line.
    pub environment: String,
    /// The variables that its parent was started with, if it is still running.
    pub parent: String,
}

/// A secret that none of our programs knows.
const STRANGER: (&str, &str) = ("DEPLOY_TOKEN", "canary-of-a-stranger");
/// Separates the two parts of a record.
const PARENT: &str = "--- parent ---";

const BLOCK: &str = r#"{
    let mut seen = String::from("WHO\n");
    for (what, id) in [("", std::process::id()), ("PARENT", std::os::unix::process::parent_id())] {
        let bytes = std::fs::read(format!("/proc/{id}/environ")).unwrap();
        seen += what;
        seen += &String::from_utf8_lossy(&bytes).replace('\0', "\n");
    }
    std::fs::write(format!("SEEN/{}-rust", std::process::id()), seen).unwrap();
}
"#;
const LOOK: &str = "\
extern crate proc_macro;

#[proc_macro]
pub fn look(_: proc_macro::TokenStream) -> proc_macro::TokenStream {
    BLOCK
    Default::default()
}
";
const WORKSPACE: &str = r#"[workspace]
resolver = "3"
members = ["cli", "nosy", "services/init"]

[workspace.package]
version = "VERSION"
"#;

/// An entry of `Cargo.lock`.
fn locked(name: &str, version: &str) -> String {
    format!("\n[[package]]\nname = \"{name}\"\nversion = \"{version}\"\n")
}

impl Canary {
    /// Creates a value for every secret in `names`; no program is watched yet.
    ///
    /// # Panics
    /// If no temporary directory can be created.
    pub fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        for name in ["bin", "seen"] {
            fs::create_dir(dir.path().join(name)).expect("a directory");
        }
        let value = |name: &str| format!("canary-{}", name.to_lowercase().replace('_', "-"));
        let secrets = names.into_iter().map(|name| (name.to_owned(), value(name)));
        let secrets = secrets.collect();
        Self { dir, secrets }
    }

    /// Gives the secret `name` a value that the program can use. Leaks are detected by its last line.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.secrets.retain(|(known, _)| known != name);
        self.secrets.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Watches `programs`. Those on `PATH` still run.
    #[must_use]
    pub fn watching(self, programs: &[&str]) -> Self {
        let path = std::env::var_os("PATH").unwrap_or_default();
        for program in programs {
            let mut dirs = std::env::split_paths(&path);
            let real = dirs.find(|dir| dir.join(program).is_file());
            let then = real.map(|dir| format!("exec '{}' \"$@\"", dir.join(program).display()));
            self.script(program, &then.unwrap_or_else(|| "exit 127".to_owned()));
        }
        self
    }

    /// Watches `program`, and runs the shell script `instead` in its place.
    #[must_use]
    pub fn replacing(self, program: &str, instead: &str) -> Self {
        self.script(program, instead);
        self
    }

    fn script(&self, program: &str, then: &str) {
        let path = self.bin().join(program);
        // Read from the kernel, before the shell adds variables.
        let text = format!(
            "#!/bin/sh\n{{ echo \"{program} $*\"; tr '\\0' '\\n' </proc/$$/environ; \
             echo '{PARENT}'; tr '\\0' '\\n' </proc/$PPID/environ; }} >'{}'/$$-{program}\n{then}\n",
            self.seen().display(),
        );
        fs::write(&path, text).expect("a script");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a mode");
        }
    }

    /// The environment for [`Tree::run_with`]: with the secrets, and with the watched programs first on `PATH`.
    pub fn env(&self) -> Vec<(&str, String)> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let dirs = [self.bin()].into_iter().chain(std::env::split_paths(&path));
        let path = std::env::join_paths(dirs).expect("a PATH");
        let mut env = vec![("PATH", path.to_string_lossy().into_owned())];
        for (variable, program) in [("CARGO", "cargo"), ("RUSTC", "rustc")] {
            let program = self.bin().join(program);
            if program.exists() {
                env.push((variable, program.display().to_string()));
            }
        }
        let secrets = self.secrets.iter();
        env.extend(secrets.map(|(name, value)| (name.as_str(), value.clone())));
        env.push((STRANGER.0, STRANGER.1.to_owned()));
        env
    }

    /// Runs `program` on `tree` with the secrets and with `env`.
    pub fn run(&self, tree: &Tree, program: &str, args: &[&str], env: &[(&str, &str)]) -> Ran {
        let ours = self.env();
        let ours = ours.iter().map(|(name, value)| (*name, value.as_str()));
        let env: Vec<_> = ours.chain(env.iter().copied()).collect();
        tree.run_with(program, args, &env)
    }

    /// A block of Rust that records the environment of `who`: for a build script or a procedural macro.
    pub fn block(&self, who: &str) -> String {
        BLOCK
            .replace("WHO", who)
            .replace("SEEN", &self.seen().display().to_string())
            .replace("PARENT", PARENT)
    }

    /// Replaces the crates that a release of `tree`, made by [`Tree::data`], builds. The replacements compile within a
    /// second, and their build scripts and a procedural macro are watched.
    pub fn small_crates(&self, tree: &Tree, version: &str) {
        let write = |path: &str, text: &str| {
            let file = tree.root().join(path);
            fs::create_dir_all(file.with_file_name("")).expect("a directory");
            fs::write(file, text).expect(path);
        };
        let package = |name: &str, more: &str| {
            let package = format!("[package]\nname = \"{name}\"\nversion = \"{version}\"\n");
            format!("{package}edition = \"2024\"\n{more}")
        };
        let root = WORKSPACE.replace("VERSION", version);
        write("Cargo.toml", &root);
        write(
            "nosy/Cargo.toml",
            &package("nosy", "[lib]\nproc-macro = true\n"),
        );
        let look = LOOK.replace("BLOCK", &self.block("procedural macro"));
        write("nosy/src/lib.rs", &look);
        let mut lock = format!("version = 4\n{}", locked("nosy", version));
        for (name, dir, up) in [
            ("polis", "cli", "../"),
            ("polis-init", "services/init", "../../"),
        ] {
            let uses = format!("[dependencies]\nnosy = {{ path = \"{up}nosy\" }}\n");
            write(&format!("{dir}/Cargo.toml"), &package(name, &uses));
            let script = format!("fn main() {}", self.block("build script"));
            write(&format!("{dir}/build.rs"), &script);
            write(
                &format!("{dir}/src/main.rs"),
                "nosy::look!();\nfn main() {}\n",
            );
            lock.push_str(&locked(name, version));
            lock.push_str("dependencies = [\n \"nosy\",\n]\n");
        }
        write("Cargo.lock", &lock);
    }

    /// What every child inherited, in no particular order.
    pub fn given(&self) -> Vec<Given> {
        let entries = fs::read_dir(self.seen()).expect("the records");
        let records = entries.map(|entry| {
            let bytes = fs::read(entry.expect("a record").path()).expect("a record");
            String::from_utf8_lossy(&bytes).into_owned()
        });
        let split = |record: String| {
            let (program, rest) = record.split_once('\n')?;
            let (environment, parent) = rest.split_once(PARENT)?;
            Some(Given {
                program: program.to_owned(),
                environment: environment.to_owned(),
                parent: parent.to_owned(),
            })
        };
        records
            .map(|record| split(record).expect("a whole record"))
            .collect()
    }

    /// Asserts that each command line in `started` (a prefix) was started, and that no child and no output contains a
    /// secret.
    ///
    /// # Panics
    /// If one was not started, or a secret leaked.
    pub fn assert_unseen(&self, ran: &Ran, started: &[&str]) {
        let given = self.given();
        for wanted in started {
            let programs: Vec<_> = given.iter().map(|given| &given.program).collect();
            let found = programs.iter().any(|program| program.starts_with(wanted));
            assert!(
                found,
                "`{wanted}` was not started: {programs:#?}\n{}",
                ran.seen()
            );
        }
        for (name, value) in &self.secrets {
            let value = value.lines().last().unwrap_or_default();
            assert!(!value.is_empty(), "{name} has no value to look for");
            for child in &given {
                let program = &child.program;
                let seen = child.environment.contains(value);
                assert!(!seen, "`{program}` was given {name}");
                let seen = child.parent.contains(value);
                assert!(
                    !seen,
                    "/proc still shows {name} of what started `{program}`"
                );
            }
            assert!(!ran.seen().contains(value), "{name} was printed");
        }
        for child in &given {
            let seen = child.environment.contains(STRANGER.1);
            assert!(!seen, "`{}` was given {}", child.program, STRANGER.0);
        }
    }

    fn bin(&self) -> PathBuf {
        self.dir.path().join("bin")
    }

    fn seen(&self) -> PathBuf {
        self.dir.path().join("seen")
    }
}
