//! What a release publishes: the CLI archives, their checksums, the signature, and the two
//! files that people may want to read. No VM image and no image tarball.

use std::path::{Path, PathBuf};

use polis_base::Digest;
use polis_base::archive::{EXECUTABLE, Files};
use semver::Version;
use serde_json::{Value, json};

use crate::sign::SigningKey;
use xtask::error::{Error, Result};
use xtask::oci::gzip;
use xtask::progress::Progress;
use xtask::rust_build;
use xtask::workspace::Workspace;
use xtask::{compose, pins_env, versions, write};

/// The targets that a release must have an archive for.
pub const RELEASE_TARGETS: [&str; 5] = [
    "aarch64-apple-darwin",
    "aarch64-unknown-linux-musl",
    "x86_64-apple-darwin",
    "x86_64-pc-windows-msvc",
    "x86_64-unknown-linux-musl",
];

/// The list of checksums.
pub const SUMS: &str = "SHA256SUMS";
/// Its signature.
pub const SIGNATURE: &str = "SHA256SUMS.minisig";

/// A real release or a rehearsal of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// What people install.
    Release,
    /// What nobody must take for a release: every name and the signature say so.
    Rehearsal,
}

impl Kind {
    /// The version as file names show it.
    pub fn label(self, version: &Version) -> String {
        match self {
            Self::Release => version.to_string(),
            Self::Rehearsal => format!("{version}-rehearsal"),
        }
    }
}

/// Where the CLI archives come from.
#[derive(Debug, Clone)]
pub enum Archives {
    /// Built here, for this target or for this machine's.
    Build(Option<String>),
    /// Built before, one for each target of a release, in this directory.
    Prebuilt(PathBuf),
}

/// A file of the release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asset {
    /// Its name.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
    /// What it hashes to.
    pub sha256: Digest,
}

impl Asset {
    /// The asset in a JSON report.
    pub fn to_json(&self) -> Value {
        json!({"name": self.name, "size": self.size, "sha256": self.sha256.hex()})
    }
}

/// A file with its bytes, before it is written.
struct Piece {
    name: String,
    bytes: Vec<u8>,
}

/// The name of the CLI archive for `triple`.
pub fn archive_name(kind: Kind, version: &Version, triple: &str) -> String {
    format!("polis-{}-{triple}.tar.gz", kind.label(version))
}

/// Builds the CLI for `triple` (this machine's by default) and writes only its archive into `output`.
///
/// # Errors
/// When the build or the file system fails.
pub fn archive_only(
    workspace: &Workspace,
    triple: Option<&str>,
    output: &Path,
    progress: Progress,
) -> Result<Asset> {
    let piece = build_archive(workspace, Kind::Release, triple, progress)?;
    write::atomically(&output.join(&piece.name), &piece.bytes)?;
    Ok(asset(&piece))
}

/// Writes the whole release into `output`, replacing what an earlier run left there.
///
/// Returns the assets in the order of their names.
///
/// # Errors
/// When a build fails, an archive of a target is missing, or the file system refuses.
pub fn write_all(
    workspace: &Workspace,
    kind: Kind,
    archives: &Archives,
    key: &SigningKey,
    output: &Path,
    progress: Progress,
) -> Result<Vec<Asset>> {
    let version = versions::of_workspace(workspace)?;
    let mut pieces = match archives {
        Archives::Build(triple) => {
            vec![build_archive(workspace, kind, triple.as_deref(), progress)?]
        }
        Archives::Prebuilt(dir) => prebuilt(kind, &version, dir)?,
    };
    for path in [pins_env::CLOUD_INIT, compose::PATH] {
        let name = path.rsplit('/').next().unwrap_or(path).to_owned();
        pieces.push(Piece {
            name,
            bytes: workspace.read(path)?.text.into_bytes(),
        });
    }
    if kind == Kind::Rehearsal {
        pieces.push(Piece {
            name: "REHEARSAL.txt".to_owned(),
            bytes: REHEARSAL.as_bytes().to_vec(),
        });
    }
    pieces.sort_by(|one, other| one.name.cmp(&other.name));
    let sums: String = pieces
        .iter()
        .map(|piece| format!("{}  {}\n", Digest::of(&piece.bytes).hex(), piece.name))
        .collect();
    let signature = key.sign(sums.as_bytes(), &comment(kind, &version))?;
    pieces.push(Piece {
        name: SUMS.to_owned(),
        bytes: sums.into_bytes(),
    });
    pieces.push(Piece {
        name: SIGNATURE.to_owned(),
        bytes: signature.into_bytes(),
    });
    pieces.push(Piece {
        name: "minisign.pub".to_owned(),
        bytes: key.public_key_file()?.into_bytes(),
    });
    write::directory(output, SUMS, |dir| {
        pieces
            .iter()
            .try_for_each(|piece| write::atomically(&dir.join(&piece.name), &piece.bytes))
    })?;
    Ok(pieces.iter().map(asset).collect())
}

