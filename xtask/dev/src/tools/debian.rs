//! Programs from a newer Debian than the machine's. Unpacked below the build directory instead of installed, using our
//! own package list. The system and its package sources are not changed.

use std::path::{Path, PathBuf};

use xtask_host::error::{Error, Result};
use xtask_host::process::Run;
use xtask_host::progress::Progress;
use xtask_host::tools::installed;
use xtask_host::workspace::Workspace;
use xtask_host::write;

use super::os;

/// The Debian release that has what Debian 12 lacks.
pub(super) const SUITE: &str = "trixie";
/// The keyring that verifies it.
pub(super) const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
/// The archive to use on systems other than Debian.
const ARCHIVE: &str = "http://deb.debian.org/debian";

/// A program from the package of the same name.
struct Program {
    name: &'static str,
    why: &'static str,
}

const PROGRAMS: [Program; 3] = [
    Program {
        name: "oras",
        why: "finds the attachments of an image by the fallback tag",
    },
    Program {
        name: "gh",
        why: "creates and reads releases as GitHub's own client",
    },
    Program {
        name: "cosign",
        why: "signs images, and verifies signatures, as publishers and users do",
    },
];

/// The programs that are not on `PATH`, each with what is skipped without it.
pub(super) fn missing() -> impl Iterator<Item = String> {
    let missing = PROGRAMS.iter().filter(|program| !installed(program.name));
    missing.map(|program| format!("{}: {}", program.name, program.why))
}

/// Unpacks the programs, even if the system has another version, because tests compare their output. Returns their
/// directories.
pub(super) fn provide(workspace: &Workspace, progress: Progress) -> Result<Vec<PathBuf>> {
    let dirs = PROGRAMS.iter().map(|Program { name, why }| {
        let purpose = format!("unpacking {SUITE}'s {name} below target/: {why}");
        let unpacked = unpack(workspace, name, &purpose, progress)?;
        Ok(unpacked.join("usr/bin"))
    });
    dirs.collect()
}

/// Unpacks `package` below the build directory, unless that was done before, and returns its directory.
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

