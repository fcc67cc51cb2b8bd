//! The tools that tests use: external programs that verify our work.
//!
//! A registry that we wrote proves little about Docker's own. On Debian and Ubuntu `cargo xtask ci` installs the
//! missing tools and says why; elsewhere it lists the tests that are skipped.

mod cloud_init;
mod debian;
mod os;
mod prism;
mod python;
mod targets;
mod wine;

use std::path::{Path, PathBuf};

use xtask_host::error::{Error, Result};
use xtask_host::process::Run;
use xtask_host::progress::Progress;
use xtask_host::tools::installed;
use xtask_host::workspace::Workspace;

/// A tool from a package of the distribution.
#[derive(Debug, Clone, Copy)]
pub struct Tool {
    /// A program on `PATH`, or the absolute path of another file.
    pub needs: &'static str,
    /// The package name on Debian and Ubuntu.
    pub package: &'static str,
    /// What tests use it for.
    pub why: &'static str,
}

/// The tools, in the order of reports.
pub const TOOLS: &[Tool] = &[
    Tool {
        needs: "shellcheck",
        package: "shellcheck",
        why: "checks every script that a release ships",
    },
    Tool {
        needs: "docker-registry",
        package: "docker-registry",
        why: "Docker's own registry, for pushing and pinning",
    },
    Tool {
        needs: "skopeo",
        package: "skopeo",
        why: "an external registry client, which reads what we push",
    },
    Tool {
        needs: "zstd",
        package: "zstd",
        why: "compresses image layers, which our decoder unpacks",
    },
    Tool {
        needs: "htpasswd",
        package: "apache2-utils",
        why: "creates passwords for a registry",
    },
    Tool {
        needs: "openssl",
        package: "openssl",
        why: "creates certificates for a registry over TLS",
    },
    Tool {
        needs: "minisign",
        package: "minisign",
        why: "verifies the signature as a user would",
    },
    Tool {
        needs: "unzip",
        package: "unzip",
        why: "unpacks the archive for Windows as a user would",
    },
    Tool {
        needs: "iptables-nft",
        package: "iptables",
        why: "reads the rule that polis-init writes",
    },
    Tool {
        needs: "nft",
        package: "nftables",
        why: "creates the table of Docker's nftables backend",
    },
    Tool {
        needs: "ip",
        package: "iproute2",
        why: "creates a network namespace for each test of that rule",
    },
    Tool {
        needs: "setpriv",
        package: "util-linux",
        why: "drops capabilities of polis-init",
    },
    Tool {
        needs: "g++",
        package: "g++",
        why: "compiles a round trip through Multipass's YAML library",
    },
    Tool {
        needs: "/usr/include/yaml-cpp/yaml.h",
        package: "libyaml-cpp-dev",
        why: "Multipass's YAML library, for that round trip",
    },
    Tool {
        needs: "/usr/lib/python3/dist-packages/configobj",
        package: "python3-configobj",
        why: "cloud-init's validator imports it",
    },
    Tool {
        needs: "/usr/lib/python3/dist-packages/jinja2",
        package: "python3-jinja2",
        why: "cloud-init's validator imports it",
    },
    Tool {
        needs: "/usr/lib/python3/dist-packages/jsonpatch.py",
        package: "python3-jsonpatch",
        why: "cloud-init's validator imports it",
    },
    Tool {
        needs: "/usr/lib/python3/dist-packages/jsonschema",
        package: "python3-jsonschema",
        why: "cloud-init's validator imports it",
    },
    Tool {
        needs: "/usr/lib/python3/dist-packages/requests",
        package: "python3-requests",
        why: "cloud-init's validator imports it",
    },
    Tool {
        needs: "/usr/lib/python3/dist-packages/yaml",
        package: "python3-yaml",
        why: "cloud-init's validator imports it",
    },
    Tool {
        needs: "update-ca-certificates",
        package: "ca-certificates",
        why: "adds the workspace's CA to the trusted ones",
    },
    Tool {
        needs: "c-icap",
        package: "c-icap",
        why: "is queried by gate's health check",
    },
    Tool {
        needs: "redis-server",
        package: "redis-server",
        why: "applies the stack's access rules as Valkey does",
    },
    Tool {
        needs: "/usr/sbin/sshd",
        package: "openssh-server",
        why: "accepts connections of OpenSSH's client in the workspace",
    },
    Tool {
        needs: "ssh",
        package: "openssh-client",
        why: "logs in to the workspace as a user does",
    },
    Tool {
        needs: "dockerd",
        package: "docker.io",
        why: "runs the machines on which cloud-init provisions",
    },
    Tool {
        needs: "mmdebstrap",
        package: "mmdebstrap",
        why: "creates the root file system of those machines",
    },
    Tool {
        needs: "gpg",
        package: "gnupg",
        why: "creates the keys of the package repository that they use",
    },
    Tool {
        needs: "dpkg-deb",
        package: "dpkg",
        why: "builds the packages in it",
    },
    Tool {
        needs: debian::KEYRING,
        package: "debian-archive-keyring",
        why: "verifies the packages of a newer Debian that are unpacked for tests",
    },
    Tool {
        needs: "node",
        package: "nodejs",
        why: "runs Prism, which validates our requests by GitHub's API description",
    },
    Tool {
        needs: "npm",
        package: "npm",
        why: "installs Prism and GitHub's API description",
    },
    Tool {
        needs: "jq",
        package: "jq",
        why: "reads the reports of the provisioning script",
    },
    Tool {
        needs: "qemu-aarch64-static",
        package: "qemu-user-static",
        why: "starts the CLI for arm64",
    },
    Tool {
        needs: "x86_64-w64-mingw32-gcc",
        package: "gcc-mingw-w64-x86-64",
        why: "links polis.exe, which Wine runs",
    },
    Tool {
        needs: "pgrep",
        package: "procps",
        why: "checks that no download outlives that script",
    },
    Tool {
        needs: "curl",
        package: "curl",
        why: "downloads a release for install.sh",
    },
    Tool {
        needs: "wget",
        package: "wget",
        why: "downloads a release for install.sh without curl",
    },
    Tool {
        needs: "shasum",
        package: "perl",
        why: "computes checksums for install.sh without sha256sum",
    },
    Tool {
        needs: "busybox",
        package: "busybox-static",
        why: "runs install.sh as on Alpine",
    },
    Tool {
        needs: "zsh",
        package: "zsh",
        why: "runs install.sh as users of zsh do",
    },
    Tool {
        needs: "ruby",
        package: "ruby",
        why: "evaluates the Homebrew formula",
    },
];

