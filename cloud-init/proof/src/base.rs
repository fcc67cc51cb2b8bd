//! The guest's operating system and the real Docker, from Debian: made once, because it takes a minute and a network.
//!
//! Debian 13 instead of Ubuntu 24.04, since a Debian mirror is what a Debian machine has: its cloud-init is the same
//! program in a near version, and the packages of the document have the same names.

use std::fs;
use std::path::{Path, PathBuf};

use crate::Result;
use crate::run::Run;

/// The release. cloud-init 25.1 is the first of Debian's that refuses what Ubuntu's refuses.
const SUITE: &str = "trixie";

/// What an Ubuntu cloud image has and a minimal Debian has not.
const LIKE_UBUNTU: [&str; 27] = [
    "systemd-sysv",
    "dbus",
    "udev",
    "cloud-init",
    "netplan.io",
    "iproute2",
    "iptables",
    "ca-certificates",
    "sudo",
    "procps",
    "kmod",
    "apparmor",
    "adduser",
    "fdisk",
    "login",
    "passwd",
    "libseccomp2",
    "libsystemd0",
    "xz-utils",
    "openssh-server",
    "curl",
    "fuse3",
    "gnupg",
    "lsb-release",
    "netcat-openbsd",
    "openssl",
    "rsync",
];

/// Debian's packages of the programs that are repacked under the names of Docker CE.
const DOCKER: [&str; 7] = [
    "docker.io",
    "docker-cli",
    "containerd",
    "runc",
    "docker-buildx",
    "docker-compose",
    "tini",
];

/// What [`prepare`] made.
#[derive(Debug)]
pub struct Base {
    /// The root file system as an archive.
    pub root: PathBuf,
    /// The directory of Debian's Docker packages.
    pub packages: PathBuf,
    /// The directory of the packages which the document asks for and the root file system does not have.
    pub archive: PathBuf,
    /// Stands for everything that both were made from.
    pub key: String,
}

/// Makes the root file system and fetches the packages named by the document, unless `dir` has them already.
///
/// # Errors
/// When the machine names no Debian mirror, or mmdebstrap fails.
pub fn prepare(dir: &Path, wanted: &[String]) -> Result<Base> {
    let wanted = wanted.join(" ");
    let key = crate::image::digest(&[&wanted, include_str!("base.rs")]);
    let made = dir.join(format!("base-{key}"));
    let base = Base {
        root: made.join("root.tar"),
        packages: made.join("packages"),
        archive: made.join("archive"),
        key,
    };
    if base.root.is_file() {
        return Ok(base);
    }
    let work = dir.join("base.new");
    let _ = fs::remove_dir_all(&work);
    fs::create_dir_all(&work).map_err(|error| format!("{}: {error}", work.display()))?;
    bootstrap(&work, &wanted)?;
    fs::rename(&work, &made).map_err(|error| format!("{}: {error}", made.display()))?;
    Ok(base)
}

fn bootstrap(work: &Path, wanted: &str) -> Result<()> {
    let (docker, archive) = ("/var/tmp/packages", "/var/tmp/archive");
    let download = format!(
        "mkdir -p \"$1{docker}\" \"$1{archive}/partial\" && chroot \"$1\" sh -c 'cd {docker} && \
         apt-get -q -o APT::Sandbox::User=root download {} && \
         apt-get -q -y -o APT::Sandbox::User=root -o Dir::Cache::archives={archive} \
           --no-install-recommends --download-only install {wanted}'",
        DOCKER.join(" ")
    );
    let source = format!("deb {} {SUITE} main", mirror()?);
    let to = work.display();
    Run::new(&[
        "mmdebstrap",
        "--variant=minbase",
        &format!("--include={}", LIKE_UBUNTU.join(",")),
        &format!("--customize-hook={download}"),
        &format!("--customize-hook=copy-out {docker} {archive} {to}"),
        &format!("--customize-hook=rm -rf \"$1{docker}\" \"$1{archive}\""),
        SUITE,
        &work.join("root.tar").display().to_string(),
        &source,
    ])
    .output()?;
    Ok(())
}

/// The Debian mirror of this machine, from its own package sources.
fn mirror() -> Result<String> {
    let dir = Path::new("/etc/apt/sources.list.d");
    let mut files = vec![PathBuf::from("/etc/apt/sources.list")];
    let entries = fs::read_dir(dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    files.extend(entries.flatten().map(|entry| entry.path()));
    files.sort();
    let words: Vec<String> = files
        .iter()
        .filter_map(|file| fs::read_to_string(file).ok())
        .flat_map(|text| {
            text.split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
        .collect();
    let is_debian = |word: &&String| {
        word.starts_with("http") && word.trim_end_matches('/').ends_with("/debian")
    };
    words
        .iter()
        .find(is_debian)
        .cloned()
        .ok_or_else(|| "no Debian mirror in the apt sources of this machine".to_owned())
}
