//! The crates of the workspace in ARCHITECTURE.md: a table from their manifests, and a graph of their dependencies.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use xtask_host::error::{Error, Result};
use xtask_host::workspace::Workspace;

/// The page that lists the crates.
pub(super) const PAGE: &str = "ARCHITECTURE.md";
pub(super) const BEGIN: &str = "<!-- crates: written by `cargo xtask docs` -->\n\n";
pub(super) const END: &str = "\n\n<!-- crates: end -->";

/// Used by every tool, or only by tests. The graph omits them to stay legible.
const UNDRAWN: [&str; 3] = ["polis-base", "xtask-host", "xtask-testkit"];

/// The relevant parts of a crate's manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Package {
    name: String,
    dir: String,
    description: String,
    /// The workspace crates that it depends on, without those that only its tests use.
    uses: BTreeSet<String>,
}

/// The generated part of the page.
///
/// # Errors
/// If a manifest cannot be read or lacks a name.
pub(super) fn section(workspace: &Workspace) -> Result<String> {
    let root = manifest(workspace, "Cargo.toml")?;
    let members = root.get("workspace").and_then(|table| table.get("members"));
    let members = members.and_then(toml::Value::as_array);
    let mut packages = Vec::new();
    for member in members.into_iter().flatten() {
        let dir = member.as_str().unwrap_or_default();
        let path = format!("{dir}/Cargo.toml");
        packages.push(package(dir, &manifest(workspace, &path)?).ok_or_else(|| {
            Error::findings(format!("`{path}` has no package name or description"))
        })?);
    }
    Ok(render(&packages))
}

fn manifest(workspace: &Workspace, path: &str) -> Result<toml::Table> {
    let text = workspace.read(path)?.text;
    toml::from_str(&text).map_err(|error| {
        Error::findings(format!("cannot parse `{path}`")).because(error.to_string())
    })
}

fn package(dir: &str, manifest: &toml::Table) -> Option<Package> {
    let about = manifest.get("package")?.as_table()?;
    let text = |key: &str| Some(about.get(key)?.as_str()?.to_owned());
    let tables = ["dependencies", "build-dependencies"].map(|key| manifest.get(key)?.as_table());
    let uses = tables
        .into_iter()
        .flatten()
        .flat_map(toml::Table::keys)
        .cloned();
    Some(Package {
        name: text("name")?,
        dir: dir.to_owned(),
        description: text("description")?,
        uses: uses.collect(),
    })
}

fn render(packages: &[Package]) -> String {
    let mut page = "| crate | folder | purpose |\n|---|---|---|\n".to_owned();
    for one in packages {
        let _ = writeln!(
            page,
            "| `{}` | `{}/` | {} |",
            one.name, one.dir, one.description
        );
    }
    page.push_str("\n```mermaid\ngraph LR\n");
    for (from, to) in edges(packages) {
        let to: Vec<&str> = to.into_iter().map(String::as_str).collect();
        let _ = writeln!(page, "  {from} --> {}", to.join(" & "));
    }
    page.push_str("```");
    page
}

/// The edges of the graph, without those that others imply.
fn edges(packages: &[Package]) -> BTreeMap<&String, BTreeSet<&String>> {
    let drawn = |name: &&String| !UNDRAWN.contains(&name.as_str());
    let names: BTreeSet<&String> = packages.iter().map(|one| &one.name).filter(drawn).collect();
    let direct: BTreeMap<&String, BTreeSet<&String>> = packages
        .iter()
        .map(|one| {
            (
                &one.name,
                one.uses
                    .iter()
                    .filter(|name| names.contains(name))
                    .collect(),
            )
        })
        .collect();
    let mut edges = BTreeMap::new();
    for from in names {
        let implied = |to: &&String| {
            let mut others = direct[from].iter().filter(|other| *other != to);
            others.any(|other| reaches(&direct, other, to))
        };
        let needed = direct[from].iter().copied().filter(|to| !implied(to));
        let needed: BTreeSet<&String> = needed.collect();
        if !needed.is_empty() {
            edges.insert(from, needed);
        }
    }
    edges
}

/// Whether `from` depends on `to`, directly or not. Cargo rejects cycles, so this terminates.
fn reaches(direct: &BTreeMap<&String, BTreeSet<&String>>, from: &String, to: &String) -> bool {
    direct[from]
        .iter()
        .any(|next| *next == to || reaches(direct, next, to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_a_row_for_each_crate_and_no_implied_edge() {
        let of = |name: &str, more: &str| {
            let text = format!("[package]\nname = \"{name}\"\ndescription = \"d\"\n{more}");
            package(name, &toml::from_str(&text).unwrap()).unwrap()
        };
        let all = [
            of("a", "[dependencies]\nb.workspace = true\nserde = \"1\"\n"),
            of("b", "[build-dependencies]\nc.workspace = true\n"),
            of("c", "[dev-dependencies]\na.workspace = true\n"),
            of(
                "d",
                "[dependencies]\na.workspace = true\nc.workspace = true\n",
            ),
            of(
                "e",
                "[dependencies]\na.workspace = true\nd.workspace = true\n",
            ),
        ];
        let page = render(&all);
        assert!(page.contains("\n| `b` | `b/` | d |\n"), "{page}");
        assert!(
            page.ends_with("graph LR\n  a --> b\n  b --> c\n  d --> a\n  e --> d\n```"),
            "{page}"
        );
    }
}