/// Unpacks `packages` into one directory called `name`, applies `adapt` to it, and returns it. Does nothing if that was
/// done before.
pub(super) fn unpack_together(
    workspace: &Workspace,
    name: &str,
    packages: &[&str],
    purpose: &str,
    progress: Progress,
    adapt: impl FnOnce(&Path) -> Result<()>,
) -> Result<PathBuf> {
    let tools = workspace.target.join("parts");
    let unpacked = tools.join(name).join("unpacked");
    if !unpacked.exists() {
        progress.note(purpose);
        let files = packages.iter().map(|package| download(&tools, package));
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

/// Downloads `package` with apt, which verifies it, and returns the path of the file.
fn download(tools: &Path, package: &str) -> Result<PathBuf> {
    let dir = tools.join(package);
    std::fs::create_dir_all(&dir).map_err(|error| Error::io("create", &dir, &error))?;
    let source = format!("deb [signed-by={KEYRING}] {} {SUITE} main\n", mirror()?);
    let options = options(&tools.join("apt"), &source)?;
    let apt = |words: &[&str]| apt_get(&options, words, &dir).output();
    let named = format!("{package}/{SUITE}");
    // An earlier package list may suffice.
    if apt(&["download", &named]).is_err() {
        apt(&["update"])?;
        apt(&["download", &named])?;
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

/// Options that make apt read only `source`, and keep its state below `dir`.
///
/// The host's preferences, default release and installed packages have no effect.
fn options(dir: &Path, source: &str) -> Result<Vec<String>> {
    for needed in ["lists/partial", "cache/archives/partial"] {
        let needed = dir.join(needed);
        std::fs::create_dir_all(&needed).map_err(|error| Error::io("create", &needed, &error))?;
    }
    let list = dir.join("sources.list");
    write::atomically(&list, source.as_bytes())?;
    Ok(vec![
        format!("Dir::Etc::sourcelist={}", list.display()),
        "Dir::Etc::sourceparts=/dev/null".to_owned(),
        "Dir::Etc::preferences=/dev/null".to_owned(),
        "Dir::Etc::preferencesparts=/dev/null".to_owned(),
        "Dir::State::status=/dev/null".to_owned(),
        format!("Dir::State::Lists={}", dir.join("lists").display()),
        format!("Dir::Cache={}", dir.join("cache").display()),
        format!("APT::Default-Release={SUITE}"),
        // Only the package list is needed.
        "Acquire::Languages=none".to_owned(),
        "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false".to_owned(),
        // apt's own user may not be able to enter root's directory.
        "APT::Sandbox::User=root".to_owned(),
    ])
}

/// An apt-get command with `options`, run in `dir`.
fn apt_get(options: &[String], words: &[&str], dir: &Path) -> Run {
    let options = options.iter().flat_map(|option| ["-o", option]);
    let apt = Run::new("apt-get").arg("-q").args(options);
    apt.args(words).cwd(dir)
}

/// The mirror in the package sources of a Debian system, or else Debian's own archive.
fn mirror() -> Result<String> {
    if !os::is("debian") {
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

#[cfg(test)]
mod tests {
    use std::fs;

    use polis_base::Digest;

    use super::*;

    /// A repository with one package, `name`, in our release.
    fn repository(dir: &Path, name: &str) {
        let packages = dir.join(format!("dists/{SUITE}/main/binary-all"));
        fs::create_dir_all(&packages).unwrap();
        let release =
            format!("Suite: {SUITE}\nCodename: {SUITE}\nComponents: main\nArchitectures: all\n");
        let sha256 = Digest::of(b"").hex();
        let entry = format!(
            "Package: {name}\nVersion: 2\nArchitecture: all\nFilename: pool/{name}.deb\nSize: 1\nSHA256: {sha256}\n"
        );
        let index = packages.join("Packages");
        fs::write(&index, &entry).unwrap();
        let listed = format!(
            "SHA256:\n {} {} main/binary-all/Packages\n",
            Digest::of(entry.as_bytes()).hex(),
            entry.len()
        );
        fs::write(
            dir.join(format!("dists/{SUITE}/Release")),
            release + &listed,
        )
        .unwrap();
    }

    #[test]
    fn settings_of_the_host_have_no_effect() {
        if !installed("apt-get") {
            return;
        }
        let (dir, name) = (tempfile::tempdir().unwrap(), "polis-probe");
        let at = |path: &str| dir.path().join(path);
        repository(&at("mirror"), name);
        // A host that gives our release a low priority, defaults to another one, and has another version installed.
        fs::write(
            at("pin"),
            format!("Package: *\nPin: release n={SUITE}\nPin-Priority: -1\n"),
        )
        .unwrap();
        fs::write(at("status"), format!("Package: {name}\nStatus: install ok installed\nVersion: 9\nArchitecture: all\nMaintainer: x\nDescription: x\n")).unwrap();
        let show = |path: &str| at(path).display().to_string();
        let (pin, status) = (show("pin"), show("status"));
        let config = format!(
            "Dir::Etc::preferences \"{pin}\";\nDir::State::status \"{status}\";\nAPT::Default-Release \"bookworm\";\n"
        );
        fs::write(at("apt.conf"), config).unwrap();
        let source = format!("deb [trusted=yes] file:{} {SUITE} main\n", show("mirror"));
        let options = options(&at("state"), &source).unwrap();
        let apt = |words: &[&str]| {
            apt_get(&options, words, dir.path())
                .env("APT_CONFIG", at("apt.conf"))
                .output()
                .unwrap()
        };
        apt(&["update"]);
        let uris = apt(&["download", "--print-uris", &format!("{name}/{SUITE}")]);
        assert!(uris.contains("pool/polis-probe.deb"), "{uris}");
    }
}
