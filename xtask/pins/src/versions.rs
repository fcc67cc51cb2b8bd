//! The version of the workspace, which Cargo.toml, CHANGELOG.md and the tags of the images that this repository builds
//! must agree on.

use semver::Version;
use serde::Deserialize;

use crate::compose::{self, Compose};
use crate::edit::Edit;
use crate::edit::Location;
use xtask_host::error::{Error, Result};
use xtask_host::finding::Finding;
use xtask_host::source::Source;
use xtask_host::workspace::Workspace;

/// The manifest of the workspace, with its version.
pub const MANIFEST: &str = "Cargo.toml";
/// The changelog.
pub const CHANGELOG: &str = "CHANGELOG.md";
/// Cargo's lock file, which also lists the crates of the workspace.
pub const LOCK: &str = "Cargo.lock";

#[derive(Deserialize)]
struct WorkspaceManifest {
    workspace: WorkspaceTable,
}

#[derive(Deserialize)]
struct WorkspaceTable {
    package: PackageTable,
}

#[derive(Deserialize)]
struct PackageTable {
    version: toml::Spanned<String>,
}

/// The version of the workspace.
///
/// # Errors
/// If Cargo.toml has no version, or it is not a semantic version.
pub fn of_workspace(workspace: &Workspace) -> Result<Version> {
    let source = workspace.read(MANIFEST)?;
    in_manifest(&source)
        .map(|(version, _)| version)
        .map_err(|finding| Error::in_file(&source.path, vec![*finding]))
}

fn in_manifest(
    source: &Source,
) -> std::result::Result<(Version, std::ops::Range<usize>), Box<Finding>> {
    let failed = |span: std::ops::Range<usize>, message: String| {
        Box::new(Finding::error("version", source.place(span), message))
    };
    let manifest: WorkspaceManifest = toml::from_str(&source.text).map_err(|error| {
        failed(
            error.span().unwrap_or(0..0),
            format!("cannot read the workspace version: {}", error.message()),
        )
    })?;
    let version = manifest.workspace.package.version;
    let span = version.span();
    version
        .get_ref()
        .parse()
        .map(|parsed| (parsed, span.clone()))
        .map_err(|error| {
            failed(
                span,
                format!("invalid version `{}`: {error}", version.get_ref()),
            )
        })
}

/// The edits that set the version of the workspace to `to`, in Cargo.toml and in the lock file, as
/// `cargo update --workspace` would write it.
///
/// `manifests` are those of all crates. Crates with `version.workspace = true` move.
///
/// # Errors
/// If Cargo.toml or the lock file is malformed.
pub fn set<'a>(
    to: &Version,
    manifest: &Source,
    lock: Option<&Source>,
    manifests: impl IntoIterator<Item = &'a Source>,
) -> Result<Vec<Edit>> {
    let (_, span) =
        in_manifest(manifest).map_err(|finding| Error::in_file(&manifest.path, vec![*finding]))?;
    let text = format!("\"{to}\"");
    let mut edits = vec![Edit::new(&Location::new(manifest, span), &text)];
    let Some(lock) = lock else { return Ok(edits) };
    let members: Vec<String> = manifests.into_iter().filter_map(inheriting).collect();
    let locked: Locked = toml::from_str(&lock.text).map_err(|error| {
        let message = format!("invalid Cargo.lock: {}", error.message());
        let place = lock.place(error.span().unwrap_or(0..0));
        Error::in_file(&lock.path, vec![Finding::error("version", place, message)])
    })?;
    for package in locked.package {
        // A crate with a source comes from a registry, even if one of ours has its name.
        if package.source.is_none() && members.contains(&package.name) {
            edits.push(Edit::new(
                &Location::new(lock, package.version.span()),
                &text,
            ));
        }
    }
    Ok(edits)
}

#[derive(Deserialize)]
struct Locked {
    package: Vec<LockedPackage>,
}

