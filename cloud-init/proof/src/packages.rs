//! Builds packages under the names of Docker CE and Sysbox, and a repository that replaces Docker's own.
//!
//! The programs of Docker are Debian's, so a real engine runs in the guest. Sysbox needs a kernel that a container lacks, so a
//! stand-in around the real runc behaves like the package (see `stand-ins/sysbox`).

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use crate::Result;
use crate::files::{copy, executable, sha256_file, write};
use crate::run::Run;

/// The version under which Docker CE's packages appear.
pub const DOCKER_VERSION: &str = "5:99.0.0-1~proof";

/// The suite of the repository that replaces Docker's own.
pub const SUITE: &str = "trixie";

/// A package of the distribution that Docker's repository also offers, in a newer version.
pub const INTRUDER: (&str, &str) = ("base-files", "999");

/// A package to build: its name, version, dependencies, and the files from Debian's packages as (package, from, to).
struct Recipe {
    name: &'static str,
    depends: &'static str,
    files: &'static [(&'static str, &'static str, &'static str)],
}

const RECIPES: [Recipe; 4] = [
    Recipe {
        name: "docker-ce",
        depends: "docker-ce-cli, containerd.io, iptables",
        files: &[
            ("docker.io", "usr/sbin/dockerd", "usr/bin/dockerd"),
            ("docker.io", "usr/sbin/docker-proxy", "usr/bin/docker-proxy"),
            ("tini", "usr/bin/tini-static", "usr/bin/docker-init"),
            ("docker.io", "usr/lib/systemd/system/docker.service", UNIT),
            (
                "docker.io",
                "usr/lib/systemd/system/docker.socket",
                "usr/lib/systemd/system/docker.socket",
            ),
        ],
    },
    Recipe {
        name: "docker-ce-cli",
        depends: "",
        files: &[("docker-cli", "usr/bin/docker", "usr/bin/docker")],
    },
    Recipe {
        name: "containerd.io",
        depends: "libseccomp2",
        files: &[
            ("containerd", "usr/bin/containerd", "usr/bin/containerd"),
            (
                "containerd",
                "usr/bin/containerd-shim-runc-v2",
                "usr/bin/containerd-shim-runc-v2",
            ),
            (
                "containerd",
                "usr/lib/systemd/system/containerd.service",
                "usr/lib/systemd/system/containerd.service",
            ),
            ("runc", "usr/sbin/runc", "usr/bin/runc"),
        ],
    },
    Recipe {
        name: "docker-compose-plugin",
        depends: "",
        files: &[(
            "docker-compose",
            "usr/libexec/docker/cli-plugins/docker-compose",
            "usr/libexec/docker/cli-plugins/docker-compose",
        )],
    },
];

const UNIT: &str = "usr/lib/systemd/system/docker.service";

/// As in the real packages: first the group, then the socket that belongs to it, then the units, enabled and started.
const DOCKER_POSTINST: &str = "#!/bin/sh
set -e
getent group docker >/dev/null || groupadd --system docker
systemctl daemon-reload
systemctl enable docker.service docker.socket
systemctl start docker.socket docker.service || true
";
const CONTAINERD_POSTINST: &str = "#!/bin/sh
set -e
systemctl daemon-reload
systemctl enable containerd.service
systemctl start containerd.service || true
";

