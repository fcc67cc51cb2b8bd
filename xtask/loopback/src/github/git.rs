//! Branches, commits, trees and files of the served repository with the names that git gives them, kept in `git.json`.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::disk;
use super::issues::not_permitted;
use super::refusal::Refusal;
use super::tags::sha1;

/// The directory that only tokens with workflow permission may change.
const WORKFLOWS: &str = ".github/workflows/";

/// A flat tree: the mode and object ID of each file by path.
pub(super) type Tree = BTreeMap<String, (String, String)>;

/// What a commit says.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Commit {
    pub(super) message: String,
    pub(super) tree: String,
    pub(super) parents: Vec<String>,
}

/// All objects and branches, by their names.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Objects {
    pub(super) files: BTreeMap<String, String>,
    pub(super) trees: BTreeMap<String, Tree>,
    pub(super) commits: BTreeMap<String, Commit>,
    pub(super) branches: BTreeMap<String, String>,
}

/// The git side of the repository.
#[derive(Debug)]
pub(super) struct Git {
    path: PathBuf,
    pub(super) objects: Objects,
}

impl Git {
    /// The content of `root`, which may be empty.
    pub(super) fn open(root: &Path) -> io::Result<Self> {
        let path = root.join("git.json");
        let objects = disk::read(&path)?;
        Ok(Self { path, objects })
    }

    /// Commits `files` and nothing else on `branch`.
    pub(super) fn push(
        &mut self,
        branch: &str,
        message: &str,
        files: &BTreeMap<String, (&str, String)>,
    ) -> io::Result<String> {
        let tree = files.iter().map(|(path, (mode, text))| {
            let file = self.add_file(text.clone());
            (path.clone(), ((*mode).to_owned(), file))
        });
        let tree = tree.collect();
        let commit = Commit {
            message: message.to_owned(),
            tree: self.add_tree(tree),
            parents: self
                .objects
                .branches
                .get(branch)
                .cloned()
                .into_iter()
                .collect(),
        };
        let name = self.add_commit(commit);
        self.objects
            .branches
            .insert(branch.to_owned(), name.clone());
        disk::write(&self.path, &self.objects)?;
        Ok(name)
    }

    /// The files of the commit that `branch` names.
    pub(super) fn files(&self, branch: &str) -> BTreeMap<String, (String, String)> {
        let tree = self.head(branch).and_then(|commit| self.tree(commit));
        let files = tree.into_iter().flatten().map(|(path, (mode, file))| {
            let text = self.objects.files.get(file).cloned().unwrap_or_default();
            (path.clone(), (mode.clone(), text))
        });
        files.collect()
    }

    /// The commit that `branch` names.
    pub(super) fn head(&self, branch: &str) -> Option<&str> {
        self.objects.branches.get(branch).map(String::as_str)
    }

    /// The tree of `name`, a tree or a commit.
    pub(super) fn tree(&self, name: &str) -> Option<&Tree> {
        let commit = self.objects.commits.get(name);
        let tree = commit.map_or(name, |commit| commit.tree.as_str());
        self.objects.trees.get(tree)
    }

    /// Whether `old` is `new` or an ancestor of it.
    fn leads_to(&self, old: &str, new: &str) -> bool {
        let mut open = vec![new];
        while let Some(name) = open.pop() {
            if name == old {
                return true;
            }
            let commit = self.objects.commits.get(name);
            open.extend(
                commit
                    .into_iter()
                    .flat_map(|commit| commit.parents.iter().map(String::as_str)),
            );
        }
        false
    }

    fn add_file(&mut self, text: String) -> String {
        let name = sha1(format!("blob {}\0{text}", text.len()));
        self.objects.files.insert(name.clone(), text);
        name
    }

    fn add_tree(&mut self, tree: Tree) -> String {
        let name = tree_name(&tree, "", &mut BTreeMap::new());
        self.objects.trees.insert(name.clone(), tree);
        name
    }

    fn add_commit(&mut self, commit: Commit) -> String {
        let parents: String = commit
            .parents
            .iter()
            .map(|parent| format!("parent {parent}\n"))
            .collect();
        let who = "Committer <committer@localhost> 0 +0000";
        let Commit { tree, message, .. } = &commit;
        let text = format!("tree {tree}\n{parents}author {who}\ncommitter {who}\n\n{message}");
        let name = sha1(format!("commit {}\0{text}", text.len()));
        self.objects.commits.insert(name.clone(), commit);
        name
    }

    pub(super) fn save(&self) -> Result<(), Refusal> {
        Ok(disk::write(&self.path, &self.objects)?)
    }
}

