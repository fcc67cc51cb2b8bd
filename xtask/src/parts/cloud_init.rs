//! cloud-init's own validator, unpacked and not installed: installed, it would configure the
//! machine at its next boot.
//!
//! Debian 12's accepts unknown keys at the top of a document, so a newer release's package is
//! taken there, through a package list of our own: the system's sources stay as they are.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::process::Run;
use crate::progress::Progress;
use crate::workspace::Workspace;
use crate::write;

use super::os_is;

/// The first release that is strict about the top of a document.
const OLDEST: u32 = 24;
/// Debian's release that has one.
const SUITE: &str = "trixie";
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// What is left out where there is no such cloud-init.
pub(super) fn missing() -> Option<String> {
    (!is_there())
        .then(|| format!("cloud-init >= {OLDEST}: judges the same documents as our schema"))
}

fn is_there() -> bool {
    let version = Run::new("cloud-init")
        .arg("--version")
        .output()
        .unwrap_or_default();
    let number = version
        .split_whitespace()
        .last()
        .and_then(|number| number.split('.').next()?.parse::<u32>().ok());
    number.is_some_and(|major| major >= OLDEST)
}

/// Unpacks a cloud-init package below the build directory, where none that is new enough is
/// installed, and returns the directory.
pub(super) fn provide(workspace: &Workspace, progress: Progress) -> Result<Option<PathBuf>> {
    if is_there() {
        return Ok(None);
    }
    let dir = workspace.target.join("parts/cloud-init");
    let unpacked = dir.join("unpacked");
    if !unpacked.exists() {
        progress.note(&format!("unpacking {SUITE}'s cloud-init below target/: its validator judges the same documents as our schema"));
        let package = download(&dir)?;
        write::directory(&unpacked, "usr", |new| {
            Run::new("dpkg-deb")
                .arg("--extract")
                .arg(&package)
                .arg(new)
                .output()
                .map(drop)
        })?;
    }
    Ok(Some(unpacked))
}

/// Downloads the package with apt, which verifies it, into `dir`.
fn download(dir: &Path) -> Result<PathBuf> {
    let options = match os_is("ubuntu") {
        true => Vec::new(),
        false => newer_sources(dir)?,
    };
    let apt = |words: &[&str]| {
        let options = options.iter().flat_map(|option| ["-o", option]);
        Run::new("apt-get")
            .arg("-q")
            .args(options)
            .args(words)
            .cwd(dir)
            .output()
    };
    std::fs::create_dir_all(dir).map_err(|error| Error::io("create", dir, &error))?;
    if !options.is_empty() {
        apt(&["update"])?;
    }
    apt(&["download", "cloud-init"])?;
    let mut found = Vec::new();
    write::files_below(dir, ".", &mut found)?;
    found
        .iter()
        .find(|path| path.starts_with("./cloud-init_") && path.ends_with(".deb"))
        .map(|path| dir.join(path))
        .ok_or_else(|| {
            Error::machine(format!(
                "apt-get left no cloud-init package in `{}`",
                dir.display()
            ))
        })
}

/// The options that make apt read a list of our own, with Debian's newer release, and keep what
/// it learns below `dir`.
fn newer_sources(dir: &Path) -> Result<Vec<String>> {
    for needed in ["lists/partial", "cache/archives/partial"] {
        let needed = dir.join(needed);
        std::fs::create_dir_all(&needed).map_err(|error| Error::io("create", &needed, &error))?;
    }
    let list = dir.join("sources.list");
    let source = format!("deb [signed-by={KEYRING}] {} {SUITE} main\n", mirror()?);
    write::atomically(&list, source.as_bytes())?;
    Ok(vec![
        format!("Dir::Etc::sourcelist={}", list.display()),
        "Dir::Etc::sourceparts=-".to_owned(),
        format!("Dir::State::Lists={}", dir.join("lists").display()),
        format!("Dir::Cache={}", dir.join("cache").display()),
        // Only the list of packages is needed.
        "Acquire::Languages=none".to_owned(),
        "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false".to_owned(),
        // Root's own directory, which apt's user may not enter.
        "APT::Sandbox::User=root".to_owned(),
    ])
}

/// The mirror that the system's own sources name.
fn mirror() -> Result<String> {
    let uris = Run::new("apt-get")
        .args([
            "indextargets",
            "--format",
            "$(REPO_URI)",
            "Created-By: Packages",
            "Origin: Debian",
        ])
        .output()?;
    uris.lines()
        .find(|uri| !uri.contains("security"))
        .map(str::to_owned)
        .ok_or_else(|| Error::machine("apt knows no mirror").hint("run `apt-get update`"))
}
