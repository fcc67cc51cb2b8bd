//! The guest's operating system and the real Docker, from Debian. Built once, because that takes a minute and a network.
//!
//! It is Debian 13 instead of Ubuntu 24.04, because a Debian machine has a Debian mirror. Its cloud-init is a similar version of the
//! same program, and the packages that the document names have the same names there.

use std::fs;
use std::path::{Path, PathBuf};

use crate::run::Run;
use crate::{Result, files};

/// The release. Its cloud-init 25.1 is Debian's first that refuses what Ubuntu's refuses.
const SUITE: &str = "trixie";

/// Packages that an Ubuntu cloud image has and a minimal Debian lacks.
const LIKE_UBUNTU: [&str; 28] = [
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
    "e2fsprogs",
    "fuse3",
    "gnupg",
    "lsb-release",
    "netcat-openbsd",
    "openssl",
    "rsync",
];

/// Debian's packages that are repackaged under the names of Docker CE.
const DOCKER: [&str; 6] = [
    "docker.io",
    "docker-cli",
    "containerd",
    "runc",
    "docker-compose",
    "tini",
];

/// Packages that make the root file system bootable: a kernel, without drivers for hardware that a cloud lacks.
const KERNEL: [&str; 2] = ["linux-image-cloud-amd64", "initramfs-tools"];

/// The emulator of the machine on which it boots. From the guest's own release, so that it is the same everywhere.
const EMULATOR: [&str; 1] = ["qemu-system-x86"];

/// A proxy that intercepts TLS.
const PROXY: [&str; 1] = ["squid-openssl"];

/// The result of [`prepare`]. All but the first are directories of packages that are not in the root file system.
#[derive(Debug)]
pub struct Base {
    /// The root file system as an archive.
    pub root: PathBuf,
    /// Debian's Docker packages.
    pub packages: PathBuf,
    /// The packages that the document installs.
    pub archive: PathBuf,
    /// A kernel and its dependencies.
    pub kernel: PathBuf,
    /// QEMU and its dependencies.
    pub emulator: PathBuf,
    /// A proxy and its dependencies.
    pub proxy: PathBuf,
    /// A key of all inputs.
    pub key: String,
}

/// Builds the root file system and fetches the packages that the document names, unless `dir` already has them.
///
/// # Errors
/// When the machine's configuration names no Debian mirror, or mmdebstrap fails.
pub fn prepare(dir: &Path, wanted: &[String]) -> Result<Base> {
    let wanted = wanted.join(" ");
    let key = files::digest(&[&wanted, include_str!("base.rs")]);
    let made = dir.join(format!("base-{key}"));
    let base = Base {
        root: made.join("root.tar"),
        packages: made.join("packages"),
        archive: made.join("archive"),
        kernel: made.join("kernel"),
        emulator: made.join("emulator"),
        proxy: made.join("proxy"),
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
    files::remove_others(dir, "base-", &made)?;
    Ok(base)
}

fn bootstrap(work: &Path, wanted: &str) -> Result<()> {
    const TOP: &str = "/var/tmp/proof";
    let apt = "apt-get -q -y -o APT::Sandbox::User=root --no-install-recommends";
    let mut downloads = format!(
        "cd {TOP}/packages && rmdir partial && {apt} download {}",
        DOCKER.join(" ")
    );
    for (dir, names) in [
        ("archive", wanted),
        ("kernel", &KERNEL.join(" ")),
        ("emulator", &EMULATOR.join(" ")),
        ("proxy", &PROXY.join(" ")),
    ] {
        downloads += &format!(
            " && {apt} -o Dir::Cache::archives={TOP}/{dir} --download-only install {names}"
        );
    }
    let dirs =
        ["packages", "archive", "kernel", "emulator", "proxy"].map(|dir| format!("{TOP}/{dir}"));
    // apt creates neither its cache nor the directories below it.
    let partial = dirs.iter().map(|dir| format!("\"$1{dir}/partial\""));
    let partial: Vec<String> = partial.collect();
    Run::new(&[
        "mmdebstrap",
        "--variant=minbase",
        &format!("--include={}", LIKE_UBUNTU.join(",")),
        &format!("--customize-hook=mkdir -p {}", partial.join(" ")),
        &format!("--customize-hook=chroot \"$1\" sh -c '{downloads}'"),
        &format!(
            "--customize-hook=copy-out {} {}",
            dirs.join(" "),
            work.display()
        ),
        &format!("--customize-hook=rm -rf \"$1{TOP}\""),
        SUITE,
        &work.join("root.tar").display().to_string(),
        &format!("deb {} {SUITE} main", mirror()?),
    ])
    .output()?;
    Ok(())
}

/// The Debian mirror of this machine, from its own package sources.
///
/// # Errors
/// When they name none.
pub fn mirror() -> Result<String> {
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
