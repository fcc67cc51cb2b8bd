//! Branches, trees and commits by GitHub's git data API: changes without a clone or a push.
//!
//! Commits are sent without author and committer, because GitHub signs the commits of an app only then ("Signature
//! verification for bots" in its documentation of commit signatures).

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};
use sha1::{Digest as _, Sha1};

use super::GitHub;
use crate::error::NetError;

/// The head of a branch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Branch {
    /// The object ID of the commit.
    pub commit: String,
    /// The object ID of its tree.
    pub tree: String,
    /// The commit message.
    pub message: String,
}

/// A file of a tree.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Entry {
    path: String,
    /// The mode in git's notation: `100644`.
    pub mode: String,
    /// The object ID.
    pub sha: String,
}

#[derive(Deserialize)]
struct Repository {
    default_branch: String,
}

#[derive(Deserialize)]
struct Reference {
    object: Named,
}

#[derive(Deserialize)]
struct Named {
    sha: String,
}

#[derive(Deserialize)]
struct Commit {
    message: String,
    tree: Named,
}

#[derive(Deserialize)]
struct Tree {
    tree: Vec<Entry>,
    truncated: bool,
}

/// The object ID that git gives to a file with these bytes.
pub fn blob_name(bytes: &[u8]) -> String {
    let head = format!("blob {}\0", bytes.len());
    let hash = Sha1::new().chain_update(head).chain_update(bytes);
    let hash = hash.finalize();
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl GitHub {
    /// The name of the default branch.
    ///
    /// # Errors
    /// `NotFound` if the token cannot see the repository, `Protocol` if the name cannot be part of a URL without
    /// escaping.
    pub async fn default_branch(&self) -> Result<String, NetError> {
        let url = self.url("");
        let Repository { default_branch } = self.get(&url).await?;
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
        match !default_branch.is_empty() && default_branch.chars().all(plain) {
            true => Ok(default_branch),
            false => Err(NetError::protocol(
                url,
                "invalid name of the default branch",
            )),
        }
    }

    /// The head of the branch `name`; `None` if it does not exist.
    ///
    /// # Errors
    /// As every request.
    pub async fn branch(&self, name: &str) -> Result<Option<Branch>, NetError> {
        let url = self.url(&format!("/git/ref/heads/{name}"));
        let reference: Reference = match self.get(&url).await {
            Err(error) if error.is_not_found() => return Ok(None),
            reference => reference?,
        };
        let commit = object_name(&url, reference.object.sha)?;
        let url = self.url(&format!("/git/commits/{commit}"));
        let Commit { message, tree } = self.get(&url).await?;
        Ok(Some(Branch {
            commit,
            tree: object_name(&url, tree.sha)?,
            message,
        }))
    }

    /// The files and directories of the tree `tree`, by path.
    ///
    /// # Errors
    /// `Protocol` if GitHub truncates the list.
    pub async fn entries(&self, tree: &str) -> Result<BTreeMap<String, Entry>, NetError> {
        let url = self.url(&format!("/git/trees/{tree}?recursive=1"));
        let Tree { tree, truncated } = self.get(&url).await?;
        if truncated {
            return Err(NetError::protocol(
                &url,
                "the list of the tree is incomplete",
            ));
        }
        let by_path = tree.into_iter().map(|entry| (entry.path.clone(), entry));
        Ok(by_path.collect())
    }

    /// Creates a tree from `base` with `files` changed (path, mode and text); returns its object ID.
    ///
    /// # Errors
    /// `Unauthorised` if the token may not write, or if `files` contains a workflow that it may not change.
    pub async fn create_tree<'a>(
        &self,
        base: &str,
        files: impl IntoIterator<Item = (&'a str, &'a str, &'a str)>,
    ) -> Result<String, NetError> {
        let entry = |(path, mode, text): (&str, &str, &str)| json!({"path": path, "mode": mode, "type": "blob", "content": text});
        let files: Vec<Value> = files.into_iter().map(entry).collect();
        let new = json!({"base_tree": base, "tree": files});
        self.named("/git/trees", &new).await
    }

    /// Creates a commit of `tree` on `parent`; returns its object ID.
    ///
    /// # Errors
    /// As every request.
    pub async fn create_commit(
        &self,
        message: &str,
        tree: &str,
        parent: &str,
    ) -> Result<String, NetError> {
        let new = json!({"message": message, "tree": tree, "parents": [parent]});
        self.named("/git/commits", &new).await
    }

    /// Creates the branch `name` at `commit`, or force-moves it there if it `exists`.
    ///
    /// # Errors
    /// `Rejected` if `exists` is wrong.
    pub async fn set_branch(&self, name: &str, commit: &str, exists: bool) -> Result<(), NetError> {
        if !exists {
            let new = json!({"ref": format!("refs/heads/{name}"), "sha": commit});
            return self.post::<Value>("/git/refs", &new).await.map(drop);
        }
        let url = self.url(&format!("/git/refs/heads/{name}"));
        let change = json!({"sha": commit, "force": true});
        self.patch(&url, &change).await.map(drop)
    }

    async fn named(&self, tail: &str, new: &Value) -> Result<String, NetError> {
        let Named { sha } = self.post(tail, new).await?;
        object_name(&self.url(tail), sha)
    }
}

/// `text`, if it is an object ID, which is safe to use in URLs.
fn object_name(url: &str, text: String) -> Result<String, NetError> {
    match text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        true => Ok(text),
        false => Err(NetError::protocol(url, "expected a git object id")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blob_has_the_object_id_of_git() {
        // Computed by `printf 'a
        // ' | git hash-object --stdin`.
        let name = "78981922613b2afb6025042ff6bd878ac1994e85";
        assert_eq!(blob_name(b"a\n"), name);
    }

    #[test]
    fn only_an_object_id_is_used_in_urls() {
        let whole = "0123456789abcdef0123456789abcdef01234567";
        assert!(object_name("u", whole.to_owned()).is_ok());
        for text in ["", &whole[1..], "../../../user/repos?0123456789abcdef01234"] {
            assert!(object_name("u", text.to_owned()).is_err(), "{text}");
        }
    }
}
