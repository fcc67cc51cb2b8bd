//! The real parts that tests use: programs which judge our work from outside.
//!
//! A registry that we wrote proves little about one that Docker wrote. On Debian and Ubuntu
//! `cargo xtask ci` installs what is missing, and says which and why; elsewhere it says which
//! tests are left out.

mod cloud_init;
mod debian;
mod prism;
mod python;
mod targets;
mod wine;

use std::path::{Path, PathBuf};

use xtask_host::error::{Error, Result};
use xtask_host::process::Run;
use xtask_host::progress::Progress;
use xtask_host::workspace::Workspace;

/// The variable that turns a missing part from a skipped test into a failed one.
pub const REQUIRE: &str = "POLIS_REQUIRE_REAL_PARTS";

/// Something from a distribution's package.
#[derive(Debug, Clone, Copy)]
pub struct Part {
    /// A program on `PATH`, or the absolute path of another file.
    pub needs: &'static str,
    /// The package on Debian and Ubuntu.
    pub package: &'static str,
    /// What it proves.
    pub why: &'static str,
}

/// The parts, in the order in which they are reported.
pub const PARTS: &[Part] = &[
    Part {
        needs: "shellcheck",
        package: "shellcheck",
        why: "checks every script that a release ships",
    },
    Part {
        needs: "docker-registry",
        package: "docker-registry",
        why: "Docker's own registry: what we push and pin must hold there too",
    },
    Part {
        needs: "skopeo",
        package: "skopeo",
        why: "a registry client that is not ours reads what we push",
    },
    Part {
        needs: "zstd",
        package: "zstd",
        why: "packs layers of images that a decoder of ours unpacks",
    },
    Part {
        needs: "htpasswd",
        package: "apache2-utils",
        why: "passwords for a registry that asks for one",
    },
    Part {
        needs: "openssl",
        package: "openssl",
        why: "a certificate authority for a registry over TLS",
    },
    Part {
        needs: "minisign",
        package: "minisign",
        why: "verifies the signature as a user would",
    },
    Part {
        needs: "unzip",
        package: "unzip",
        why: "unpacks the archive for Windows as a user would",
    },
    Part {
        needs: "iptables-nft",
        package: "iptables",
        why: "reads the rule that polis-init writes",
    },
    Part {
        needs: "nft",
        package: "nftables",
        why: "makes the table of Docker's nftables backend",
    },
    Part {
        needs: "ip",
        package: "iproute2",
        why: "a network namespace for each test of that rule",
    },
    Part {
        needs: "setpriv",
        package: "util-linux",
        why: "takes capabilities away from polis-init",
    },
    Part {
        needs: "g++",
        package: "g++",
        why: "compiles a round trip through Multipass's YAML library",
    },
    Part {
        needs: "/usr/include/yaml-cpp/yaml.h",
        package: "libyaml-cpp-dev",
        why: "the library through which Multipass passes user-data on",
    },
    Part {
        needs: "/usr/lib/python3/dist-packages/configobj",
        package: "python3-configobj",
        why: "cloud-init's validator imports it",
    },
    Part {
        needs: "/usr/lib/python3/dist-packages/jinja2",
        package: "python3-jinja2",
        why: "cloud-init's validator imports it",
    },
    Part {
        needs: "/usr/lib/python3/dist-packages/jsonpatch.py",
        package: "python3-jsonpatch",
        why: "cloud-init's validator imports it",
    },
    Part {
        needs: "/usr/lib/python3/dist-packages/jsonschema",
        package: "python3-jsonschema",
        why: "cloud-init's validator imports it",
    },
    Part {
        needs: "/usr/lib/python3/dist-packages/requests",
        package: "python3-requests",
        why: "cloud-init's validator imports it",
    },
    Part {
        needs: "/usr/lib/python3/dist-packages/yaml",
        package: "python3-yaml",
        why: "cloud-init's validator imports it",
    },
    Part {
        needs: "update-ca-certificates",
        package: "ca-certificates",
        why: "trusts the workspace's CA, or does not",
    },
    Part {
        needs: "c-icap",
        package: "c-icap",
        why: "is what gate's health check looks into",
    },
    Part {
        needs: "redis-server",
        package: "redis-server",
        why: "answers what the stack's access rules allow, as Valkey does",
    },
    Part {
        needs: "/usr/sbin/sshd",
        package: "openssh-server",
        why: "lets OpenSSH's client into the workspace",
    },
    Part {
        needs: "ssh",
        package: "openssh-client",
        why: "logs in to the workspace as a user does",
    },
    Part {
        needs: "dockerd",
        package: "docker.io",
        why: "runs the machines on which cloud-init provisions",
    },
    Part {
        needs: "mmdebstrap",
        package: "mmdebstrap",
        why: "makes the root file system of those machines",
    },
    Part {
        needs: "gpg",
        package: "gnupg",
        why: "makes the keys of the package repository they use",
    },
    Part {
        needs: "dpkg-deb",
        package: "dpkg",
        why: "builds the packages in it",
    },
    Part {
        needs: debian::KEYRING,
        package: "debian-archive-keyring",
        why: "verifies the packages of a newer Debian that are unpacked for tests",
    },
    Part {
        needs: "node",
        package: "nodejs",
        why: "runs Prism, which holds us to GitHub's description of its API",
    },
    Part {
        needs: "npm",
        package: "npm",
        why: "installs Prism and GitHub's description",
    },
    Part {
        needs: "jq",
        package: "jq",
        why: "reads the reports of the provisioning script",
    },
    Part {
        needs: "qemu-aarch64-static",
        package: "qemu-user-static",
        why: "starts the CLI for arm64",
    },
    Part {
        needs: "x86_64-w64-mingw32-gcc",
        package: "gcc-mingw-w64-x86-64",
        why: "links polis.exe, which Wine runs",
    },
    Part {
        needs: "pgrep",
        package: "procps",
        why: "sees whether its downloads have ended with it",
    },
    Part {
        needs: "curl",
        package: "curl",
        why: "downloads a release for install.sh",
    },
    Part {
        needs: "wget",
        package: "wget",
        why: "downloads a release for install.sh where there is no curl",
    },
    Part {
        needs: "shasum",
        package: "perl",
        why: "hashes for install.sh where there is no sha256sum",
    },
    Part {
        needs: "busybox",
        package: "busybox-static",
        why: "runs install.sh as on Alpine",
    },
    Part {
        needs: "zsh",
        package: "zsh",
        why: "runs install.sh as some users do",
    },
    Part {
        needs: "ruby",
        package: "ruby",
        why: "evaluates the Homebrew formula",
    },
];

