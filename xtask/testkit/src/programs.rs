//! The test programs of the workspace, run on a different tree than they were built from.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use crate::tree::{Ran, TREE, Tree};

/// What to do when a program is missing.
const BUILD: &str = "run `cargo test --workspace --no-run`";

/// A test program, identified by package and target as cargo names them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// The directory of its package, relative to the top of the tree.
    pub package: String,
    /// The name of its target.
    pub name: String,
    path: PathBuf,
}

/// A selection of the tests of a program: all, or those whose names contain one of the filters.
#[derive(Debug, Clone, Copy)]
pub struct Chosen {
    /// The directory of the package.
    pub package: &'static str,
    /// The name of the target.
    pub name: &'static str,
    /// The filters; empty for all tests.
    pub filters: &'static [&'static str],
}

/// The test programs that `chosen` names, already built.
///
/// `cargo test --workspace` builds all of them before it runs any. Building them here would rebuild everything each
/// time, because the environment of a test differs for some build scripts.
///
/// # Panics
/// If one is missing, or older than its sources.
pub fn find(chosen: &[Chosen]) -> Vec<Program> {
    let this = std::env::current_exe().expect("a test program");
    let dir = this.parent().expect("its directory");
    let entries: Vec<PathBuf> = fs::read_dir(dir)
        .expect("test programs")
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    let find = |one: &Chosen| {
        let built = entries.iter().filter_map(|path| built(path, one));
        let newest = built.max_by_key(|(modified, _)| *modified);
        let (_, path) = newest.unwrap_or_else(|| panic!("{one:?} is not built; {BUILD}"));
        Program {
            package: one.package.to_owned(),
            name: one.name.to_owned(),
            path,
        }
    };
    chosen.iter().map(find).collect()
}

/// The program beside the dependency file `path` and its build time, if it is `one` of this tree.
fn built(path: &Path, one: &Chosen) -> Option<(SystemTime, PathBuf)> {
    let name = path.file_name()?.to_str()?.strip_suffix(".d")?;
    name.strip_prefix(one.name)?.strip_prefix('-')?;
    let text = fs::read_to_string(path).ok()?;
    // `PROGRAM: SOURCE SOURCE ...`, with sources relative to the top of the tree.
    let (_, sources) = text.lines().find_map(|line| line.split_once(": "))?;
    let mut sources = sources.split(' ');
    let main = format!("{}/tests/{}", one.package, one.name);
    let first = sources.next()?;
    if ![format!("{main}.rs"), format!("{main}/main.rs")]
        .iter()
        .any(|main| main == first)
    {
        return None;
    }
    let program = path.with_extension("");
    let modified = |path: &Path| fs::metadata(path).and_then(|data| data.modified()).ok();
    let built = modified(&program)?;
    let tree = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2)?;
    let stale = sources
        .chain([first])
        .any(|source| modified(&tree.join(source)) > Some(built));
    (!stale).then_some((built, program))
}

impl Program {
    /// Runs the tests whose names contain one of `filters`, or all tests, on copies of the tree at `root`. Returns
    /// their output and duration.
    pub fn run_on(&self, root: &Path, filters: &[&str]) -> (Ran, Duration) {
        let root = root.to_str().expect("a path in UTF-8");
        let required = inherited(&["POLIS_REQUIRE_REAL_PARTS", "POLIS_CLOUD_INIT", "TMPDIR"]);
        let env = [&[(TREE, root)][..], &required].concat();
        let start = Instant::now();
        let ran = Tree::data().run_with(&self.path, filters, &env);
        (ran, start.elapsed())
    }
}

/// Runs the `chosen` tests on the tree at `root` and returns one line per program, with its time.
///
/// # Panics
/// If a test fails, with its output; or if a filter matches no test, which would prove nothing.
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

/// The variables in `names` that are set.
fn inherited<'a>(names: &[&'a str]) -> Vec<(&'a str, &'static str)> {
    let set = names.iter().filter_map(|name| {
        let value = std::env::var(name).ok()?;
        Some((*name, &*String::leak(value)))
    });
    set.collect()
}
