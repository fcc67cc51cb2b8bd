//! The files of the tree that can hold pins: found by their names, read once.
//!
//! The only module of `pins` that touches the file system.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use crate::edit::Change;
use crate::pins_env::CLOUD_INIT;
use crate::waivers;
use xtask_host::error::{Error, Result};
use xtask_host::source::Source;
use xtask_host::tree;

/// Where rustup finds the toolchain.
pub const TOOLCHAIN: &str = "rust-toolchain.toml";
/// Where rustup looks before it looks there.
pub(super) const TOOLCHAIN_BEFORE: &str = "rust-toolchain";
/// Directories without content of ours, at the top; `.gitignore` names them too.
const BUILT: [&str; 2] = ["target", "dist"];
/// The same at any depth.
const FOREIGN: [&str; 3] = [".git", ".venv", "node_modules"];

/// What a file can pin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// A compose file: images.
    Compose,
    /// A bake file, which nothing here reads.
    Bake,
    /// A Dockerfile: base images.
    Dockerfile,
    /// A workflow, or an action of this repository: actions and images.
    Workflow,
    /// GitHub's lock file: the commits of actions.
    ActionsLock,
    /// A Cargo manifest, or clippy's configuration: the minimum Rust version.
    Manifest,
}

/// All files that can hold pins.
#[derive(Debug, Clone)]
pub struct Files {
    /// The files that are found by name, in the order of their paths.
    pub found: Vec<(FileKind, Source)>,
    /// The cloud-init file, which holds the downloads.
    pub cloud_init: Source,
    /// The file that names the toolchain; `None` when there is none.
    pub toolchain: Option<Source>,
    /// A file of the older form, which rustup prefers; there must be none.
    pub toolchain_before: Option<Source>,
    /// The waivers.
    pub waivers: Source,
}

impl Files {
    /// Reads the files of the tree at `root`.
    ///
    /// # Errors
    /// When a directory or file cannot be read, or the cloud-init file or the waivers are missing.
    pub fn read(root: &Path) -> Result<Self> {
        let mut paths = Vec::new();
        walk(root, "", &mut paths)?;
        paths.sort_by(|one, other| one.1.cmp(&other.1));
        let mut found = Vec::new();
        for (named, path) in paths {
            match named {
                Named::Kind(kind) => found.push((kind, Source::read(root, &path)?)),
                Named::Perhaps(kind) => {
                    let bytes = tree::bytes(root, &path)?;
                    // What is not UTF-8 is read by nothing that reads YAML or HCL here.
                    let text = String::from_utf8(bytes).ok();
                    if let Some(text) = text.filter(|text| looks_like(kind, text)) {
                        found.push((kind, Source { path, text }));
                    }
                }
            }
        }
        let optional = |path: &str| match root.join(path).exists() {
            true => Source::read(root, path).map(Some),
            false => Ok(None),
        };
        Ok(Self {
            found,
            cloud_init: Source::read(root, CLOUD_INIT)?,
            toolchain: optional(TOOLCHAIN)?,
            toolchain_before: optional(TOOLCHAIN_BEFORE)?,
            waivers: Source::read(root, waivers::PATH)?,
        })
    }

    /// The files of one kind.
    pub fn of(&self, kind: FileKind) -> impl Iterator<Item = &Source> {
        let of_kind = move |file: &&(FileKind, Source)| file.0 == kind;
        self.found.iter().filter(of_kind).map(|(_, source)| source)
    }

    /// The paths of the Dockerfiles.
    pub(super) fn dockerfiles(&self) -> HashSet<&str> {
        let found = self.of(FileKind::Dockerfile);
        found.map(|source| source.path.as_str()).collect()
    }

    /// The same files with `changes` made.
    #[must_use]
    pub fn changed(&self, changes: &[Change]) -> Self {
        let mut files = self.clone();
        let found = files.found.iter_mut().map(|(_, source)| source);
        let others = [&mut files.cloud_init, &mut files.waivers].into_iter();
        for source in found.chain(others).chain(&mut files.toolchain) {
            if let Some(change) = changes.iter().find(|change| change.path == source.path) {
                source.text.clone_from(&change.after);
            }
        }
        files
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &Source> {
        let found = self.found.iter().map(|(_, source)| source);
        let others = [&self.cloud_init, &self.waivers].into_iter();
        found
            .chain(others)
            .chain(&self.toolchain)
            .chain(&self.toolchain_before)
    }
}

/// What the name of a file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Named {
    /// It is of this kind.
    Kind(FileKind),
    /// It is of this kind if it looks like it: Docker takes any name behind `--file`.
    Perhaps(FileKind),
}

fn walk(root: &Path, dir: &str, paths: &mut Vec<(Named, String)>) -> Result<()> {
    let full = root.join(dir);
    let failed = |error: &std::io::Error| Error::io("read", &full, error);
    for entry in fs::read_dir(&full).map_err(|error| failed(&error))? {
        let entry = entry.map_err(|error| failed(&error))?;
        let name = entry.file_name();
        // A name that is not UTF-8 is none of those we look for.
        let Some(name) = name.to_str() else { continue };
        let path = if dir.is_empty() {
            name.to_owned()
        } else {
            format!("{dir}/{name}")
        };
        // A link leads to what is found by its own path, or out of the tree.
        let kind = entry.file_type().map_err(|error| failed(&error))?;
        if kind.is_dir() {
            if !BUILT.contains(&path.as_str()) && !FOREIGN.contains(&name) {
                walk(root, &path, paths)?;
            }
        } else if let Some(kind) = kind_of(dir, name) {
            paths.push((kind, path));
        }
    }
    Ok(())
}

