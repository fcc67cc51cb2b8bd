//! `dist`: writes the files of a release to `dist/`.

use std::path::Path;

use crate::args::DistArgs;
use crate::assemble::{self, Archives, Inputs};
use crate::files::{ReleaseFile, Signed};
use crate::name::{RELEASE_TARGETS, ReleaseKind};
use crate::sign::{PUBLIC_KEY, SigningKey, UNPROTECTED};
use xtask_build::images;
use xtask_build::rust_build;
use xtask_host::error::{Error, Outcome, Result};
use xtask_host::process::Run;
use xtask_host::progress::Progress;
use xtask_host::report::Report;
use xtask_host::reports::release as reports;
use xtask_host::workspace::Workspace;
use xtask_host::{signals, tree};

/// Runs the verb.
///
/// # Errors
/// If the tree is not a clean commit, a build fails, an archive or the signing key is missing or
/// wrong, or the file system refuses.
pub fn run(workspace: &Workspace, args: &DistArgs, progress: Progress) -> Result<Report> {
    signals::pass_on();
    let output = args
        .output
        .clone()
        .unwrap_or_else(|| workspace.root.join("dist"));
    let kind = match args.rehearsal {
        true => ReleaseKind::Rehearsal,
        false => ReleaseKind::Release,
    };
    let commit = commit(workspace, kind)?;
    let targets = match (&args.targets[..], &args.prebuilt) {
        ([], Some(_)) => RELEASE_TARGETS.map(str::to_owned).to_vec(),
        ([], None) => vec![rust_build::cli_target(workspace)?],
        (targets, _) => targets.to_vec(),
    };
    if args.archive_only {
        let archives = assemble::archives(workspace, kind, &targets, progress)?;
        archives.write_into(&output)?;
        return Ok(report(kind, &commit, None, &archives, &output));
    }
    // Read the key first: a build takes a minute, and a missing key should not cost one.
    let (key, public_key) = keys(workspace, kind, args.unsigned)?;
    if key
        .as_ref()
        .is_some_and(|key| kind == ReleaseKind::Release && !key.is_protected())
    {
        progress.note(&format!("note: {UNPROTECTED}"));
    }
    let archives = match &args.prebuilt {
        Some(dir) => Archives::Prebuilt(dir.clone()),
        None => Archives::Build,
    };
    let images = match &args.images {
        Some(layout) => images::of_layout(workspace, layout)?,
        None => Vec::new(),
    };
    let inputs = Inputs {
        workspace,
        kind,
        commit: &commit,
        targets: &targets,
        archives: &archives,
        images: &images,
        public_key: &public_key,
    };
    let assembled = assemble::assemble(&inputs, progress)?;
    let files = match &key {
        Some(key) => assembled.sign(key)?,
        None => assembled.unsigned(),
    };
    files.write(&output)?;
    Ok(report(kind, &commit, key.as_ref(), &files, &output))
}

/// The commit of the tree, which must be clean for a release.
fn commit(workspace: &Workspace, kind: ReleaseKind) -> Result<String> {
    let git = |args: &[&str]| Run::new("git").args(args).cwd(&workspace.root).output();
    if kind == ReleaseKind::Rehearsal {
        // A rehearsal also works outside of a git checkout; the zero commit exists nowhere.
        return Ok(git(&["rev-parse", "HEAD"]).unwrap_or_else(|_| "0".repeat(40)));
    }
    let changed = git(&["status", "--porcelain"])?;
    if changed.is_empty() {
        return git(&["rev-parse", "HEAD"]);
    }
    Err(Error::findings("the working tree has uncommitted changes")
        .because(changed)
        .hint("commit or revert them: a release is made from a commit")
        .hint("to try it with these changes: `cargo xtask dist --rehearsal`"))
}

/// The signing key, unless `unsigned`, and the public key that users verify with.
fn keys(
    workspace: &Workspace,
    kind: ReleaseKind,
    unsigned: bool,
) -> Result<(Option<SigningKey>, String)> {
    if kind == ReleaseKind::Rehearsal {
        let key = SigningKey::for_rehearsal()?;
        let public = key.public_key_file()?;
        return Ok(((!unsigned).then_some(key), public));
    }
    let key = match unsigned {
        true => None,
        false => Some(SigningKey::from_env()?),
    };
    let path = workspace.root.join(PUBLIC_KEY);
    let public = tree::text(&workspace.root, PUBLIC_KEY).map_err(|error| {
        error.hint("commit the public half of the signing key there: users verify releases with it")
    })?;
    match &key {
        Some(key) if !key.matches(&public) => {
            let other = format!("the signing key does not match `{}`", path.display());
            Err(Error::new(Outcome::Network, other).hint(
                "sign with the key whose public half is committed, or commit the new one and announce it",
            ))
        }
        _ => Ok((key, public)),
    }
}

fn report(
    kind: ReleaseKind,
    commit: &str,
    key: Option<&SigningKey>,
    files: &Signed,
    output: &Path,
) -> Report {
    let assets = files.assets();
    let text: String = assets
        .iter()
        .map(|asset| {
            format!(
                "{}  {}  {} bytes\n",
                asset.sha256.hex(),
                asset.name,
                asset.size
            )
        })
        .collect();
    let data = reports::Dist {
        kind: kind.word(),
        commit: commit.to_owned(),
        signed: key.is_some(),
        directory: output.display().to_string(),
        assets: assets.iter().map(ReleaseFile::reported).collect(),
        signing_key_protected: key.map(SigningKey::is_protected),
    };
    Report::new("dist", data, format!("{text}in {}", output.display()))
}
