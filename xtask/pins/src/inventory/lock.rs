//! `.github/workflows/actions.lock`: the commits that GitHub runs for the actions of the listed workflows, in the
//! format `v0.0.2` of `gh actions-lock`. GitHub ignores the file for workflows that it does not list, so an entry
//! counts only where the file lists exactly the actions that a workflow uses. Reusable workflows are never in it.
//!
//! The format is a preview: unknown keys are warnings, missing ones are errors.

use std::collections::{BTreeMap, BTreeSet};

use super::collect::Collector;
use super::model::{Action, Commit, Dependency, Field, Occurrence, is_version};
use crate::edit::Location;
use crate::yaml::{self, Node};
use xtask_host::finding::Finding;
use xtask_host::source::Source;

/// The supported version of the format.
const VERSION: &str = "v0.0.2";
/// The required keys of a dependency.
const FIELDS: [&str; 4] = ["ref", "commit", "owner_id", "repo_id"];

/// A locked action.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// The commit.
    pub(super) commit: String,
    /// The branch or tag that the commit was resolved from.
    pub(super) reference: String,
    /// The place of the commit.
    pub(super) at: Location,
}

/// The lock file.
#[derive(Debug, Default)]
pub(super) struct Lock {
    /// By workflow: its place in the file, and its listed actions.
    workflows: BTreeMap<String, (Location, BTreeSet<String>)>,
    /// By `owner/repository@reference`.
    entries: BTreeMap<String, Entry>,
}

impl Lock {
    /// Reads the file. Adds findings for errors, and returns the valid rest.
    pub(super) fn read(source: &Source, into: &mut Collector) -> Self {
        let root = match yaml::parse(source) {
            Ok(root) => root,
            Err(finding) => {
                into.findings.push(*finding);
                return Self::default();
            }
        };
        let mut reader = Reader {
            source,
            into,
            lock: Self::default(),
        };
        reader.version(&root);
        let known = ["version", "workflows", "dependencies"];
        reader.unknown(&root, &known);
        let dependencies = root.get("dependencies").map_or(&[][..], Node::entries);
        let names: BTreeSet<&str> = dependencies
            .iter()
            .filter_map(|(name, _)| name.text())
            .collect();
        for (name, dependency) in dependencies {
            reader.dependency(name, dependency, &names);
        }
        for (path, uses) in root.get("workflows").map_or(&[][..], Node::entries) {
            reader.workflow(path, uses, &names);
        }
        reader.lock
    }

    /// The locked action `name`, if the file lists it for `workflow`.
    pub(super) fn entry(&self, workflow: &str, name: &str) -> Option<&Entry> {
        let (_, uses) = self.workflows.get(workflow)?;
        self.entries.get(name).filter(|_| uses.contains(name))
    }

    /// Compares the listed actions of `workflow` with those that it uses.
    pub(super) fn compare(
        &mut self,
        workflow: &str,
        used: &BTreeSet<String>,
        into: &mut Collector,
    ) {
        let Some((at, listed)) = self.workflows.remove(workflow) else {
            return;
        };
        for name in used.difference(&listed) {
            let message = format!(
                "`{name}` is missing from the list of `{workflow}`, so GitHub does not run it"
            );
            let finding = Finding::error("actions-lock", at.place.clone(), message);
            into.findings.push(finding.help("run `gh actions-lock`"));
        }
        // A warning, because actions of this repository may use them.
        for name in listed.difference(used) {
            let message = format!("no step of `{workflow}` uses `{name}`");
            let place = at.place.clone();
            into.findings
                .push(Finding::warning("actions-lock", place, message));
        }
    }

    /// Reports the listed workflows that do not exist, and adds the actions that other actions use: their commits run
    /// too.
    pub(super) fn finish(self, into: &mut Collector) {
        for (name, entry) in self.entries {
            let repository = name
                .split_once('@')
                .map_or("", |(repository, _)| repository);
            // Others have a branch or a moving tag, which upstream chose.
            if is_version(&entry.reference) {
                let dependency = Dependency::Action(Action {
                    repository: repository.to_owned(),
                    reference: entry.commit,
                    tag: Some(entry.reference),
                });
                let occurrence = Occurrence {
                    field: Field::Commit,
                    by: "lock file".to_owned(),
                    at: entry.at,
                };
                into.pin(dependency, [occurrence]);
            }
        }
        for (workflow, (at, _)) in self.workflows {
            let message = format!("the workflow `{workflow}` does not exist");
            let finding = Finding::error("actions-lock", at.place, message);
            into.findings.push(finding.help("run `gh actions-lock`"));
        }
    }
}