#[derive(Deserialize)]
struct LockedPackage {
    name: String,
    version: toml::Spanned<String>,
    source: Option<String>,
}

#[derive(Deserialize)]
struct Member {
    package: MemberTable,
}

#[derive(Deserialize)]
struct MemberTable {
    name: String,
    version: Inherited,
}

#[derive(Deserialize)]
struct Inherited {
    workspace: bool,
}

/// The name of a crate that takes the version of the workspace.
fn inheriting(manifest: &Source) -> Option<String> {
    let member: Member = toml::from_str(&manifest.text).ok()?;
    let package = member.package;
    package.version.workspace.then_some(package.name)
}

/// The mark of a changelog section whose version is not released.
const UNRELEASED: &str = "(unreleased)";

/// The edit that announces `version`: removes `(unreleased)` from the heading of its section, which must be the newest
/// and have text. `None` if it is already removed.
///
/// # Errors
/// If there is no such section.
pub fn announce(version: &Version, changelog: &Source) -> Result<Option<Edit>> {
    let wrong = |span: std::ops::Range<usize>, message: String| {
        let finding = Finding::error("version", changelog.place(span), message).help(format!(
            "describe the changes in a section `## {version} {UNRELEASED}`"
        ));
        Error::in_file(&changelog.path, vec![finding])
    };
    let mut start = 0;
    let found = changelog.text.split_inclusive('\n').find_map(|line| {
        let span = start..start + line.trim_end().len();
        start += line.len();
        heading(line).map(|found| (found, span))
    });
    let Some((newest, span)) = found else {
        return Err(wrong(
            0..0,
            "the changelog has no section for a version".to_owned(),
        ));
    };
    if newest != *version {
        return Err(wrong(
            span,
            format!("the newest section is for {newest}, expected {version}"),
        ));
    }
    if changelog_section(&changelog.text, version).is_none_or(|body| body.is_empty()) {
        return Err(wrong(span, "the section is empty".to_owned()));
    }
    let line = &changelog.text[span.clone()];
    let Some(at) = line.find(UNRELEASED) else {
        return Ok(None);
    };
    let text = [line[..at].trim_end(), &line[at + UNRELEASED.len()..]].concat();
    Ok(Some(Edit::new(&Location::new(changelog, span), text)))
}

/// The text of the changelog section for `version`, without the heading.
pub fn changelog_section(changelog: &str, version: &Version) -> Option<String> {
    let mut lines = changelog
        .lines()
        .skip_while(|line| heading(line).as_ref() != Some(version));
    lines.next()?;
    let body: Vec<&str> = lines.take_while(|line| !line.starts_with("## ")).collect();
    Some(body.join("\n").trim().to_owned())
}

/// The heading of `version`, if it says `(unreleased)`.
pub fn unreleased(changelog: &str, version: &Version) -> Option<std::ops::Range<usize>> {
    let mut start = 0;
    for line in changelog.split_inclusive('\n') {
        let end = start + line.trim_end().len();
        if heading(line).as_ref() == Some(version) {
            return line.contains("(unreleased)").then_some(start..end);
        }
        start += line.len();
    }
    None
}

/// The version in a heading `## 1.2.3 ...`.
fn heading(line: &str) -> Option<Version> {
    let words = line.strip_prefix("## ")?;
    words.split_whitespace().next()?.parse().ok()
}