/// The result of [`provide`].
#[derive(Debug, Default)]
pub struct Provided {
    /// The tools that are missing, each with what is skipped without it.
    pub left_out: Vec<String>,
    /// Directories to prepend to `PATH`.
    pub path: Vec<PathBuf>,
    /// The unpacked cloud-init package.
    pub cloud_init: Option<PathBuf>,
}

impl Tool {
    fn exists(&self) -> bool {
        match self.needs.starts_with('/') {
            true => Path::new(self.needs).exists(),
            false => installed(self.needs),
        }
    }
}

/// Installs the missing tools if `install` is set and the system is Debian or Ubuntu; otherwise lists them.
///
/// # Errors
/// If an installation fails.
pub fn provide(workspace: &Workspace, install: bool, progress: Progress) -> Result<Provided> {
    let mut provided = Provided::default();
    let missing: Vec<&Tool> = TOOLS.iter().filter(|tool| !tool.exists()).collect();
    if install && is_debian_like() && (missing.is_empty() || may_install()) {
        apt_install(&missing, progress)?;
        targets::provide(workspace, progress)?;
        // npm takes as long as all the others together.
        provided.path = std::thread::scope(|scope| {
            let prism = scope.spawn(|| prism::provide(workspace, progress));
            let mut path = debian::provide(workspace, progress)?;
            path.push(python::provide(workspace, progress)?);
            path.push(wine::provide(workspace, progress)?);
            provided.cloud_init = cloud_init::provide(workspace, progress)?;
            let prism = prism.join();
            path.push(prism.map_err(|_| Error::machine("a thread panicked"))??);
            Ok::<_, Error>(path)
        })?;
    } else {
        provided.left_out.extend(python::missing());
        provided.left_out.extend(cloud_init::missing());
        provided.left_out.extend(debian::missing());
        provided.left_out.extend(prism::missing());
        provided.left_out.extend(wine::missing());
        provided.left_out.extend(targets::missing(workspace)?);
    }
    if !is_root() {
        let root = "root: needed for file owners and network namespaces of tests, and for the steps provision, first and stack";
        provided.left_out.push(root.to_owned());
    }
    let missing = TOOLS.iter().filter(|tool| !tool.exists());
    let missing = missing.map(|tool| format!("{}: {}", tool.needs, tool.why));
    provided.left_out.extend(missing);
    Ok(provided)
}

fn apt_install(missing: &[&Tool], progress: Progress) -> Result<()> {
    if missing.is_empty() {
        return Ok(());
    }
    for tool in missing {
        progress.note(&format!(
            "installing {} for {}: {}",
            tool.package, tool.needs, tool.why
        ));
    }
    let packages: Vec<&str> = missing.iter().map(|tool| tool.package).collect();
    as_root(&["apt-get", "update", "-q"]).output()?;
    as_root(&["apt-get", "install", "-q", "-y", "--no-install-recommends"])
        .args(&packages)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .output()?;
    // Packages may start services. The tests start their own servers, each on its own port.
    match missing.iter().find(|tool| !tool.exists()) {
        None => Ok(()),
        Some(tool) => Err(Error::machine(format!(
            "`{}` was installed, but `{}` is not on PATH",
            tool.package, tool.needs
        ))
        .hint("check that /usr/sbin is on your PATH")),
    }
}

/// The command, through sudo unless we are root.
fn as_root(words: &[&str]) -> Run {
    let mut words = words.iter();
    if is_root() {
        Run::new(words.next().copied().unwrap_or_default()).args(words)
    } else {
        Run::new("sudo").arg("--non-interactive").args(words)
    }
}

/// Whether we are root, or can become root by sudo without a password.
fn may_install() -> bool {
    is_root() || as_root(&["true"]).output().is_ok()
}

pub(crate) fn is_root() -> bool {
    Run::new("id").arg("-u").output().is_ok_and(|id| id == "0")
}

/// Whether `provide` can install packages here.
pub fn is_debian_like() -> bool {
    os::is("debian") || os::is("ubuntu")
}