/// What the file `name` in `dir` can pin, by the names that Docker, GitHub and cargo look for.
fn kind_of(dir: &str, name: &str) -> Option<Named> {
    let lower = name.to_ascii_lowercase();
    let kind = by_name(dir, name, &lower);
    let (_, end) = lower.rsplit_once('.').unwrap_or_default();
    kind.map(Named::Kind).or(match end {
        _ if dir.starts_with(".github") => None,
        "yml" | "yaml" => Some(Named::Perhaps(FileKind::Compose)),
        "json" if lower.contains("compose") => Some(Named::Perhaps(FileKind::Compose)),
        "hcl" => Some(Named::Perhaps(FileKind::Bake)),
        _ => None,
    })
}

fn by_name(dir: &str, name: &str, lower: &str) -> Option<FileKind> {
    let yaml = [".yml", ".yaml"]
        .iter()
        .find_map(|end| lower.strip_suffix(end));
    match yaml {
        Some(_) if dir == ".github/workflows" => Some(FileKind::Workflow),
        Some("action") => Some(FileKind::Workflow),
        Some(stem) if is_compose(stem) => Some(FileKind::Compose),
        None if lower.ends_with(".dockerignore") => None,
        None if dir == ".github/workflows" && name == "actions.lock" => Some(FileKind::ActionsLock),
        None if is_bake(lower) => Some(FileKind::Bake),
        None if is_dockerfile(name) => Some(FileKind::Dockerfile),
        None if matches!(name, "Cargo.toml" | "clippy.toml" | ".clippy.toml") => {
            Some(FileKind::Manifest)
        }
        _ => None,
    }
}

/// `compose`, `docker-compose`, and either with more behind a dot.
fn is_compose(stem: &str) -> bool {
    let first = stem.split('.').next().unwrap_or(stem);
    matches!(first, "compose" | "docker-compose")
}

/// `docker-bake.hcl`, `docker-bake.json`, and either with more before the end.
fn is_bake(name: &str) -> bool {
    name.starts_with("docker-bake.") && (name.ends_with(".hcl") || name.ends_with(".json"))
}

/// Whether a file of any name is a compose file or a bake file, by what every one of them has.
fn looks_like(kind: FileKind, text: &str) -> bool {
    match kind {
        FileKind::Bake => text.lines().any(|line| {
            let line = line.trim_start();
            ["target", "group", "matrix"].iter().any(|word| {
                line.strip_prefix(word)
                    .is_some_and(|rest| rest.trim_start().starts_with('"'))
            })
        }),
        _ => {
            let flow = text.trim_start().starts_with('{') && text.contains("\"services\"");
            let block = text.contains("services")
                && text.lines().any(|line| {
                    let key = line.split(':').next().filter(|_| line.contains(':'));
                    key.is_some_and(|key| key.trim_end().trim_matches(['"', '\'']) == "services")
                });
            flow || block
        }
    }
}

/// `Dockerfile`, `Dockerfile.dev`, `dev.Dockerfile`, and the same with `Containerfile`.
fn is_dockerfile(name: &str) -> bool {
    ["Dockerfile", "Containerfile"].iter().any(|word| {
        name.strip_prefix(word)
            .is_some_and(|more| more.is_empty() || more.starts_with('.'))
            || name
                .rsplit_once('.')
                .is_some_and(|(_, end)| end.eq_ignore_ascii_case(word))
            || name.eq_ignore_ascii_case(word)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_known_by_the_names_that_their_readers_look_for() {
        for (dir, name, kind) in [
            (".github/workflows", "ci.yml", Some(FileKind::Workflow)),
            (".github/workflows", "x.yaml", Some(FileKind::Workflow)),
            (".github", "dependabot.yml", None),
            (
                ".github/workflows",
                "actions.lock",
                Some(FileKind::ActionsLock),
            ),
            ("tools/setup", "action.yaml", Some(FileKind::Workflow)),
            ("compose", "docker-compose.yml", Some(FileKind::Compose)),
            ("", "compose.override.yaml", Some(FileKind::Compose)),
            ("compose", "pin-waivers.yaml", None),
            ("", "docker-bake.hcl", Some(FileKind::Bake)),
            ("", "docker-bake.override.json", Some(FileKind::Bake)),
            ("a", "Dockerfile", Some(FileKind::Dockerfile)),
            ("a", "Dockerfile.dev", Some(FileKind::Dockerfile)),
            ("a", "dev.Dockerfile", Some(FileKind::Dockerfile)),
            ("a", "Containerfile", Some(FileKind::Dockerfile)),
            ("a", "Dockerfile.dockerignore", None),
            ("a", "dockerfile", Some(FileKind::Dockerfile)),
            ("src", "dockerfile.rs", None),
            ("cli", "Cargo.toml", Some(FileKind::Manifest)),
        ] {
            let found = kind_of(dir, name).filter(|named| matches!(named, Named::Kind(_)));
            assert_eq!(found, kind.map(Named::Kind), "{dir}/{name}");
        }
    }
}