/// Checks that manifest, changelog and compose file agree.
pub fn check(manifest: &Source, changelog: &Source, compose: &Compose) -> Vec<Finding> {
    let (version, span) = match in_manifest(manifest) {
        Ok(found) => found,
        Err(finding) => return vec![*finding],
    };
    let mut findings = Vec::new();
    let newest = changelog.text.lines().find_map(heading);
    if newest.as_ref() != Some(&version) {
        let found = newest.map_or_else(|| "no version".to_owned(), |newest| format!("`{newest}`"));
        let at = changelog.text.find("\n## ").map_or(0, |at| at + 1);
        let length = changelog.text[at..].lines().next().map_or(0, str::len);
        findings.push(
            Finding::error(
                "version",
                changelog.place(at..at + length),
                format!("the newest section is for {found}, but Cargo.toml has `{version}`"),
            )
            .help(format!("write a section `## {version}`")),
        );
    } else if changelog_section(&changelog.text, &version).is_none_or(|body| body.is_empty()) {
        findings.push(Finding::error(
            "version",
            manifest.place(span),
            format!("the changelog section for `{version}` is empty"),
        ));
    }
    let tag = format!("v{version}");
    // Another rule reports images that cannot be read.
    let (uses, _) = compose.references();
    let built = compose::built_of(&uses);
    for image_use in &uses {
        let Ok(image) = &image_use.image else {
            continue;
        };
        let ours = built.iter().any(|built| built.image.name() == image.name());
        if ours && image.tag() != Some(&tag) {
            findings.push(Finding::error(
                "version",
                compose.place(image_use.span.clone()),
                format!("`{image}` is built here: expected the tag `{tag}`"),
            ));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compose::tests::compose;

    fn source(path: &str, text: &str) -> Source {
        Source {
            path: path.to_owned(),
            text: text.to_owned(),
        }
    }

    fn messages(manifest: &str, changelog: &str, image: &str) -> Vec<String> {
        let manifest = source(
            "Cargo.toml",
            &format!("[workspace.package]\nversion = \"{manifest}\"\n"),
        );
        let compose = compose(&format!(
            "services:\n  a:\n    image: {image}\n    build: ../a\n"
        ));
        let findings = check(&manifest, &source("CHANGELOG.md", changelog), &compose);
        findings
            .into_iter()
            .map(|finding| finding.message)
            .collect()
    }

    #[test]
    fn an_unreleased_version_is_found_with_its_location() {
        let text = "# C\n\n## 0.6.0 (unreleased)\n- x\n\n## 0.5.0\n- y (unreleased)\n";
        let span = unreleased(text, &Version::new(0, 6, 0)).unwrap();
        assert_eq!(&text[span], "## 0.6.0 (unreleased)");
        assert_eq!(unreleased(text, &Version::new(0, 5, 0)), None);
        assert_eq!(unreleased(text, &Version::new(0, 4, 0)), None);
    }

    #[test]
    fn every_disagreement_is_reported() {
        let fine = "# C\n\n## 0.5.0 (unreleased)\n\n- New.\n\n## 0.4.0\n";
        assert_eq!(messages("0.5.0", fine, "ghcr.io/o/a:v0.5.0"), [""; 0]);
        assert_eq!(
            messages("0.6.0", fine, "ghcr.io/o/a:v0.6.0"),
            ["the newest section is for `0.5.0`, but Cargo.toml has `0.6.0`"]
        );
        assert_eq!(
            messages("0.5.0", fine, "ghcr.io/o/a:v0.4.0"),
            ["`ghcr.io/o/a:v0.4.0` is built here: expected the tag `v0.5.0`"]
        );
        // An unreadable image hides no disagreement.
        assert_eq!(
            messages(
                "0.5.0",
                fine,
                "ghcr.io/o/a:v0.4.0\n    build: ../a\n  b:\n    image: ${B}"
            ),
            ["`ghcr.io/o/a:v0.4.0` is built here: expected the tag `v0.5.0`"]
        );
        assert_eq!(messages("0.5", fine, "ghcr.io/o/a:v0.5.0").len(), 1);
        assert_eq!(
            messages("0.5.0", "# C\n", "ghcr.io/o/a:v0.5.0"),
            ["the newest section is for no version, but Cargo.toml has `0.5.0`"]
        );
        assert_eq!(
            messages("0.5.0", "## 0.5.0\n## 0.4.0\n- x\n", "ghcr.io/o/a:v0.5.0"),
            ["the changelog section for `0.5.0` is empty"]
        );
    }
}
