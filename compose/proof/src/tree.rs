//! Builds the real `polis` from a copy of the tree in which images and downloads are pinned to what the proof serves.
//!
//! The program embeds the compose folder and the user-data, so only a build with other pins can start other images without a
//! change to its code. The copy is kept, and unchanged files keep their times, so that the next build is fast.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use cloud_init_proof::run::Run;
use cloud_init_proof::{document, image};

use crate::Result;

const COMPOSE: &str = "compose/docker-compose.yml";
const USER_DATA: &str = "cloud-init/cloud-init.yaml";
/// Entries of a checkout that are not part of its content.
const NOT_CONTENT: [&str; 3] = ["target", "dist", ".git"];
/// A limit that exceeds the machine's own, and its replacement.
const FILES: (&str, &str) = ("nofile: 65536", "nofile: 16384");

/// Digests of images by repository, for instance `ghcr.io/owner/name`.
pub type Digests = BTreeMap<String, String>;

/// The top of this repository.
pub fn repository() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}

/// The user-data of the tree, unchanged.
///
/// # Errors
/// When it cannot be read.
pub fn user_data() -> Result<String> {
    read(USER_DATA)
}

fn read(path: &str) -> Result<String> {
    let path = repository().join(path);
    fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))
}

/// Builds `polis` below `dir` from a copy that pins `digests` and those of the machine's `image`.
///
/// # Errors
/// When the compose file names an image without a digest, or cargo fails.
pub fn build(dir: &Path, digests: &Digests, image: &image::Image) -> Result<PathBuf> {
    let copy = dir.join("tree");
    let mut changed = BTreeMap::new();
    changed.insert(COMPOSE.to_owned(), pinned(&read(COMPOSE)?, digests)?);
    let user_data = document::with_pins(&read(USER_DATA)?, &image.pins)?;
    changed.insert(USER_DATA.to_owned(), user_data);
    mirror(&repository(), &copy, Path::new(""), &changed)?;
    compile(dir, &copy)
}

/// Builds `polis` below `dir` from an unchanged copy, so that [`build`] only has to compile `polis` itself.
///
/// # Errors
/// When cargo fails.
pub fn build_ahead(dir: &Path) -> Result<()> {
    let copy = dir.join("tree");
    mirror(&repository(), &copy, Path::new(""), &BTreeMap::new())?;
    compile(dir, &copy).map(drop)
}

fn compile(dir: &Path, copy: &Path) -> Result<PathBuf> {
    let target = dir.join("build");
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    Run::new(&[
        &cargo,
        "build",
        "--locked",
        "--quiet",
        "--package=polis",
        &format!("--target-dir={}", target.display()),
    ])
    .cwd(copy)
    .output()?;
    Ok(target.join("debug/polis"))
}

/// The compose file with a digest for each image, and with limits that a container supports.
///
/// # Errors
/// When an image has no known digest, or the limit is missing.
pub fn pinned(text: &str, digests: &Digests) -> Result<String> {
    let mut lines = Vec::new();
    for line in text.lines() {
        let Some((indent, reference)) = line.split_once("image: ") else {
            lines.push(line.to_owned());
            continue;
        };
        if !indent.trim().is_empty() {
            lines.push(line.to_owned());
            continue;
        }
        let reference = reference.trim();
        let name = reference.split('@').next().unwrap_or_default();
        let (directory, last) = name.rsplit_once('/').unwrap_or(("", name));
        let repository = format!("{directory}/{}", last.split(':').next().unwrap_or_default());
        let digest = digests
            .get(&repository)
            .ok_or_else(|| format!("{COMPOSE} names {repository}, which has no twin"))?;
        lines.push(format!("{indent}image: {repository}@{digest}"));
    }
    let (from, to) = FILES;
    let text = lines.join("\n") + "\n";
    if !text.contains(from) {
        return Err(format!("`{from}` is not in {COMPOSE}"));
    }
    Ok(text.replace(from, to))
}

/// Makes `to` a copy of `from`, with other texts for the files in `changed`. Does not touch files that are equal.
fn mirror(from: &Path, to: &Path, below: &Path, changed: &BTreeMap<String, String>) -> Result<()> {
    let failed = |error: std::io::Error| format!("{} to {}: {error}", from.display(), to.display());
    fs::create_dir_all(to).map_err(failed)?;
    let mut names = Vec::new();
    for entry in fs::read_dir(from).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        let top = below.as_os_str().is_empty();
        if top && NOT_CONTENT.iter().any(|not| name == *not) {
            continue;
        }
        names.push(name.clone());
        let (source, target, path) = (entry.path(), to.join(&name), below.join(&name));
        if source.is_dir() {
            mirror(&source, &target, &path, changed)?;
            continue;
        }
        let bytes = match changed.get(&path.display().to_string()) {
            Some(text) => text.as_bytes().to_vec(),
            None => fs::read(&source).map_err(failed)?,
        };
        if fs::read(&target).is_ok_and(|old| old == bytes) {
            continue;
        }
        fs::write(&target, bytes).map_err(failed)?;
    }
    for entry in fs::read_dir(to).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if !names.contains(&entry.file_name()) {
            let path = entry.path();
            let gone = if path.is_dir() {
                fs::remove_dir_all(&path)
            } else {
                fs::remove_file(&path)
            };
            gone.map_err(failed)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_image_gets_its_digest() {
        let text = "  a:\n    image: ghcr.io/o/a:v1\n    ulimits:\n      nofile: 65536\n  b:\n    image: ghcr.io/o/b:v2@sha256:0\n";
        let digests =
            ["a", "b"].map(|name| (format!("ghcr.io/o/{name}"), format!("sha256:{name}")));
        let digests = Digests::from(digests);
        let pinned = pinned(text, &digests).expect("both have a twin");
        assert!(
            pinned.contains("    image: ghcr.io/o/a@sha256:a\n"),
            "{pinned}"
        );
        assert!(
            pinned.contains("    image: ghcr.io/o/b@sha256:b\n"),
            "{pinned}"
        );
    }

    #[test]
    fn an_image_without_a_twin_is_an_error() {
        let error = pinned("    image: ghcr.io/o/a:v1\n", &Digests::new());
        assert!(error.is_err_and(|error| error.contains("ghcr.io/o/a")));
    }
}