/// The name of the directory `dir` of `tree` (with a slash at its end, unless it is the top), as git hashes it; `found`
/// gets the names of those below it.
pub(super) fn tree_name(tree: &Tree, dir: &str, found: &mut BTreeMap<String, String>) -> String {
    // git sorts a directory as if its name had a slash at the end.
    let mut entries: BTreeMap<String, (String, String)> = BTreeMap::new();
    for (path, (mode, file)) in tree.iter().filter(|(path, _)| path.starts_with(dir)) {
        let rest = &path[dir.len()..];
        match rest.split_once('/') {
            None => drop(entries.insert(rest.to_owned(), (mode.clone(), file.clone()))),
            Some((name, _)) if !entries.contains_key(&format!("{name}/")) => {
                let below = tree_name(tree, &format!("{dir}{name}/"), found);
                found.insert(format!("{dir}{name}"), below.clone());
                entries.insert(format!("{name}/"), ("40000".to_owned(), below));
            }
            Some(_) => {}
        }
    }
    let mut bytes = Vec::new();
    for (name, (mode, object)) in &entries {
        bytes.extend(format!("{mode} {}\0", name.trim_end_matches('/')).as_bytes());
        let digits = object.as_bytes().chunks(2);
        let digits =
            digits.filter_map(|two| u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok());
        bytes.extend(digits);
    }
    sha1([format!("tree {}\0", bytes.len()).as_bytes(), &bytes].concat())
}

type Fields = serde_json::Map<String, Value>;

/// Refuses fields other than `known`, and returns the text of the first of them, which is required.
fn read<'a>(fields: &'a Fields, known: &[&str]) -> Result<&'a str, Refusal> {
    if let Some((key, value)) = fields
        .iter()
        .find(|(key, _)| !known.contains(&key.as_str()))
    {
        return Err(not_permitted(key, value));
    }
    let first = fields.get(known[0]).and_then(Value::as_str);
    first.ok_or(Refusal::invalid(&format!(
        "\"{}\" wasn't supplied.",
        known[0]
    )))
}

impl Git {
    pub(super) fn new_tree(&mut self, fields: &Fields, workflows: bool) -> Result<String, Refusal> {
        let base = read(fields, &["base_tree", "tree"])?;
        let mut tree = self.tree(base).cloned().ok_or(Refusal::not_found())?;
        let files = fields.get("tree").and_then(Value::as_array);
        for file in files.ok_or(Refusal::invalid("\"tree\" wasn't supplied."))? {
            let Value::Object(file) = file else {
                return Err(Refusal::invalid("a file is not an object"));
            };
            let path = read(file, &["path", "mode", "type", "content"])?;
            let text = |key| file.get(key).and_then(Value::as_str);
            let (Some(mode @ ("100644" | "100755")), Some("blob"), Some(content)) =
                (text("mode"), text("type"), text("content"))
            else {
                return Err(Refusal::unprocessable("Must supply a valid tree.mode"));
            };
            // As the `GITHUB_TOKEN` of a workflow has seen it in 2025 and 2026.
            if path.starts_with(WORKFLOWS) && !workflows {
                return Err(Refusal::forbidden());
            }
            let name = self.add_file(content.to_owned());
            tree.insert(path.to_owned(), (mode.to_owned(), name));
        }
        Ok(self.add_tree(tree))
    }

    pub(super) fn new_commit(&mut self, fields: &Fields) -> Result<String, Refusal> {
        let message = read(fields, &["message", "tree", "parents"])?;
        let tree = fields
            .get("tree")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let parents = fields.get("parents").and_then(Value::as_array);
        let parents = parents.into_iter().flatten().filter_map(Value::as_str);
        let parents: Vec<String> = parents.map(str::to_owned).collect();
        let known = parents
            .iter()
            .all(|name| self.objects.commits.contains_key(name));
        if !known || !self.objects.trees.contains_key(tree) {
            return Err(Refusal::unprocessable(
                "Tree SHA or a parent does not exist",
            ));
        }
        Ok(self.add_commit(Commit {
            message: message.to_owned(),
            tree: tree.to_owned(),
            parents,
        }))
    }

    pub(super) fn new_branch(&mut self, fields: &Fields) -> Result<(String, String), Refusal> {
        let name = read(fields, &["ref", "sha"])?;
        let branch = name.strip_prefix("refs/heads/");
        let branch = branch.ok_or(Refusal::unprocessable(
            "Reference name must start with refs/heads/",
        ))?;
        let commit = self.named_commit(fields)?;
        if self.head(branch).is_some() {
            return Err(Refusal::unprocessable("Reference already exists"));
        }
        self.objects
            .branches
            .insert(branch.to_owned(), commit.clone());
        Ok((branch.to_owned(), commit))
    }

    pub(super) fn move_branch(&mut self, branch: &str, fields: &Fields) -> Result<String, Refusal> {
        read(fields, &["sha", "force"])?;
        let commit = self.named_commit(fields)?;
        let old = self
            .head(branch)
            .ok_or(Refusal::unprocessable("Reference does not exist"))?;
        let forced = fields.get("force") == Some(&Value::Bool(true));
        if !forced && !self.leads_to(old, &commit) {
            return Err(Refusal::unprocessable("Update is not a fast forward"));
        }
        self.objects
            .branches
            .insert(branch.to_owned(), commit.clone());
        Ok(commit)
    }

    fn named_commit(&self, fields: &Fields) -> Result<String, Refusal> {
        let name = fields
            .get("sha")
            .and_then(Value::as_str)
            .unwrap_or_default();
        match self.objects.commits.contains_key(name) {
            true => Ok(name.to_owned()),
            false => Err(Refusal::unprocessable("Object does not exist")),
        }
    }
}