/// Builds Docker CE's packages from Debian's in `debian` and creates the repository below `top`, signed by the key
/// with `fingerprint` in the key ring `gnupg`.
///
/// # Errors
/// When a package cannot be unpacked or built.
pub fn docker_repository(
    debian: &Path,
    work: &Path,
    top: &Path,
    gnupg: &Path,
    fingerprint: &str,
) -> Result<()> {
    let unpacked = unpack(debian, work)?;
    let pool = top.join("dists/trixie/pool/stable/amd64");
    let mut index = String::new();
    for recipe in &RECIPES {
        let root = work.join(recipe.name);
        for (package, from, to) in recipe.files {
            copy(&unpacked.join(package).join(from), &root.join(to))?;
        }
        if recipe.name == "docker-ce" {
            let unit = fs::read_to_string(root.join(UNIT)).map_err(|error| error.to_string())?;
            write(
                &root.join(UNIT),
                &unit.replace("/usr/sbin/dockerd", "/usr/bin/dockerd"),
            )?;
            script(&root, "postinst", DOCKER_POSTINST)?;
        } else if recipe.name == "containerd.io" {
            script(&root, "postinst", CONTAINERD_POSTINST)?;
        }
        let control = control(recipe.name, DOCKER_VERSION, recipe.depends);
        let file = pool.join(format!("{}_amd64.deb", recipe.name));
        build(&root, &control, &file)?;
        let size = fs::metadata(&file)
            .map_err(|error| error.to_string())?
            .len();
        let name = file.strip_prefix(top).map_err(|error| error.to_string())?;
        index.push_str(&format!(
            "{control}Filename: {}\nSize: {size}\nSHA256: {}\n\n",
            name.display(),
            sha256_file(&file)?
        ));
    }
    index.push_str(&control(INTRUDER.0, INTRUDER.1, ""));
    index.push_str(&format!(
        "Filename: none.deb\nSize: 1\nSHA256: {}\n\n",
        "0".repeat(64)
    ));
    sign(top, &index, gnupg, fingerprint)
}

fn sign(top: &Path, index: &str, gnupg: &Path, fingerprint: &str) -> Result<()> {
    let dist = top.join("dists/trixie");
    let packages = dist.join("stable/binary-amd64/Packages");
    write(&packages, index)?;
    let release = format!(
        "Origin: Docker\nLabel: Docker CE\nSuite: trixie\nCodename: trixie\nArchitectures: amd64\n\
         Components: stable\nDate: {}\nSHA256:\n {} {} stable/binary-amd64/Packages\n",
        Run::new(&["date", "--utc", "-R"]).output()?,
        sha256_file(&packages)?,
        index.len()
    );
    let signed = Run::new(&[
        "gpg",
        "--homedir",
        &gnupg.display().to_string(),
        "--batch",
        "--local-user",
        fingerprint,
        "--clearsign",
    ])
    .input(release.as_bytes())
    .output()?;
    write(&dist.join("InRelease"), &format!("{signed}\n"))
}

/// Creates a repository without a signature below `top` from the packages in `from`, like the distribution's own archive.
///
/// # Errors
/// When a package cannot be read.
pub fn archive(from: &Path, top: &Path) -> Result<()> {
    let mut index = String::new();
    let entries = fs::read_dir(from).map_err(|error| format!("{}: {error}", from.display()))?;
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.extension().is_none_or(|extension| extension != "deb") {
            continue;
        }
        // Use names as in an archive: the server would decode an epoch's `%3a` to a colon.
        let control = Run::new(&["dpkg-deb", "-f", &path.display().to_string()]).output()?;
        let name = control
            .lines()
            .find_map(|line| line.strip_prefix("Package: "));
        let file = format!("{}.deb", name.unwrap_or_default());
        copy(&path, &top.join(&file))?;
        let size = fs::metadata(&path)
            .map_err(|error| error.to_string())?
            .len();
        let sum = sha256_file(&path)?;
        index.push_str(&format!(
            "{control}\nFilename: ./{file}\nSize: {size}\nSHA256: {sum}\n\n"
        ));
    }
    write(&top.join("Packages"), &index)
}

