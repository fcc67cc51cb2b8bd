//! Programs from a newer Debian than the machine's, unpacked below the build directory and not
//! installed, through a package list of our own: the system and its sources stay as they are.

use std::path::{Path, PathBuf};

use xtask_host::error::{Error, Result};
use xtask_host::process::Run;
use xtask_host::progress::Progress;
use xtask_host::workspace::Workspace;
use xtask_host::write;

use super::{on_path, os_is};

/// The release that has what Debian 12 lacks.
pub(super) const SUITE: &str = "trixie";
/// The keys that sign it.
pub(super) const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
/// Where a system that is not Debian finds it.
const ARCHIVE: &str = "http://deb.debian.org/debian";

/// A program of one package, which is its own name.
struct Program {
    name: &'static str,
    why: &'static str,
}

const PROGRAMS: [Program; 3] = [
    Program {
        name: "oras",
        why: "finds what is attached to an image by the fallback tag",
    },
    Program {
        name: "gh",
        why: "a client of GitHub's that is not ours makes and reads releases",
    },
    Program {
        name: "cosign",
        why: "signs images, and verifies signatures, as publishers and users do",
    },
];

/// What is left out where these programs are not installed.
pub(super) fn missing() -> impl Iterator<Item = String> {
    let missing = PROGRAMS.iter().filter(|program| !on_path(program.name));
    missing.map(|program| format!("{}: {}", program.name, program.why))
}

/// Unpacks the programs, whatever other version the system has: tests read what they print.
/// Returns their directories.
pub(super) fn provide(workspace: &Workspace, progress: Progress) -> Result<Vec<PathBuf>> {
    let dirs = PROGRAMS.iter().map(|Program { name, why }| {
        let purpose = format!("unpacking {SUITE}'s {name} below target/: {why}");
        let unpacked = unpack(workspace, name, &purpose, progress)?;
        Ok(unpacked.join("usr/bin"))
    });
    dirs.collect()
}

/// Unpacks `package` below the build directory, where that was not done before, and returns the
/// directory.
pub(super) fn unpack(
    workspace: &Workspace,
    package: &str,
    purpose: &str,
    progress: Progress,
) -> Result<PathBuf> {
    unpack_together(
        workspace,
        package,
        &[package],
        purpose,
        progress,
        |_| Ok(()),
    )
}

/// Unpacks `packages` into one directory called `name`, where that was not done before, has it
/// adapted to its place, and returns it.
pub(super) fn unpack_together(
    workspace: &Workspace,
    name: &str,
    packages: &[&str],
    purpose: &str,
    progress: Progress,
    adapt: impl FnOnce(&Path) -> Result<()>,
) -> Result<PathBuf> {
    let parts = workspace.target.join("parts");
    let unpacked = parts.join(name).join("unpacked");
    if !unpacked.exists() {
        progress.note(purpose);
        let files = packages.iter().map(|package| download(&parts, package));
        let files = files.collect::<Result<Vec<_>>>()?;
        write::directory(&unpacked, "usr", |new| {
            for file in &files {
                let extract = Run::new("dpkg-deb").arg("--extract").arg(file);
                extract.arg(new).output()?;
            }
            adapt(new)
        })?;
    }
    Ok(unpacked)
}

/// Downloads `package` with apt, which verifies it, and returns the file.
fn download(parts: &Path, package: &str) -> Result<PathBuf> {
    let dir = parts.join(package);
    std::fs::create_dir_all(&dir).map_err(|error| Error::io("create", &dir, &error))?;
    let options = sources(&parts.join("apt"))?;
    let apt = |words: &[&str]| {
        let options = options.iter().flat_map(|option| ["-o", option]);
        let apt = Run::new("apt-get").arg("-q").args(options);
        apt.args(words).cwd(&dir).output()
    };
    // The release is named, or apt would take the version that is installed for a better one.
    let wanted = format!("{package}/{SUITE}");
    // The list that an earlier download read may know the package already.
    if apt(&["download", &wanted]).is_err() {
        apt(&["update"])?;
        apt(&["download", &wanted])?;
    }
    let mut found = Vec::new();
    write::files_below(&dir, ".", &mut found)?;
    let start = format!("./{package}_");
    found
        .iter()
        .find(|path| path.starts_with(&start) && path.ends_with(".deb"))
        .map(|path| dir.join(path))
        .ok_or_else(|| {
            Error::machine(format!(
                "apt-get left no {package} package in `{}`",
                dir.display()
            ))
        })
}

/// The options that make apt read a list of our own, with Debian's newer release, and keep what
/// it learns below `dir`.
fn sources(dir: &Path) -> Result<Vec<String>> {
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
        // The host's preferences are about its own sources.
        "Dir::Etc::preferences=-".to_owned(),
        "Dir::Etc::preferencesparts=-".to_owned(),
        format!("Dir::State::Lists={}", dir.join("lists").display()),
        format!("Dir::Cache={}", dir.join("cache").display()),
        // Only the list of packages is needed.
        "Acquire::Languages=none".to_owned(),
        "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false".to_owned(),
        // Root's own directory, which apt's user may not enter.
        "APT::Sandbox::User=root".to_owned(),
    ])
}

/// The mirror that a Debian system's own sources name, elsewhere Debian's own archive.
fn mirror() -> Result<String> {
    if !os_is("debian") {
        return Ok(ARCHIVE.to_owned());
    }
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