const REHEARSAL: &str = "\
These files are from a rehearsal of a release, made by `cargo xtask release --rehearse`.
The images that the compose file names were placeholders on a loopback registry and exist
nowhere; the signature is by a key that was made for this rehearsal and thrown away.
Nobody should install them.
";

fn comment(kind: Kind, version: &Version) -> String {
    match kind {
        Kind::Release => format!("Polis {version}"),
        Kind::Rehearsal => format!("Polis {version}: REHEARSAL, not a release"),
    }
}

fn asset(piece: &Piece) -> Asset {
    Asset {
        name: piece.name.clone(),
        size: piece.bytes.len() as u64,
        sha256: Digest::of(&piece.bytes),
    }
}

fn build_archive(
    workspace: &Workspace,
    kind: Kind,
    triple: Option<&str>,
    progress: Progress,
) -> Result<Piece> {
    let version = versions::of_workspace(workspace)?;
    let triple = match triple {
        Some(triple) => triple.to_owned(),
        None => rust_build::cli_target()?,
    };
    let label = kind.label(&version);
    let env = [("POLIS_RELEASE_LABEL", label.as_str())];
    let program = rust_build::build(workspace, "cli", "polis", &triple, &env, progress)?;
    let bytes = std::fs::read(&program).map_err(|error| Error::io("read", &program, &error))?;
    let name = archive_name(kind, &version, &triple);
    let dir = name.trim_end_matches(".tar.gz");
    let file = program.file_name().unwrap_or_default().to_string_lossy();
    let mut files = Files::new();
    files.add(&format!("{dir}/{file}"), EXECUTABLE, bytes);
    let tar = files.to_tar().map_err(|error| {
        Error::machine(format!("cannot pack `{name}`")).because(error.to_string())
    })?;
    Ok(Piece {
        name,
        bytes: gzip(&tar),
    })
}

/// The archives of every target of a release, all of them or none.
fn prebuilt(kind: Kind, version: &Version, dir: &Path) -> Result<Vec<Piece>> {
    let mut pieces = Vec::new();
    let mut missing = Vec::new();
    for triple in RELEASE_TARGETS {
        let name = archive_name(kind, version, triple);
        match std::fs::read(dir.join(&name)) {
            Ok(bytes) => pieces.push(Piece { name, bytes }),
            Err(error) => missing.push(format!("{name}: {error}")),
        }
    }
    if missing.is_empty() {
        return Ok(pieces);
    }
    let error = Error::findings(format!(
        "`{}` does not hold the CLI for every target",
        dir.display()
    ));
    Err(missing
        .into_iter()
        .fold(error, Error::because)
        .hint("build each with `cargo xtask dist --archive-only --target TRIPLE`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_archive_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let version = Version::new(1, 2, 3);
        for triple in &RELEASE_TARGETS[1..] {
            write::atomically(
                &dir.path()
                    .join(archive_name(Kind::Release, &version, triple)),
                b"x",
            )
            .unwrap();
        }
        let error = prebuilt(Kind::Release, &version, dir.path())
            .err()
            .map(|error| error.to_string())
            .unwrap();
        assert!(
            error.contains("polis-1.2.3-aarch64-apple-darwin.tar.gz"),
            "{error}"
        );
        assert!(!error.contains("windows"), "{error}");
    }

    #[test]
    fn every_name_of_a_rehearsal_says_so() {
        let version = Version::new(1, 2, 3);
        assert_eq!(
            archive_name(Kind::Rehearsal, &version, "t"),
            "polis-1.2.3-rehearsal-t.tar.gz"
        );
        assert!(comment(Kind::Rehearsal, &version).contains("REHEARSAL"));
    }
}
