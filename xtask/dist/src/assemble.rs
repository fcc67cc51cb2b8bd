//! Assembles and signs the files of a release. The same commit always gives the same bytes, except for the signature.

use std::path::{Path, PathBuf};

use polis_base::archive::{Files, without_cr};
use polis_base::facts::{self as program, Facts};
use polis_base::{Digest, bundle};
use semver::Version;

use xtask_build::images::Image;
use xtask_host::error::{Error, Outcome, Result};
use xtask_host::progress::Progress;
use xtask_host::workspace::Workspace;
use xtask_host::{tree, write};
use xtask_pins::compose::{self, Compose};
use xtask_pins::pins_env;
use xtask_pins::versions;

use crate::build;
use crate::content;
use crate::files::{Piece, ReleaseFile, Signed, bytes, sums};
use crate::inspect::{self, Expected, Inspected};
use crate::installers;
use crate::manifest::{self, Parts, ReleaseManifest};
use crate::name::{self, MANIFEST, ReleaseKind, SIGNATURE, SUMS};
use crate::sbom;
use crate::sign::{PUBLIC_KEY, SigningKey};

/// The inputs of a release.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    /// The tree.
    pub workspace: &'a Workspace,
    /// A release or a rehearsal.
    pub kind: ReleaseKind,
    /// The commit of the tree, in full.
    pub commit: &'a str,
    /// The targets, each of which needs an archive.
    pub targets: &'a [String],
    /// Where the archives come from.
    pub archives: &'a Archives,
    /// The images that this repository builds, with their platforms.
    pub images: &'a [Image],
    /// The text of `minisign.pub`; only its key may sign.
    pub public_key: &'a str,
}

/// Where the CLI archives come from.
#[derive(Debug, Clone)]
pub enum Archives {
    /// Build them here.
    Build,
    /// Take them from this directory, one per target.
    Prebuilt(PathBuf),
    /// Take them, and the SBOMs, from a directory that [`assemble`] wrote earlier. This needs no
    /// cargo. All other files are generated again and must be identical.
    Assembled(PathBuf),
}

/// Everything that a release publishes except the signature.
#[derive(Debug, Clone)]
pub struct Assembled {
    version: Version,
    kind: ReleaseKind,
    public_key: String,
    manifest: ReleaseManifest,
    /// Sorted by name, with the checksums last.
    pieces: Vec<Piece>,
    sums: Vec<u8>,
}

/// Assembles everything that a release publishes except the signature.
///
/// # Errors
/// If a build fails, an archive is missing or wrong, an image is not pinned, or a licence is not
/// accepted. The problems of all archives are reported together.
pub fn assemble(inputs: &Inputs<'_>, progress: Progress) -> Result<Assembled> {
    let workspace = inputs.workspace;
    let version = versions::of_workspace(workspace)?;
    let label = inputs.kind.label(&version);
    let targets = targets(inputs.targets)?;
    // Builds take a minute, so check the tree first.
    manifest::require_commit(inputs.commit)?;
    let license = content::license(&workspace.root)?;
    let compose = Compose::load(&workspace.root)?;
    let images = manifest::images(inputs.kind, &compose, inputs.images)?;
    let facts = facts(workspace, inputs.kind, &label)?;
    let archives = match inputs.archives {
        Archives::Build => build::archives(workspace, &facts, &targets, progress)?
            .into_iter()
            .map(Ok)
            .collect(),
        Archives::Prebuilt(dir) | Archives::Assembled(dir) => prebuilt(&label, &targets, dir),
    };
    let task = progress.task("assemble the release");
    let (archives, inspected) = inspect_all(&facts, &license, &targets, archives)?;
    let manifest = ReleaseManifest::new(Parts {
        version: &version,
        kind: inputs.kind,
        commit: inputs.commit,
        images,
        downloads: &xtask_pins::verify_pins::read_downloads(workspace)?.downloads,
        facts: &facts,
        archives: &inspected,
    })?;
    let mut pieces = archives;
    pieces.extend(installers(inputs, &version, &targets, &pieces)?);
    for path in [pins_env::CLOUD_INIT, compose::PATH] {
        let name = path.rsplit('/').next().unwrap_or(path);
        pieces.push(Piece::new(name, workspace.read(path)?.text));
    }
    pieces.extend(sboms(inputs, &label, &targets)?);
    pieces.push(Piece::new(MANIFEST, manifest.to_bytes()?));
    pieces.push(Piece::new(PUBLIC_KEY, inputs.public_key));
    if inputs.kind == ReleaseKind::Rehearsal {
        pieces.push(Piece::new("REHEARSAL.txt", REHEARSAL));
    }
    pieces.sort_by(|one, other| one.name.cmp(&other.name));
    let sums = sums(&pieces);
    if let Archives::Assembled(dir) = inputs.archives {
        require_same(dir, &sums)?;
    }
    pieces.push(Piece::new(SUMS, sums.clone()));
    task.done(&format!("{} files", pieces.len()));
    Ok(Assembled {
        version,
        kind: inputs.kind,
        public_key: inputs.public_key.to_owned(),
        manifest,
        pieces,
        sums,
    })
}

