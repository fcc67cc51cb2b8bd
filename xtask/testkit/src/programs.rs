//! The test programs of the workspace, run on another tree than the one that they were built from.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::{Ran, TREE, Tree, repository};

/// A test program: the package and the target that it is of, as cargo names them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// The directory of its package, relative to the top of the tree.
    pub package: String,
    /// The name of its target.
    pub name: String,
    path: PathBuf,
}

/// Which tests of a program are run: all, or those whose names contain one of the texts.
#[derive(Debug, Clone, Copy)]
pub struct Chosen {
    /// The directory of the package.
    pub package: &'static str,
    /// The name of the target.
    pub name: &'static str,
    /// The texts; none for all tests.
    pub filters: &'static [&'static str],
}

/// Builds the test programs that `chosen` names, where they are not built yet, and returns them.
///
/// The whole workspace is named, so that they are those that `cargo test --workspace` builds.
///
/// # Panics
/// When one is missing or cannot be built.
pub fn build(chosen: &[Chosen]) -> Vec<Program> {
    let tree = Tree::data();
    let manifest = repository().join("Cargo.toml");
    let manifest = manifest.to_str().expect("a path in UTF-8");
    let mut args = vec![
        "test",
        "--locked",
        "--workspace",
        "--no-run",
        "--message-format=json",
        "--manifest-path",
        manifest,
    ];
    for one in chosen {
        args.extend(["--test", one.name]);
    }
    let ran = tree.run_with(cargo(), &args, &inherited(&["CARGO_TARGET_DIR"]));
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let messages = ran.stdout.lines().filter_map(|line| {
        let message: Value = serde_json::from_str(line).expect("cargo prints JSON");
        program(&message)
    });
    let programs: Vec<Program> = messages.collect();
    let find = |one: &Chosen| {
        let mut programs = programs.iter();
        let found = programs.find(|found| found.package == one.package && found.name == one.name);
        found
            .unwrap_or_else(|| panic!("no test program {one:?}"))
            .clone()
    };
    chosen.iter().map(find).collect()
}

/// The test program that a message of cargo is about.
fn program(message: &Value) -> Option<Program> {
    let path = message["executable"].as_str()?;
    let target = &message["target"];
    if target["kind"][0] != "test" {
        return None;
    }
    let manifest = PathBuf::from(message["manifest_path"].as_str()?);
    let package = manifest.parent()?.strip_prefix(repository()).ok()?;
    Some(Program {
        package: package.to_str()?.to_owned(),
        name: target["name"].as_str()?.to_owned(),
        path: PathBuf::from(path),
    })
}

impl Program {
    /// Runs the tests with one of the texts `filters` in their names, or all, on copies of the tree
    /// at `root`; returns what they said and how long they took.
    pub fn run_on(&self, root: &Path, filters: &[&str]) -> (Ran, Duration) {
        let root = root.to_str().expect("a path in UTF-8");
        let required = inherited(&["POLIS_REQUIRE_REAL_PARTS", "POLIS_CLOUD_INIT", "TMPDIR"]);
        let env = [&[(TREE, root)][..], &required].concat();
        let start = Instant::now();
        let ran = Tree::data().run_with(&self.path, filters, &env);
        (ran, start.elapsed())
    }
}

/// Runs what is `chosen` on the tree at `root` and returns one line for each program, with its time.
///
/// # Panics
/// When a test fails, with what it said; and when a filter chooses no test, which would prove nothing.
pub fn run_all(chosen: &[Chosen], programs: &[Program], root: &Path) -> Vec<String> {
    let pairs = chosen.iter().zip(programs);
    let lines = pairs.map(|(one, program)| {
        let (ran, took) = program.run_on(root, one.filters);
        let name = format!("{} {}", one.package, one.name);
        assert_eq!(ran.code, 0, "{name}:\n{}", ran.seen());
        let result = ran
            .stdout
            .lines()
            .find(|line| line.starts_with("test result:"));
        let result = result.unwrap_or_else(|| panic!("{name}:\n{}", ran.seen()));
        assert!(!result.contains(" 0 passed"), "{name} runs no test");
        for filter in one.filters {
            let test = format!("test {filter}");
            assert!(ran.stdout.contains(&test), "{name} has no test `{filter}`");
        }
        format!("{:6.1} s  {name}", took.as_secs_f64())
    });
    lines.collect()
}

fn cargo() -> String {
    std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned())
}

/// The variables of `names` that are set.
fn inherited<'a>(names: &[&'a str]) -> Vec<(&'a str, &'static str)> {
    let set = names.iter().filter_map(|name| {
        let value = std::env::var(name).ok()?;
        Some((*name, &*String::leak(value)))
    });
    set.collect()
}
