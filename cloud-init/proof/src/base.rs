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

/// The keys of its packages, on this machine and in the guest.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

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
/// When apt or mmdebstrap fails.
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
        &source(SUITE)?,
    ])
    .output()?;
    Ok(())
}

/// The source of the packages of `suite`, for apt: the mirror that this machine uses if it is Debian, or else Debian's own archive.
/// Named with its key, because other systems do not trust it by default.
///
/// # Errors
/// When apt fails.
pub fn source(suite: &str) -> Result<String> {
    let targets = ["Created-By: Packages", "Origin: Debian"];
    let list = ["apt-get", "indextargets", "--format", "$(REPO_URI)"];
    let uris = Run::new(&[&list[..], &targets].concat()).output()?;
    let mirror = uris.lines().find(|uri| !uri.contains("security"));
    let mirror = mirror.unwrap_or("http://deb.debian.org/debian");
    Ok(format!("deb [signed-by={KEYRING}] {mirror} {suite} main"))
}
