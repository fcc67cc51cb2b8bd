//! Finds and reads the files of the tree that can contain pins.
//!
//! The only I/O of the inventory.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use crate::edit::Change;
use crate::pins_env::CLOUD_INIT;
use crate::waivers;
use xtask_host::error::{Error, Result};
use xtask_host::source::Source;
use xtask_host::tree;

/// The file from which rustup reads the toolchain.
pub const TOOLCHAIN: &str = "rust-toolchain.toml";
/// The older name, which rustup prefers.
pub(super) const LEGACY_TOOLCHAIN: &str = "rust-toolchain";
/// Generated directories at the top of the tree; `.gitignore` lists them too.
const BUILT: [&str; 2] = ["target", "dist"];
/// Directories with foreign content, at any depth.
const FOREIGN: [&str; 3] = [".git", ".venv", "node_modules"];

/// A kind of file, by the pins that it can contain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// A compose file: images.
    Compose,
    /// A bake file: not supported.
    Bake,
    /// A Dockerfile: base images.
    Dockerfile,
    /// A workflow, or an action of this repository: actions and images.
    Workflow,
    /// GitHub's lock file: the commits of actions.
    ActionsLock,
    /// A Cargo manifest or clippy's configuration: the minimum Rust version.
    Manifest,
}

/// All files that can contain pins.
#[derive(Debug, Clone)]
pub struct Files {
    /// The files found by name or content, sorted by path.
    pub found: Vec<(FileKind, Source)>,
    /// The cloud-init file, with the downloads of the VM.
    pub cloud_init: Source,
    /// `rust-toolchain.toml`; `None` if missing.
    pub toolchain: Option<Source>,
    /// `rust-toolchain`, which must not exist: rustup prefers it.
    pub legacy_toolchain: Option<Source>,
    /// The waivers.
    pub waivers: Source,
}

impl Files {
    /// Reads the files of the tree at `root`.
    ///
    /// # Errors
    /// If a directory or file cannot be read, or the cloud-init file or the waivers are missing.
    pub fn read(root: &Path) -> Result<Self> {
        let mut paths = Vec::new();
        walk(root, "", &mut paths)?;
        paths.sort_by(|one, other| one.1.cmp(&other.1));
        let mut found = Vec::new();
        for (named, path) in paths {
            match named {
                Recognized::ByName(kind) => found.push((kind, Source::read(root, &path)?)),
                Recognized::ByContent(kind) => {
                    let bytes = tree::bytes(root, &path)?;
                    // YAML and HCL are UTF-8.
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
            legacy_toolchain: optional(LEGACY_TOOLCHAIN)?,
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

    /// The files after `changes`.
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

    /// All files.
    pub fn all(&self) -> impl Iterator<Item = &Source> {
        let found = self.found.iter().map(|(_, source)| source);
        let others = [&self.cloud_init, &self.waivers].into_iter();
        found
            .chain(others)
            .chain(&self.toolchain)
            .chain(&self.legacy_toolchain)
    }
}

/// How a file is recognized.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Recognized {
    /// By its name alone.
    ByName(FileKind),
    /// By its name and content: Docker accepts any name with `--file`.
    ByContent(FileKind),
}

fn walk(root: &Path, dir: &str, paths: &mut Vec<(Recognized, String)>) -> Result<()> {
    let full = root.join(dir);
    let failed = |error: &std::io::Error| Error::io("read", &full, error);
    for entry in fs::read_dir(&full).map_err(|error| failed(&error))? {
        let entry = entry.map_err(|error| failed(&error))?;
        let name = entry.file_name();
        // All names that we look for are UTF-8.
        let Some(name) = name.to_str() else { continue };
        let path = if dir.is_empty() {
            name.to_owned()
        } else {
            format!("{dir}/{name}")
        };
        // Links are not followed: they lead to a file with its own path, or out of the tree.
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

/// The kind of the file `name` in `dir`, by the names that Docker, GitHub and cargo look for.
fn kind_of(dir: &str, name: &str) -> Option<Recognized> {
    let lower = name.to_ascii_lowercase();
    let kind = by_name(dir, name, &lower);
    let (_, end) = lower.rsplit_once('.').unwrap_or_default();
    kind.map(Recognized::ByName).or(match end {
        _ if dir.starts_with(".github") => None,
        "yml" | "yaml" => Some(Recognized::ByContent(FileKind::Compose)),
        "json" if lower.contains("compose") => Some(Recognized::ByContent(FileKind::Compose)),
        "hcl" => Some(Recognized::ByContent(FileKind::Bake)),
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

/// `compose`, `docker-compose`, and both with a suffix after a dot.
fn is_compose(stem: &str) -> bool {
    let first = stem.split('.').next().unwrap_or(stem);
    matches!(first, "compose" | "docker-compose")
}

/// `docker-bake.hcl`, `docker-bake.json`, and both with an infix, as in `docker-bake.override.json`.
fn is_bake(name: &str) -> bool {
    name.starts_with("docker-bake.") && (name.ends_with(".hcl") || name.ends_with(".json"))
}

/// Whether the text is that of a compose file or a bake file, by the keys that each of them has.
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
    fn files_are_recognized_by_the_names_that_tools_look_for() {
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
            let found = kind_of(dir, name).filter(|named| matches!(named, Recognized::ByName(_)));
            assert_eq!(found, kind.map(Recognized::ByName), "{dir}/{name}");
        }
    }
}