/// Builds the stand-in for Sysbox as `file`, from the files in `parts`.
///
/// # Errors
/// When it cannot be built.
pub fn sysbox(parts: &Path, work: &Path, version: &str, file: &Path) -> Result<()> {
    let root = work.join("sysbox-ce");
    for unit in ["sysbox.service", "sysbox-mgr.service", "sysbox-fs.service"] {
        copy(
            &parts.join(unit),
            &root.join("usr/lib/systemd/system").join(unit),
        )?;
    }
    for (from, to) in [
        ("daemon", "sysbox-mgr"),
        ("daemon", "sysbox-fs"),
        ("sysbox-runc", "sysbox-runc"),
    ] {
        let program = root.join("usr/bin").join(to);
        copy(&parts.join(from), &program)?;
        executable(&program)?;
    }
    for name in ["preinst", "postinst"] {
        let text = fs::read_to_string(parts.join(name)).map_err(|error| error.to_string())?;
        script(&root, name, &text)?;
    }
    let control = control(
        "sysbox-ce",
        &format!("{version}.linux"),
        "jq, fuse3 | fuse, lsb-release, rsync, iptables",
    );
    build(&root, &control, file)
}

fn control(name: &str, version: &str, depends: &str) -> String {
    let depends = if depends.is_empty() {
        String::new()
    } else {
        format!("Depends: {depends}\n")
    };
    format!(
        "Package: {name}\nVersion: {version}\nArchitecture: amd64\nMaintainer: Proof <proof@localhost>\n{depends}\
         Description: stand-in for {name}\n"
    )
}

fn script(root: &Path, name: &str, text: &str) -> Result<()> {
    let path = root.join("DEBIAN").join(name);
    write(&path, text)?;
    executable(&path)
}

/// Incompressible bytes that give packages a realistic size: `POLIS_PROOF_PADDING=200,70` makes Docker's packages 200 MB larger in
/// total, and Sysbox 70 MB. For measurements; part of the image's key.
pub(crate) fn padding() -> String {
    std::env::var("POLIS_PROOF_PADDING").unwrap_or_default()
}

fn pad(root: &Path, control: &str) -> Result<()> {
    let padding = padding();
    let Some((docker, sysbox)) = padding.split_once(',') else {
        return Ok(());
    };
    let (size, of) = match control.contains("Package: sysbox-ce\n") {
        true => (sysbox, 1),
        false => (docker, RECIPES.len() as u64),
    };
    let size: u64 = size
        .parse()
        .map_err(|_| format!("POLIS_PROOF_PADDING={padding}: expected two numbers"))?;
    let name = control.lines().next().unwrap_or_default();
    let file = root
        .join("usr/share")
        .join(name.replace("Package: ", "padding-"));
    write(&file, "")?;
    let noise = fs::File::open("/dev/urandom").map_err(|error| error.to_string())?;
    fs::File::create(&file)
        .and_then(|mut file| io::copy(&mut noise.take(size * 1_000_000 / of), &mut file))
        .map(drop)
        .map_err(|error| format!("{}: {error}", file.display()))
}

fn build(root: &Path, control: &str, file: &Path) -> Result<()> {
    pad(root, control)?;
    write(&root.join("DEBIAN/control"), control)?;
    let parent = file.parent().unwrap_or(file);
    fs::create_dir_all(parent).map_err(|error| format!("{}: {error}", parent.display()))?;
    // Small, because it is transferred many times, and cheap to unpack.
    let (root, file) = (root.display().to_string(), file.display().to_string());
    Run::new(&[
        "dpkg-deb",
        "--root-owner-group",
        "-Zzstd",
        "-z3",
        "--build",
        &root,
        &file,
    ])
    .output()?;
    Ok(())
}

/// Unpacks each of Debian's packages into a directory of its name; returns the parent directory.
fn unpack(debian: &Path, work: &Path) -> Result<PathBuf> {
    let unpacked = work.join("debian");
    fs::create_dir_all(&unpacked).map_err(|error| format!("{}: {error}", unpacked.display()))?;
    let entries = fs::read_dir(debian).map_err(|error| format!("{}: {error}", debian.display()))?;
    for entry in entries.flatten() {
        let file = entry.file_name().to_string_lossy().into_owned();
        let name = file.split('_').next().unwrap_or_default();
        let to = unpacked.join(name).display().to_string();
        Run::new(&["dpkg-deb", "-x", &entry.path().display().to_string(), &to]).output()?;
    }
    Ok(unpacked)
}