struct Reader<'a> {
    source: &'a Source,
    into: &'a mut Collector,
    lock: Lock,
}

impl Reader<'_> {
    fn version(&mut self, root: &Node) {
        match root.get("version") {
            Some(version) if version.text() == Some(VERSION) => {}
            Some(version) => {
                let message = format!("unknown version of the format: expected `{VERSION}`");
                self.warn(version, &message);
            }
            None => self.wrong(root, "`version` is missing"),
        }
    }

    fn unknown(&mut self, node: &Node, known: &[&str]) {
        for (key, _) in node.entries() {
            let name = key.text().unwrap_or_default();
            if !known.contains(&name) {
                self.warn(key, &format!("unknown key `{name}`"));
            }
        }
    }

    fn dependency(&mut self, name: &Node, node: &Node, names: &BTreeSet<&str>) {
        let text = name.text().unwrap_or_default();
        self.unknown(node, &[&FIELDS[..], &["uses"]].concat());
        let missing: Vec<&str> = FIELDS
            .into_iter()
            .filter(|field| node.get(field).is_none())
            .collect();
        if !missing.is_empty() {
            return self.wrong(name, &format!("`{text}` lacks `{}`", missing.join("`, `")));
        }
        for used in node.get("uses").map_or(&[][..], Node::items) {
            self.listed(used, names);
        }
        let commit = node.get("commit").and_then(|commit| {
            let span = yaml::text_span(self.source, commit)?;
            let hex = commit.text()?.strip_prefix("sha1-")?;
            hex.parse::<Commit>().ok()?;
            Some((hex.to_owned(), span.end - hex.len()..span.end))
        });
        let Some((commit, span)) = commit else {
            let place = node.get("commit").unwrap_or(node);
            return self.wrong(place, "expected `sha1-` and the 40 hex digits of a commit");
        };
        let pinned = text
            .split_once('@')
            .and_then(|(_, reference)| reference.parse::<Commit>().ok());
        if pinned.is_some_and(|pinned| pinned.to_string() != commit) {
            return self.wrong(name, &format!("`{text}` is locked to another commit"));
        }
        let reference = node.get("ref").and_then(Node::text).unwrap_or_default();
        let entry = Entry {
            commit,
            reference: reference.to_owned(),
            at: self.into.at(self.source, span),
        };
        self.lock.entries.insert(text.to_owned(), entry);
    }

    fn workflow(&mut self, path: &Node, uses: &Node, names: &BTreeSet<&str>) {
        let listed: BTreeSet<String> = uses
            .items()
            .iter()
            .filter_map(|used| self.listed(used, names))
            .collect();
        let at = self.into.at(self.source, path.span.clone());
        let path = path.text().unwrap_or_default().to_owned();
        self.lock.workflows.insert(path, (at, listed));
    }

    /// The name of a listed action, which must have an entry.
    fn listed(&mut self, used: &Node, names: &BTreeSet<&str>) -> Option<String> {
        let name = used.text().unwrap_or_default();
        if !names.contains(name) {
            self.wrong(used, &format!("`{name}` has no entry under `dependencies`"));
        }
        Some(name.to_owned())
    }

    fn wrong(&mut self, node: &Node, message: &str) {
        let at = self.into.at(self.source, node.span.clone());
        let finding = Finding::error("actions-lock", at.place, message);
        self.into
            .findings
            .push(finding.help("run `gh actions-lock`: GitHub ignores a file that it cannot read"));
    }

    fn warn(&mut self, node: &Node, message: &str) {
        let at = self.into.at(self.source, node.span.clone());
        self.into
            .findings
            .push(Finding::warning("actions-lock", at.place, message));
    }
}
