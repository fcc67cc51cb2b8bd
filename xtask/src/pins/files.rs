//! The files of the tree that can hold pins: found by their names, read once.
//!
//! The only module of `pins` that touches the file system.

use std::fs;
use std::path::Path;

use super::edit::Change;
use crate::error::{Error, Result};
use crate::pins_env::CLOUD_INIT;
use crate::source::Source;
use crate::waivers;

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
    /// A Dockerfile: base images.
    Dockerfile,
    /// A workflow, or an action of this repository: actions and images.
    Workflow,
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
        let found = paths
            .into_iter()
            .map(|(kind, path)| Ok((kind, Source::read(root, &path)?)))
            .collect::<Result<Vec<_>>>()?;
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

fn walk(root: &Path, dir: &str, paths: &mut Vec<(FileKind, String)>) -> Result<()> {
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
fn kind_of(dir: &str, name: &str) -> Option<FileKind> {
    let lower = name.to_ascii_lowercase();
    let yaml = [".yml", ".yaml"]
        .iter()
        .find_map(|end| lower.strip_suffix(end));
    match yaml {
        Some(_) if dir == ".github/workflows" => Some(FileKind::Workflow),
        Some("action") => Some(FileKind::Workflow),
        Some(stem) if is_compose(stem) => Some(FileKind::Compose),
        None if lower.ends_with(".dockerignore") => None,
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
            ("tools/setup", "action.yaml", Some(FileKind::Workflow)),
            ("compose", "docker-compose.yml", Some(FileKind::Compose)),
            ("", "compose.override.yaml", Some(FileKind::Compose)),
            ("compose", "pin-waivers.yaml", None),
            ("a", "Dockerfile", Some(FileKind::Dockerfile)),
            ("a", "Dockerfile.dev", Some(FileKind::Dockerfile)),
            ("a", "dev.Dockerfile", Some(FileKind::Dockerfile)),
            ("a", "Containerfile", Some(FileKind::Dockerfile)),
            ("a", "Dockerfile.dockerignore", None),
            ("a", "dockerfile", Some(FileKind::Dockerfile)),
            ("src", "dockerfile.rs", None),
            ("cli", "Cargo.toml", Some(FileKind::Manifest)),
        ] {
            assert_eq!(kind_of(dir, name), kind, "{dir}/{name}");
        }
    }
}
