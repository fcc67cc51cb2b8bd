//! Requests for git objects of the served repository.

use std::collections::BTreeMap;

use axum::http::{Method, StatusCode};
use axum::response::Response;
use serde_json::{Value, json};

use super::call::{Call, json};
use super::git::{Commit, Git, Tree, tree_name};
use super::issues::object;
use super::refusal::Refusal;
use super::site::{Site, TIME};
use crate::query;

impl Call<'_> {
    /// Answers requests for git objects of the served repository.
    pub(super) fn git_data(&self, path: &[&str]) -> Result<Response, Refusal> {
        let mut git = self.shared.git();
        let site = &self.site;
        if self.is_get() {
            let found = match path {
                ["ref", "heads", branch @ ..] => {
                    let branch = branch.join("/");
                    git.head(&branch).map(|commit| site.branch(&branch, commit))
                }
                ["commits", name] => git
                    .objects
                    .commits
                    .get(*name)
                    .map(|commit| site.commit(name, commit)),
                ["trees", name] => {
                    let deep = query(&self.parts.uri, "recursive").is_some();
                    git.tree(name).map(|tree| site.tree(&git, name, tree, deep))
                }
                _ => None,
            };
            return Ok(json(StatusCode::OK, &found.ok_or(Refusal::not_found())?));
        }
        self.must_push()?;
        let fields = object(self.body()?)?;
        let made = match (path, self.parts.method == Method::POST) {
            (["trees"], true) => {
                let workflows = self.state().settings.workflows;
                let name = git.new_tree(&fields, workflows)?;
                let tree = git.tree(&name).ok_or(Refusal::not_found())?;
                site.tree(&git, &name, tree, false)
            }
            (["commits"], true) => {
                let name = git.new_commit(&fields)?;
                site.commit(&name, &git.objects.commits[&name])
            }
            (["refs"], true) => {
                let (branch, commit) = git.new_branch(&fields)?;
                site.branch(&branch, &commit)
            }
            (["refs", "heads", branch @ ..], false) if self.parts.method == Method::PATCH => {
                let branch = branch.join("/");
                let commit = git.move_branch(&branch, &fields)?;
                git.save()?;
                return Ok(json(StatusCode::OK, &site.branch(&branch, &commit)));
            }
            _ => return Err(Refusal::not_found()),
        };
        git.save()?;
        Ok(json(StatusCode::CREATED, &made))
    }
}

impl Site {
    fn git_api(&self) -> String {
        format!("{}/repos/{}/{}/git", self.url, self.owner, self.repo)
    }

    fn branch(&self, branch: &str, commit: &str) -> Value {
        let git = self.git_api();
        json!({
            "ref": format!("refs/heads/{branch}"),
            "node_id": format!("REF_{branch}"),
            "url": format!("{git}/refs/heads/{branch}"),
            "object": {"type": "commit", "sha": commit, "url": format!("{git}/commits/{commit}")},
        })
    }

    fn commit(&self, name: &str, commit: &Commit) -> Value {
        let git = self.git_api();
        let page = |name: &str| format!("{}/{}/{}/commit/{name}", self.url, self.owner, self.repo);
        let who = json!({"name": self.owner, "email": "committer@localhost", "date": TIME});
        let parents = commit.parents.iter().map(|parent| json!({"sha": parent, "url": format!("{git}/commits/{parent}"), "html_url": page(parent)}));
        json!({
            "sha": name,
            "node_id": format!("C_{name}"),
            "url": format!("{git}/commits/{name}"),
            "html_url": page(name),
            "author": who,
            "committer": who,
            "message": commit.message,
            "tree": {"sha": commit.tree, "url": format!("{git}/trees/{}", commit.tree)},
            "parents": parents.collect::<Vec<_>>(),
            "verification": {"verified": false, "reason": "unsigned", "signature": null, "payload": null, "verified_at": null},
        })
    }

    fn tree(&self, git: &Git, name: &str, tree: &Tree, deep: bool) -> Value {
        let mut directories = BTreeMap::new();
        let root = tree_name(tree, "", &mut directories);
        let api = self.git_api();
        let shown = |path: &&String| deep || !path.contains('/');
        let directories = directories.iter().filter(|(path, _)| shown(path)).map(|(path, sha)| {
            json!({"path": path, "mode": "040000", "type": "tree", "sha": sha, "url": format!("{api}/trees/{sha}")})
        });
        let files = tree.iter().filter(|(path, _)| shown(path)).map(|(path, (mode, sha))| {
            let size = git.objects.files.get(sha).map_or(0, String::len);
            json!({"path": path, "mode": mode, "type": "blob", "sha": sha, "size": size, "url": format!("{api}/blobs/{sha}")})
        });
        json!({
            "sha": root,
            "url": format!("{api}/trees/{name}"),
            "tree": directories.chain(files).collect::<Vec<_>>(),
            "truncated": false,
        })
    }
}