/// What became of the parts.
#[derive(Debug, Default)]
pub struct Parts {
    /// The programs that are missing, each with what it would have proven.
    pub left_out: Vec<String>,
    /// Directories to put before `PATH`.
    pub path: Vec<PathBuf>,
    /// cloud-init's package, unpacked.
    pub cloud_init: Option<PathBuf>,
}

impl Part {
    fn is_there(&self) -> bool {
        match self.needs.starts_with('/') {
            true => Path::new(self.needs).exists(),
            false => on_path(self.needs),
        }
    }
}

/// Makes the parts available: installs what is missing where `install` allows it and the system
/// is Debian or Ubuntu.
///
/// # Errors
/// When an installation fails.
pub fn provide(workspace: &Workspace, install: bool, progress: Progress) -> Result<Parts> {
    let missing: Vec<Part> = PARTS
        .iter()
        .copied()
        .filter(|part| !part.is_there())
        .collect();
    let mut parts = Parts::default();
    if install && is_debian_like() {
        apt_install(&missing, progress)?;
        targets::provide(workspace, progress)?;
        // npm takes half a minute, the others the other half.
        parts.path = std::thread::scope(|scope| {
            let prism = scope.spawn(|| prism::provide(workspace, progress));
            let mut path = debian::provide(workspace, progress)?;
            path.push(python::provide(workspace, progress)?);
            path.push(wine::provide(workspace, progress)?);
            parts.cloud_init = cloud_init::provide(workspace, progress)?;
            let prism = prism.join();
            path.push(prism.map_err(|_| Error::machine("a thread panicked"))??);
            Ok::<_, Error>(path)
        })?;
    } else {
        parts.left_out.extend(python::missing());
        parts.left_out.extend(cloud_init::missing());
        parts.left_out.extend(debian::missing());
        parts.left_out.extend(prism::missing());
        parts.left_out.extend(wine::missing());
        parts.left_out.extend(targets::missing(workspace)?);
    }
    if !is_root() {
        parts
            .left_out
            .push("root: file owners, network namespaces and machines of the tests".to_owned());
    }
    let still = PARTS.iter().filter(|part| !part.is_there());
    parts
        .left_out
        .extend(still.map(|part| format!("{}: {}", part.needs, part.why)));
    Ok(parts)
}

fn apt_install(missing: &[Part], progress: Progress) -> Result<()> {
    if missing.is_empty() {
        return Ok(());
    }
    for part in missing {
        progress.note(&format!(
            "installing {} for {}: {}",
            part.package, part.needs, part.why
        ));
    }
    let packages: Vec<&str> = missing.iter().map(|part| part.package).collect();
    as_root(&["apt-get", "update", "-q"]).output()?;
    as_root(&["apt-get", "install", "-q", "-y", "--no-install-recommends"])
        .args(&packages)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .output()?;
    // A package may start its service: the tests start their own, each on a port of its own.
    match missing.iter().find(|part| !part.is_there()) {
        None => Ok(()),
        Some(part) => Err(Error::machine(format!(
            "`{}` was installed and `{}` is not on PATH",
            part.package, part.needs
        ))
        .hint("is /usr/sbin on your PATH?")),
    }
}

/// The command as root: as it is where we are root already.
fn as_root(words: &[&str]) -> Run {
    let mut words = words.iter();
    if is_root() {
        Run::new(words.next().copied().unwrap_or_default()).args(words)
    } else {
        Run::new("sudo").arg("--non-interactive").args(words)
    }
}

fn is_root() -> bool {
    Run::new("id").arg("-u").output().is_ok_and(|id| id == "0")
}

/// Whether `provide` can install something here.
pub fn is_debian_like() -> bool {
    os_is("debian") || os_is("ubuntu")
}

/// Whether the system calls itself `id`, by `/etc/os-release`.
fn os_is(id: &str) -> bool {
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    release.lines().any(|line| {
        line.strip_prefix("ID=")
            .is_some_and(|found| found.trim_matches('"') == id)
    })
}

/// Whether `program` stands in a directory of `PATH`.
pub fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir: PathBuf| Path::is_file(&dir.join(program)))
}
