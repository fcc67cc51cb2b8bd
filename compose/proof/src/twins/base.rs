//! Debian, the source of every twin's programs. Built once, because that takes most of a minute and a network.

use std::fs;
use std::path::{Path, PathBuf};

use cloud_init_proof::base::source;
use cloud_init_proof::run::Run;

use super::files::{digest, entries};
use crate::Result;

/// The release on which the published images are based.
const SUITE: &str = "trixie";

/// The packages of the programs that the contracts name, and those needed to compile their modules.
const PACKAGES: [&str; 26] = [
    "c-icap",
    "ca-certificates",
    "clamav-daemon",
    "clamav-freshclam",
    "clamdscan",
    "curl",
    "dbus",
    "findutils",
    "git",
    "iproute2",
    "jq",
    "libc-icap-mod-urlcheck",
    "libicapapi-dev",
    "netcat-openbsd",
    "nftables",
    "nodejs",
    "openssh-server",
    "openssl",
    "procps",
    "python3",
    "ripgrep",
    "systemd-sysv",
    "util-linux",
    "valkey-server",
    "valkey-tools",
    "zlib1g",
];

/// Documentation, which no test reads.
const LEFT_OUT: [&str; 4] = ["doc", "man", "locale", "info"];

/// A root file system with all packages.
#[derive(Debug, Clone)]
pub(crate) struct Base {
    /// Its top directory.
    pub(crate) root: PathBuf,
    /// A key of its inputs.
    pub(crate) key: String,
}

impl Base {
    /// Builds the root file system, unless `dir` already has it.
    ///
    /// # Errors
    /// When apt or mmdebstrap fails.
    pub(crate) fn prepare(dir: &Path) -> Result<Self> {
        let key = digest(&[include_bytes!("base.rs")]);
        let root = dir.join(format!("base-{key}"));
        let base = Self { root, key };
        if base.root.is_dir() {
            return Ok(base);
        }
        let new = dir.join("base.new");
        for old in entries(dir)? {
            let name = old.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with("base") {
                fs::remove_dir_all(&old).map_err(|error| format!("{}: {error}", old.display()))?;
            }
        }
        let mut words = vec!["mmdebstrap".to_owned(), "--variant=minbase".to_owned()];
        words.push("--aptopt=Acquire::Languages \"none\"".to_owned());
        words.push("--dpkgopt=force-unsafe-io".to_owned());
        words.extend(LEFT_OUT.map(|name| format!("--dpkgopt=path-exclude=/usr/share/{name}/*")));
        words.push(format!("--include={}", PACKAGES.join(",")));
        words.push(SUITE.to_owned());
        words.push(new.display().to_string());
        words.push(source(SUITE)?);
        Run::new(&words).output()?;
        fs::rename(&new, &base.root).map_err(|error| format!("{}: {error}", new.display()))?;
        Ok(base)
    }

    /// The local path of a path in the root file system.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// The targets of `paths` after following all links, in order; empty for a path that does not exist.
    pub(crate) fn resolve(&self, paths: &[String]) -> Result<Vec<String>> {
        let script = "for path; do realpath -e \"$path\" 2>/dev/null || echo; done";
        let root = self.root.display().to_string();
        let mut words = vec!["chroot", &root, "sh", "-c", script, "sh"];
        words.extend(paths.iter().map(String::as_str));
        let ran = Run::new(&words).ran()?;
        let found: Vec<String> = ran.stdout.lines().map(str::to_owned).collect();
        if found.len() == paths.len() {
            return Ok(found);
        }
        Err(format!("chroot {root}: {}", ran.stderr))
    }

    /// The shared libraries, including the dynamic linker, that the files `paths` of the root file system need.
    pub(crate) fn libraries(&self, paths: &[String]) -> Result<Vec<String>> {
        let root = self.root.display().to_string();
        let mut words = vec!["chroot", &root, "ldd"];
        words.extend(paths.iter().map(String::as_str));
        // Exits with 1 if one of the files is a script or static.
        let ran = Run::new(&words).ran()?;
        if let Some(missing) = ran.stdout.lines().find(|line| line.contains("not found")) {
            return Err(format!("ldd {paths:?}: {}", missing.trim()));
        }
        let mut found: Vec<String> = ran
            .stdout
            .lines()
            .filter_map(|line| {
                let line = line.trim();
                let path = line.split_once(" => ").map_or(line, |(_, path)| path);
                let path = path.split(" (").next()?;
                (line.contains(" (0x") && path.starts_with('/')).then(|| path.to_owned())
            })
            .collect();
        found.sort();
        found.dedup();
        Ok(found)
    }
}
