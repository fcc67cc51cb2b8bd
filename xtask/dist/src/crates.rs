//! The crates that make up a program, as cargo resolves them.
//!
//! `cargo tree` resolves features as a build of that package for that target does. `cargo metadata` merges the
//! features of all workspace members, so we take only descriptions from it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use cargo_metadata::{Metadata, MetadataCommand, Package};
use serde::Deserialize;

use xtask_host::error::{Error, Result};
use xtask_host::process::Run;

/// A crate's name and version, a pair that is unique in our `Cargo.lock`.
pub(crate) type Id = (String, String);

/// A crate of a program.
#[derive(Debug, Clone)]
pub(crate) struct Crate {
    pub(crate) id: Id,
    /// Its licence expression.
    pub(crate) license: Option<String>,
    /// The licence file that its manifest names.
    pub(crate) license_file: Option<PathBuf>,
    /// The directory of its source on this machine.
    pub(crate) dir: PathBuf,
    /// Where it is developed.
    pub(crate) repository: Option<String>,
    /// The checksum of its package on the registry; `None` for a crate of this repository.
    pub(crate) checksum: Option<String>,
    /// Its dependencies.
    pub(crate) depends: BTreeSet<Id>,
    /// Whether its code is linked into the program, and not only run by a build script or a macro.
    pub(crate) linked: bool,
}

impl Crate {
    /// Whether it belongs to this repository.
    pub(crate) fn is_ours(&self) -> bool {
        self.checksum.is_none()
    }

    /// Its name and version as text.
    pub(crate) fn title(&self) -> String {
        format!("{} {}", self.id.0, self.id.1)
    }
}

/// Every crate that building `package` for any of `targets` compiles, sorted, including the package itself.
pub(crate) fn of(root: &Path, package: &str, targets: &[String]) -> Result<Vec<Crate>> {
    let built = tree(root, package, targets, "normal,build")?;
    let linked = tree(root, package, targets, "normal,no-proc-macro")?;
    let checksums = checksums(root)?;
    let metadata = metadata(root, targets)?;
    let described: BTreeMap<Id, &Package> = metadata
        .packages
        .iter()
        .map(|package| {
            (
                (package.name.to_string(), package.version.to_string()),
                package,
            )
        })
        .collect();
    built
        .into_iter()
        .map(|(id, depends)| {
            let package = described.get(&id).ok_or_else(|| {
                Error::machine(format!("cargo does not describe `{} {}`", id.0, id.1))
                    .because("`cargo tree` names it and `cargo metadata` does not")
            })?;
            let checksum = checksums.get(&id).cloned();
            if checksum.is_none() && package.source.is_some() {
                return Err(Error::findings(format!(
                    "`{} {}` has no checksum in Cargo.lock",
                    id.0, id.1
                ))
                .hint("use a version from a registry: a release contains only pinned crates"));
            }
            Ok(Crate {
                license: package.license.clone(),
                license_file: package.license_file.clone().map(Into::into),
                dir: package
                    .manifest_path
                    .parent()
                    .map_or_else(PathBuf::new, Into::into),
                repository: package.repository.clone(),
                checksum,
                depends,
                linked: linked.contains_key(&id),
                id,
            })
        })
        .collect()
}

/// The crates whose code, or whose macros' output, is in the program.
pub(crate) fn entering(root: &Path, package: &str, targets: &[String]) -> Result<BTreeSet<Id>> {
    Ok(tree(root, package, targets, "normal")?
        .into_keys()
        .collect())
}

/// The dependency tree of `package`: each crate with its dependencies.
fn tree(
    root: &Path,
    package: &str,
    targets: &[String],
    edges: &str,
) -> Result<BTreeMap<Id, BTreeSet<Id>>> {
    let mut run = cargo(root, "tree").args(["--package", package, "--edges", edges]);
    for target in targets {
        run = run.args(["--target", target]);
    }
    let text = run
        .args(["--prefix", "depth", "--format", " {p}"])
        .output()?;
    read_tree(&text)
        .ok_or_else(|| Error::machine("cannot read what `cargo tree` printed").because(text))
}

/// Reads lines such as `2 name v1.2.3 (proc-macro) (*)`; `(*)` marks a crate whose dependencies were printed earlier.
fn read_tree(text: &str) -> Option<BTreeMap<Id, BTreeSet<Id>>> {
    let mut crates: BTreeMap<Id, BTreeSet<Id>> = BTreeMap::new();
    let mut path: Vec<Id> = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        let mut words = line.split(' ');
        let depth: usize = words.next()?.parse().ok()?;
        let name = words.next()?.to_owned();
        let version = words.next()?.strip_prefix('v')?.to_owned();
        let id = (name, version);
        path.truncate(depth);
        if let Some(parent) = path.last() {
            crates.entry(parent.clone()).or_default().insert(id.clone());
        }
        crates.entry(id.clone()).or_default();
        path.push(id);
    }
    (!crates.is_empty()).then_some(crates)
}

fn metadata(root: &Path, targets: &[String]) -> Result<Metadata> {
    let mut run = cargo(root, "metadata").args(["--format-version", "1"]);
    for target in targets {
        run = run.args(["--filter-platform", target]);
    }
    MetadataCommand::parse(run.output()?).map_err(|error| {
        Error::machine("cannot read what `cargo metadata` printed").because(error.to_string())
    })
}

fn cargo(root: &Path, verb: &str) -> Run {
    Run::cargo()
        .args([verb, "--locked", "--manifest-path"])
        .arg(root.join("Cargo.toml"))
        .cwd(root)
}

#[derive(Deserialize)]
struct Lock {
    package: Vec<Locked>,
}

#[derive(Deserialize)]
struct Locked {
    name: String,
    version: String,
    checksum: Option<String>,
}

fn checksums(root: &Path) -> Result<BTreeMap<Id, String>> {
    let path = root.join("Cargo.lock");
    let text = std::fs::read_to_string(&path).map_err(|error| Error::io("read", &path, &error))?;
    let lock: Lock = toml::from_str(&text).map_err(|error| {
        Error::findings(format!("cannot read `{}`", path.display())).because(error.to_string())
    })?;
    let packages = lock.package.into_iter();
    Ok(packages
        .filter_map(|package| Some(((package.name, package.version), package.checksum?)))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_are_parsed_from_the_depth_of_lines() {
        let text = "0 a v1.0.0 (/somewhere/with a blank)\n1 b v2.0.0\n2 d v1.2.3 (proc-macro)\n1 c v3.0.0\n2 b v2.0.0 (*)\n\n0 a v1.0.0\n1 e v0.1.0\n";
        let crates = read_tree(text).unwrap();
        let id = |name: &str, version: &str| (name.to_owned(), version.to_owned());
        let of_a = [id("b", "2.0.0"), id("c", "3.0.0"), id("e", "0.1.0")];
        assert_eq!(crates[&id("a", "1.0.0")], BTreeSet::from(of_a));
        assert_eq!(
            crates[&id("b", "2.0.0")],
            BTreeSet::from([id("d", "1.2.3")])
        );
        assert_eq!(
            crates[&id("c", "3.0.0")],
            BTreeSet::from([id("b", "2.0.0")])
        );
        assert_eq!(read_tree("something else\n"), None);
        assert_eq!(read_tree(""), None);
    }
}
