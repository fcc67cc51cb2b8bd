//! `.github/workflows/actions.lock`: the commits that GitHub runs for the actions of the workflows listed in it, in the
//! format `v0.0.2` of `gh actions-lock`. GitHub ignores a workflow that the file does not list, so the file alone says
//! nothing: it counts for a workflow where it lists exactly what that one uses. Reusable workflows are not in it.
//!
//! The format is a preview: what is new in it is a warning, and what is missing in it an error.

use std::collections::{BTreeMap, BTreeSet};

use super::collect::Collector;
use super::model::{Action, Commit, Part, Use, What, is_version};
use crate::edit::At;
use crate::yaml::{self, Node};
use xtask_host::finding::Finding;
use xtask_host::source::Source;

/// The version of the format that is read here.
const VERSION: &str = "v0.0.2";
/// What each dependency must have.
const FIELDS: [&str; 4] = ["ref", "commit", "owner_id", "repo_id"];

/// A commit in the file, and what it is for.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// The commit.
    pub(super) commit: String,
    /// The branch or tag that it was taken from.
    pub(super) reference: String,
    /// Where the commit stands.
    pub(super) at: At,
}

/// The lock file.
#[derive(Debug, Default)]
pub(super) struct Lock {
    /// By workflow, where it is listed and what it is said to use.
    workflows: BTreeMap<String, (At, BTreeSet<String>)>,
    /// By `owner/repository@reference`.
    entries: BTreeMap<String, Entry>,
}

impl Lock {
    /// Reads the file; what is wrong with it is a finding, and what remains counts.
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

    /// What `workflow` runs for `name`: an entry counts only where the workflow is listed with it.
    pub(super) fn entry(&self, workflow: &str, name: &str) -> Option<&Entry> {
        let (_, uses) = self.workflows.get(workflow)?;
        self.entries.get(name).filter(|_| uses.contains(name))
    }

    /// Compares what the file lists of `workflow` with what that one uses.
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
            let message =
                format!("the list of `{workflow}` lacks `{name}`, so GitHub does not run it");
            let finding = Finding::error("actions-lock", at.place.clone(), message);
            into.findings.push(finding.help("run `gh actions-lock`"));
        }
        // Actions of this repository may use them.
        for name in listed.difference(used) {
            let message = format!("no step of `{workflow}` uses `{name}`");
            let place = at.place.clone();
            into.findings
                .push(Finding::warning("actions-lock", place, message));
        }
    }

    /// Reports the workflows that were listed and never compared, as they are not there, and adds what actions use in
    /// turn: these commits run too.
    pub(super) fn finish(self, into: &mut Collector) {
        for (name, entry) in self.entries {
            let repository = name
                .split_once('@')
                .map_or("", |(repository, _)| repository);
            // Others name a branch or a moving tag, which upstream chose.
            if is_version(&entry.reference) {
                let what = What::Action(Action {
                    repository: repository.to_owned(),
                    reference: entry.commit,
                    tag: Some(entry.reference),
                });
                let a_use = Use {
                    part: Part::Commit,
                    by: "lock file".to_owned(),
                    at: entry.at,
                };
                into.pin(what, [a_use]);
            }
        }
        for (workflow, (at, _)) in self.workflows {
            let message = format!("there is no workflow `{workflow}`");
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
                let message =
                    format!("this version of the format is not known here, only `{VERSION}`");
                self.warn(version, &message);
            }
            None => self.wrong(root, "no `version` is named"),
        }
    }

    fn unknown(&mut self, node: &Node, known: &[&str]) {
        for (key, _) in node.entries() {
            let name = key.text().unwrap_or_default();
            if !known.contains(&name) {
                self.warn(key, &format!("`{name}` is not known here"));
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
            return self.wrong(place, "expected `sha1-` and the 40 digits of a commit");
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

    /// A name in a list, which must have an entry.
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
            .push(finding.help("run `gh actions-lock`; GitHub ignores what it cannot read"));
    }

    fn warn(&mut self, node: &Node, message: &str) {
        let at = self.into.at(self.source, node.span.clone());
        self.into
            .findings
            .push(Finding::warning("actions-lock", at.place, message));
    }
}
