//! The git tags, of the served repository and of others, kept in `tags.json`: by `OWNER/REPOSITORY
//! TAG` a commit (a lightweight tag) or `{"object", "commit"}` (an annotated one).
//!
//! The file is read for each request, so that a test may write to it while the server runs.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha1::{Digest as _, Sha1};

use super::disk;
use super::refusal::Refusal;
use super::site::{Site, TIME};

/// The tagger of tags made here.
const TAGGER: (&str, &str) = ("Tagger", "tagger@localhost");

/// A tag.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Tag {
    /// Names the commit directly.
    Lightweight(String),
    /// Names a tag object that names the commit.
    Annotated {
        /// The name of the object.
        object: String,
        /// The commit.
        commit: String,
    },
}

impl Tag {
    /// An annotated tag with the object ID that git would compute.
    pub(super) fn annotated(tag: &str, commit: &str) -> Self {
        let (name, mail) = TAGGER;
        let text = format!(
            "object {commit}\ntype commit\ntag {tag}\ntagger {name} <{mail}> 0 +0000\n\n{tag}\n"
        );
        Self::Annotated {
            object: sha1(format!("tag {}\0{text}", text.len())),
            commit: commit.to_owned(),
        }
    }

    fn commit(&self) -> &str {
        match self {
            Self::Lightweight(commit) | Self::Annotated { commit, .. } => commit,
        }
    }

    /// The type and ID of the object that the tag names.
    fn object(&self) -> (&'static str, &str) {
        match self {
            Self::Lightweight(commit) => ("commit", commit),
            Self::Annotated { object, .. } => ("tag", object),
        }
    }

    /// The ID of the object that the tag names.
    pub(super) fn sha(&self) -> &str {
        self.object().1
    }
}

/// The tags on disk.
#[derive(Debug)]
pub(super) struct Tags {
    path: PathBuf,
}

impl Tags {
    pub(super) fn open(root: &Path) -> Self {
        Self {
            path: root.join("tags.json"),
        }
    }

    fn all(&self) -> io::Result<BTreeMap<String, Tag>> {
        disk::read(&self.path)
    }

    /// `tag` of `repository` (`owner/name`).
    pub(super) fn get(&self, repository: &str, tag: &str) -> io::Result<Option<Tag>> {
        Ok(self.all()?.remove(&format!("{repository} {tag}")))
    }

    /// The tags of `repository`, by their names.
    fn of(&self, repository: &str) -> io::Result<BTreeMap<String, Tag>> {
        let named = self.all()?.into_iter().filter_map(|(name, tag)| {
            let name = name.strip_prefix(repository)?.strip_prefix(' ')?;
            Some((name.to_owned(), tag))
        });
        Ok(named.collect())
    }

    /// The name and value of the annotated tag of `repository` with the object `sha`.
    fn by_object(&self, repository: &str, sha: &str) -> io::Result<Option<(String, Tag)>> {
        let tags = self.of(repository)?.into_iter();
        let mut annotated = tags.filter(|(_, tag)| matches!(tag, Tag::Annotated { .. }));
        Ok(annotated.find(|(_, tag)| tag.sha() == sha))
    }

    /// Creates, moves or (without `value`) deletes `tag` of `repository`.
    pub(super) fn set(&self, repository: &str, tag: &str, value: Option<Tag>) -> io::Result<()> {
        let mut tags = self.all()?;
        let name = format!("{repository} {tag}");
        match value {
            Some(value) => drop(tags.insert(name, value)),
            None => drop(tags.remove(&name)),
        }
        disk::write(&self.path, &tags)
    }
}

/// The commit on which GitHub creates a tag for `reference`: the commit itself, or the invented head of a branch.
pub(super) fn commit_of(reference: &str) -> String {
    let full = reference.len() == 40 && reference.bytes().all(|byte| byte.is_ascii_hexdigit());
    match full {
        true => reference.to_ascii_lowercase(),
        false => sha1(format!("branch {reference}")),
    }
}

/// The SHA-1 of `text`, as in git object IDs.
pub(super) fn sha1(text: impl AsRef<[u8]>) -> String {
    let hash = Sha1::digest(text.as_ref());
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Site {
    /// The answer to `git/ref/tags/TAG`.
    pub(super) fn tag_ref(
        &self,
        tags: &Tags,
        repository: &str,
        name: &str,
    ) -> Result<Value, Refusal> {
        let tag = tags.get(repository, name)?.ok_or(Refusal::not_found())?;
        let git = format!("{}/repos/{repository}/git", self.url);
        let (kind, sha) = tag.object();
        Ok(json!({
            "ref": format!("refs/tags/{name}"),
            "node_id": format!("REF_{name}"),
            "url": format!("{git}/refs/tags/{name}"),
            "object": {"type": kind, "sha": sha, "url": format!("{git}/{kind}s/{sha}")},
        }))
    }

    /// The answer to the list of tags, in descending order of names.
    pub(super) fn tag_list(&self, tags: &Tags, repository: &str) -> Result<Vec<Value>, Refusal> {
        let api = format!("{}/repos/{repository}", self.url);
        let tags = tags.of(repository)?.into_iter().rev();
        let entry = |(name, tag): (String, Tag)| {
            let commit = tag.commit();
            json!({
                "name": name,
                "node_id": format!("REF_{name}"),
                "commit": {"sha": commit, "url": format!("{api}/commits/{commit}")},
                "tarball_url": format!("{api}/tarball/refs/tags/{name}"),
                "zipball_url": format!("{api}/zipball/refs/tags/{name}"),
            })
        };
        Ok(tags.map(entry).collect())
    }

    /// The answer to `git/tags/SHA`.
    pub(super) fn tag_object(
        &self,
        tags: &Tags,
        repository: &str,
        sha: &str,
    ) -> Result<Value, Refusal> {
        let found = tags.by_object(repository, sha)?;
        let Some((name, Tag::Annotated { object, commit })) = found else {
            return Err(Refusal::not_found());
        };
        let git = format!("{}/repos/{repository}/git", self.url);
        let (tagger, mail) = TAGGER;
        Ok(json!({
            "node_id": format!("TA_{object}"),
            "tag": name,
            "sha": object,
            "url": format!("{git}/tags/{object}"),
            "message": format!("{name}\n"),
            "tagger": {"name": tagger, "email": mail, "date": TIME},
            "object": {"type": "commit", "sha": commit, "url": format!("{git}/commits/{commit}")},
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_annotated_tag_has_the_object_id_of_git() {
        // By `git hash-object -t tag --stdin` over the same text.
        let tag = Tag::annotated("v0.5.0", "0123456789012345678901234567890123456789");
        assert_eq!(
            tag.object(),
            ("tag", "41d502d6edb96abd8d6a9bb886505f6978420efd")
        );
        assert_eq!(commit_of("main"), commit_of("main"));
        assert_ne!(commit_of("main"), commit_of("next"));
    }
}