/// The SBOMs of our programs: generated, or copied from an earlier [`assemble`].
fn sboms(inputs: &Inputs<'_>, label: &str, targets: &[String]) -> Result<Vec<Piece>> {
    let (workspace, kind) = (inputs.workspace, inputs.kind);
    let mut pieces = Vec::new();
    for program in ["polis", "polis-init"] {
        let name = sbom::sbom_name(program, label);
        let bytes = match (inputs.archives, program) {
            (Archives::Assembled(dir), _) => tree::bytes(dir, &name)?,
            (_, "polis") => sbom::of_program(workspace, program, kind, targets)?,
            _ => sbom::sbom_of_init(workspace, kind)?,
        };
        pieces.push(Piece::new(name, bytes));
    }
    Ok(pieces)
}

/// Requires that the checksums in `dir` are `ours`, so that this tree produces what was assembled there.
fn require_same(dir: &Path, ours: &[u8]) -> Result<()> {
    let theirs = tree::bytes(dir, SUMS)?;
    if theirs == ours {
        return Ok(());
    }
    let (theirs, ours) = (
        String::from_utf8_lossy(&theirs),
        String::from_utf8_lossy(ours),
    );
    let only = |sign: char, these: &str, others: &str| -> String {
        let lines = these
            .lines()
            .filter(|line| !others.lines().any(|other| other == *line));
        lines.map(|line| format!("{sign} {line}\n")).collect()
    };
    let path = dir.join(SUMS);
    let message = format!(
        "`{}` does not match what this tree releases",
        path.display()
    );
    Err(Error::new(Outcome::Drift, message)
        .because(only('-', &theirs, &ours) + &only('+', &ours, &theirs))
        .hint("assemble again with `cargo xtask dist --unsigned` from the commit being released"))
}

/// The installers for `archives`, one archive for each of `targets`.
fn installers(
    inputs: &Inputs<'_>,
    version: &Version,
    targets: &[String],
    archives: &[Piece],
) -> Result<Vec<Piece>> {
    let digests: Vec<Digest> = archives
        .iter()
        .map(|archive| Digest::of(&archive.bytes))
        .collect();
    let archives: Vec<installers::Archive<'_>> = targets
        .iter()
        .zip(archives)
        .zip(&digests)
        .map(|((triple, archive), sha256)| installers::Archive {
            triple,
            name: &archive.name,
            sha256,
        })
        .collect();
    let rendered = installers::render(&installers::Facts {
        version,
        label: &inputs.kind.label(version),
        tag: &format!("v{version}"),
        repository: env!("CARGO_PKG_REPOSITORY"),
        public_key: inputs.public_key,
        archives: &archives,
    })?;
    let pieces = rendered.into_iter();
    Ok(pieces
        .map(|(name, bytes)| Piece::new(name, bytes))
        .collect())
}

/// Inspects the archives in `dir`, one for each of `targets`, before anything else uses them.
///
/// # Errors
/// If one is missing or wrong. The problems of all archives are reported together.
pub fn inspect_prebuilt(
    workspace: &Workspace,
    kind: ReleaseKind,
    targets: &[String],
    dir: &Path,
) -> Result<Vec<Inspected>> {
    let label = kind.label(&versions::of_workspace(workspace)?);
    let facts = facts(workspace, kind, &label)?;
    let license = content::license(&workspace.root)?;
    let targets = self::targets(targets)?;
    let archives = prebuilt(&label, &targets, dir);
    inspect_all(&facts, &license, &targets, archives).map(|(_, inspected)| inspected)
}

/// Builds and inspects only the archives, on a machine that builds some of the targets.
///
/// # Errors
/// As [`assemble`].
pub(crate) fn archives(
    workspace: &Workspace,
    kind: ReleaseKind,
    targets: &[String],
    progress: Progress,
) -> Result<Signed> {
    let label = kind.label(&versions::of_workspace(workspace)?);
    let facts = facts(workspace, kind, &label)?;
    let license = content::license(&workspace.root)?;
    let targets = self::targets(targets)?;
    let archives = build::archives(workspace, &facts, &targets, progress)?;
    let archives = archives.into_iter().map(Ok).collect();
    let (pieces, _) = inspect_all(&facts, &license, &targets, archives)?;
    Ok(Signed::of(pieces))
}

const REHEARSAL: &str = "\
These files are from a rehearsal of a release, made by `cargo xtask release --rehearse` or
`cargo xtask dist --rehearsal`. The images and commits they name were never published, and the key
that signed them was generated for this rehearsal and discarded. Do not install them.
";

impl Assembled {
    /// The files, including the checksums.
    pub fn assets(&self) -> Vec<ReleaseFile> {
        self.pieces.iter().map(Piece::asset).collect()
    }

    /// The content of `SHA256SUMS`, which is what gets signed.
    pub fn sums(&self) -> &[u8] {
        &self.sums
    }

    /// The release manifest.
    pub fn manifest(&self) -> &ReleaseManifest {
        &self.manifest
    }

