//! What a release takes from the tree: the commit, the tag, the notes, the pins.

use semver::Version;

use xtask_dist::ReleaseKind;
use xtask_host::error::{Error, Result};
use xtask_host::finding::{Finding, Severity};
use xtask_host::process::Run as Process;
use xtask_host::workspace::Workspace;
use xtask_online::github::ReleaseFields;
use xtask_pins::inventory::{Inventory, Pin, judge};
use xtask_pins::{versions, waivers};

use super::decide::marker;

/// The commit of a clean working tree.
///
/// # Errors
/// If something is not committed, or this is not a git repository.
pub(super) fn clean_commit(workspace: &Workspace) -> Result<String> {
    let changed = git(workspace, &["status", "--porcelain"]).output()?;
    if !changed.is_empty() {
        return Err(Error::findings("the working tree has uncommitted changes")
            .because(changed)
            .hint("commit or revert them: a release is made from a commit"));
    }
    head(workspace)
}

/// The commit of HEAD.
///
/// # Errors
/// If there is none.
pub(super) fn head(workspace: &Workspace) -> Result<String> {
    git(workspace, &["rev-parse", "--verify", "HEAD"]).output()
}

/// The commit that the local `tag` names; `None` if it does not exist.
///
/// # Errors
/// If git fails.
pub(super) fn local_tag(workspace: &Workspace, tag: &str) -> Result<Option<String>> {
    let name = format!("refs/tags/{tag}^{{commit}}");
    let found =
        git(workspace, &["rev-parse", "--verify", "--quiet", &name]).output_of_any_exit()?;
    Ok(Some(found.trim().to_owned()).filter(|commit| !commit.is_empty()))
}

/// Requires that the local `tag` exists and names `commit`.
///
/// # Errors
/// If it does not.
pub(super) fn require_local_tag(workspace: &Workspace, tag: &str, commit: &str) -> Result<()> {
    let error = match local_tag(workspace, tag)? {
        Some(found) if found == commit => return Ok(()),
        None => Error::findings(format!("there is no tag `{tag}` in this repository")),
        Some(other) => Error::findings(format!(
            "the tag `{tag}` names a different commit than HEAD"
        ))
        .because(format!("tag:         {other}\nHEAD:        {commit}")),
    };
    Err(error.hint(format!(
        "check out the tag, or create it: `git tag -s {tag} -m \"Polis {}\"`",
        tag.trim_start_matches('v')
    )))
}

fn git(workspace: &Workspace, args: &[&str]) -> Process {
    Process::new("git").args(args).cwd(&workspace.root)
}

/// Requires that everything is pinned and nothing is waived.
///
/// # Errors
/// The location of every violation.
pub(super) fn require_pinned(workspace: &Workspace) -> Result<()> {
    let inventory = Inventory::read(&workspace.root)?;
    let mut wrong = judge(&inventory, waivers::today(None)?);
    wrong.retain(|finding| finding.severity == Severity::Error);
    if !wrong.is_empty() {
        return Err(Error {
            findings: wrong,
            ..Error::findings("not everything is pinned")
        }
        .hint("fix what `cargo xtask verify-pins --offline` reports"));
    }
    let unpinned: Vec<String> = inventory
        .images()
        .filter(|pin| pin.pinned().is_none())
        .map(Pin::name)
        .collect();
    if unpinned.is_empty() {
        return Ok(());
    }
    Err(
        Error::findings(format!("{} images are not pinned", unpinned.len()))
            .because(unpinned.join("\n"))
            .hint("run `cargo xtask pin`, delete the waivers and commit"),
    )
}

/// The fields of the release on GitHub: notes from the changelog section, our marker, and the commit.
///
/// # Errors
/// If the changelog has no section for the version, or marks it as unreleased.
pub(super) fn fields(
    workspace: &Workspace,
    kind: ReleaseKind,
    version: &Version,
    commit: &str,
) -> Result<ReleaseFields> {
    let changelog = workspace.read("CHANGELOG.md")?;
    let notes = versions::changelog_section(&changelog.text, version).ok_or_else(|| {
        Error::findings(format!("`CHANGELOG.md` has no section for {version}"))
            .hint(format!("write a section `## {version}`"))
    })?;
    if let Some(span) = versions::unreleased(&changelog.text, version) {
        let message = format!("the changelog marks {version} as unreleased");
        let finding = Finding::error("version", changelog.place(span), message)
            .help("`cargo xtask prepare` removes the mark");
        return Err(Error {
            findings: vec![finding],
            ..Error::findings("the changelog is not ready for a release")
        });
    }
    let tag = format!("v{version}");
    let marker = marker(&tag);
    Ok(ReleaseFields {
        commit: commit.to_owned(),
        name: format!("Polis {}", kind.label(version)),
        body: match kind {
            ReleaseKind::Release => format!("{notes}\n\n{marker}"),
            ReleaseKind::Rehearsal => {
                format!("This is a rehearsal, not a release.\n\n{notes}\n\n{marker}")
            }
        },
        prerelease: !version.pre.is_empty(),
        tag,
    })
}
