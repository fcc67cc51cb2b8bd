//! The facts of a release that its installers state, and their validation.

use minisign::PublicKey;
use polis_base::Digest;
use semver::Version;

use crate::name::{RELEASE_TARGETS, ReleaseKind};
use xtask_host::error::{Error, Result};

/// An archive of the CLI.
#[derive(Debug, Clone, Copy)]
pub struct Archive<'a> {
    /// Its target.
    pub triple: &'a str,
    /// Its file name: `polis-LABEL-TRIPLE.tar.gz`, or `.zip` for Windows.
    pub name: &'a str,
    /// Its SHA-256.
    pub sha256: &'a Digest,
}

/// The facts of a release once its archives are built.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// Its version.
    pub version: &'a Version,
    /// The version as shown in file names, from [`ReleaseKind::label`].
    pub label: &'a str,
    /// Its git tag.
    pub tag: &'a str,
    /// `https://HOST/OWNER/NAME`, with or without a trailing slash.
    pub repository: &'a str,
    /// The text of `minisign.pub`: two lines.
    pub public_key: &'a str,
    /// One per released target, in any order.
    pub archives: &'a [Archive<'a>],
}

/// Facts that have been validated.
pub(super) struct Checked<'a> {
    pub(super) label: &'a str,
    /// The trusted comment of the signature.
    pub(super) comment: String,
    pub(super) tag: &'a str,
    pub(super) repository: &'a str,
    pub(super) owner: &'a str,
    pub(super) name: &'a str,
    /// The directory of the assets.
    pub(super) base: String,
    /// The second line of the public key file.
    pub(super) key: &'a str,
    archives: Vec<Archive<'a>>,
}

impl<'a> Facts<'a> {
    /// # Errors
    /// Names the wrong fact.
    pub(super) fn check(&self) -> Result<Checked<'a>> {
        let kind = [ReleaseKind::Release, ReleaseKind::Rehearsal]
            .into_iter()
            .find(|kind| kind.label(self.version) == self.label);
        let kind = kind.ok_or_else(|| {
            wrong(
                "label",
                self.label,
                &format!("that of version {}", self.version),
            )
        })?;
        if !is_plain(self.tag) {
            return Err(wrong("tag", self.tag, "letters, digits and `.+-_`"));
        }
        let (repository, owner, name) = repository(self.repository)?;
        Ok(Checked {
            label: self.label,
            comment: kind.comment(self.version),
            tag: self.tag,
            repository,
            owner,
            name,
            base: format!("{repository}/releases/download/{}", self.tag),
            key: key(self.public_key)?,
            archives: self.archives()?,
        })
    }

    fn archives(&self) -> Result<Vec<Archive<'a>>> {
        let mut archives = self.archives.to_vec();
        archives.sort_by_key(|archive| archive.triple);
        for archive in &archives {
            let triple = archive.triple;
            if !RELEASE_TARGETS.contains(&triple) {
                return Err(wrong("target", triple, "one of a release"));
            }
            let end = if triple.contains("-windows-") {
                "zip"
            } else {
                "tar.gz"
            };
            let name = format!("polis-{}-{triple}.{end}", self.label);
            if archive.name != name {
                return Err(wrong("archive", archive.name, &format!("`{name}`")));
            }
        }
        if let Some(two) = archives
            .windows(2)
            .find(|two| two[0].triple == two[1].triple)
        {
            return Err(wrong(
                "target",
                two[0].triple,
                "one archive for it, not two",
            ));
        }
        if archives.is_empty() {
            return Err(wrong("archives", "none", "at least one"));
        }
        Ok(archives)
    }
}

impl<'a> Checked<'a> {
    pub(super) fn archive(&self, triple: &str) -> Option<&Archive<'a>> {
        self.archives
            .iter()
            .find(|archive| archive.triple == triple)
    }

    pub(super) fn targets(&self) -> Vec<&'a str> {
        self.archives.iter().map(|archive| archive.triple).collect()
    }

    /// Where the asset `name` is downloaded from.
    pub(super) fn url(&self, name: &str) -> String {
        format!("{}/{name}", self.base)
    }
}

/// The repository without its trailing slash, its owner and its name.
fn repository(url: &str) -> Result<(&str, &str, &str)> {
    let trimmed = url.trim_end_matches('/');
    let parts: Vec<&str> = trimmed.split('/').collect();
    match parts[..] {
        ["https:", "", host, owner, name]
            if [host, owner, name].into_iter().all(is_plain) && !owner.contains('.') =>
        {
            Ok((trimmed, owner, name))
        }
        _ => Err(wrong("repository", url, "https://HOST/OWNER/NAME")),
    }
}

/// The key in a public key file, which must have the two lines that minisign writes.
fn key(file: &str) -> Result<&str> {
    let failed = |because: &str| {
        Error::findings("the public key is not a minisign public key file")
            .because(because)
            .hint("use `minisign.pub` as `minisign -G` wrote it")
    };
    let lines: Vec<&str> = file.lines().collect();
    let [comment, key] = lines[..] else {
        return Err(failed("expected two lines"));
    };
    if !comment.starts_with("untrusted comment: ") {
        return Err(failed(
            "its first line does not begin with `untrusted comment: `",
        ));
    }
    let parsed = PublicKey::from_base64(key).map_err(|error| failed(&error.to_string()))?;
    // Some keys have several Base64 encodings; scripts compare with the canonical one.
    if parsed.to_base64() != key || !parsed.to_bytes().starts_with(b"Ed") {
        return Err(failed("its second line is not an Ed25519 key"));
    }
    Ok(key)
}

fn is_plain(text: &str) -> bool {
    !text.is_empty()
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || ".+-_".contains(c))
}

fn wrong(fact: &str, found: &str, expected: &str) -> Error {
    Error::findings(format!(
        "cannot make installers: {fact} `{found}`: expected {expected}"
    ))
}