    /// The bytes of the file `name`.
    pub fn bytes(&self, name: &str) -> Option<&[u8]> {
        bytes(&self.pieces, name)
    }

    /// Signs the checksums.
    ///
    /// # Errors
    /// If `key` does not match the public key in the release, or the system provides no randomness.
    pub fn sign(self, key: &SigningKey) -> Result<Signed> {
        if !key.matches(&self.public_key) {
            let other = format!("the signing key does not match `{PUBLIC_KEY}`");
            return Err(Error::new(Outcome::Network, other)
                .hint("sign with the key that matches the public key in the release"));
        }
        let comment = self.kind.comment(&self.version);
        let signature = key.sign(&self.sums, &comment)?;
        let mut pieces = self.pieces;
        pieces.push(Piece::new(SIGNATURE, signature));
        Ok(Signed::of(pieces))
    }

    /// The files without a signature, for a job that does not have the key.
    pub fn unsigned(self) -> Signed {
        Signed::of(self.pieces)
    }
}

/// The facts that a CLI built from this tree must carry.
///
/// # Errors
/// If a file cannot be read.
pub fn facts(workspace: &Workspace, kind: ReleaseKind, label: &str) -> Result<Facts> {
    let dir = workspace.root.join("compose");
    let mut files = Files::new();
    for part in bundle::PARTS {
        let mut paths = Vec::new();
        match dir.join(part).is_dir() {
            true => write::files_below(&dir, part, &mut paths)?,
            false => paths.push(part.to_owned()),
        }
        for path in paths {
            let bytes = tree::bytes(&workspace.root, &format!("compose/{path}"))?;
            bundle::add(&mut files, &path, &bytes);
        }
    }
    let tar = files.to_tar().map_err(|error| {
        Error::machine("cannot pack the bundle of the CLI").because(error.to_string())
    })?;
    let compose = workspace.read(compose::PATH)?.text;
    Ok(Facts {
        label: label.to_owned(),
        compose: Digest::of(&without_cr(compose.as_bytes())),
        cloud_init: Digest::of(workspace.read(pins_env::CLOUD_INIT)?.text.as_bytes()),
        bundle: Digest::of(&tar),
        key: key(workspace, kind)?,
    })
}

/// The key with which a CLI of this tree verifies later releases. Without a key in the tree, or in a rehearsal, whose
/// key changes each time, the program cannot update itself.
fn key(workspace: &Workspace, kind: ReleaseKind) -> Result<String> {
    if kind == ReleaseKind::Rehearsal || !workspace.root.join(PUBLIC_KEY).exists() {
        return Ok(program::NO_KEY.to_owned());
    }
    let text = tree::text(&workspace.root, PUBLIC_KEY)?;
    program::key(&text).map(str::to_owned).ok_or_else(|| {
        Error::findings(format!("`{PUBLIC_KEY}` is not a minisign public key file"))
            .hint("use the file that `minisign -G` wrote")
    })
}

/// The targets, sorted and without duplicates.
fn targets(wanted: &[String]) -> Result<Vec<String>> {
    let mut targets = wanted.to_vec();
    targets.sort();
    targets.dedup();
    match targets.is_empty() {
        false => Ok(targets),
        true => Err(Error::usage("no target to release the CLI for")),
    }
}

/// The archives of the targets, or the reason why one cannot be read.
fn prebuilt(
    label: &str,
    targets: &[String],
    dir: &Path,
) -> Vec<std::result::Result<Vec<u8>, String>> {
    let read = |triple: &String| {
        tree::bytes(dir, &name::archive_name(label, triple)).map_err(|error| error.message)
    };
    targets.iter().map(read).collect()
}

/// Inspects every archive and reports the problems of all of them as one error.
fn inspect_all(
    facts: &Facts,
    license: &str,
    targets: &[String],
    archives: Vec<std::result::Result<Vec<u8>, String>>,
) -> Result<(Vec<Piece>, Vec<Inspected>)> {
    let mut pieces = Vec::new();
    let mut inspected = Vec::new();
    let mut problems = Vec::new();
    for (triple, bytes) in targets.iter().zip(archives) {
        let expected = Expected {
            triple: triple.clone(),
            facts: facts.clone(),
            license: license.to_owned(),
        };
        let name = name::archive_name(&facts.label, triple);
        let looked = bytes
            .map_err(|problem| vec![problem])
            .and_then(|bytes| inspect::look(&name, &bytes, &expected).map(|found| (found, bytes)));
        match looked {
            Ok((found, bytes)) => {
                inspected.push(found);
                pieces.push(Piece::new(name, bytes));
            }
            Err(found) => {
                problems.extend(
                    found
                        .into_iter()
                        .map(|problem| format!("{name}: {problem}")),
                );
            }
        }
    }
    if problems.is_empty() {
        return Ok((pieces, inspected));
    }
    let error = Error::findings("the CLI archives cannot be released");
    Err(problems.into_iter().fold(error, Error::because).hint(
        "build each from the commit being released with `cargo xtask dist --archive-only --target TRIPLE`",
    ))
}
