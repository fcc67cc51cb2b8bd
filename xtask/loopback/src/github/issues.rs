//! Issues with GitHub's rules, kept in `issues.json`.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::disk;
use super::refusal::Refusal;
use super::site::{Site, TIME};

/// The issues of the repository.
#[derive(Debug)]
pub(super) struct Issues {
    root: PathBuf,
    issues: Vec<StoredIssue>,
}

/// An issue.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StoredIssue {
    pub(super) number: usize,
    pub(super) title: String,
    pub(super) body: Option<String>,
    pub(super) open: bool,
    labels: Vec<String>,
    pub(super) comments: Vec<String>,
    /// The fields that a pull request has beyond those of an issue; GitHub numbers the two together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) pull: Option<StoredPull>,
}

/// The branches of a pull request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StoredPull {
    pub(super) head: String,
    pub(super) base: String,
    #[serde(default)]
    pub(super) merged: bool,
}

/// The fields of a request to create or change an issue.
#[derive(Debug, Default)]
struct IssueChange {
    title: Option<String>,
    body: Option<String>,
    labels: Option<Vec<String>>,
    open: Option<bool>,
}

impl IssueChange {
    /// Parses the body of a request; `new` if it creates an issue.
    fn parse(bytes: &[u8], new: bool) -> Result<Self, Refusal> {
        let mut change = Self::default();
        for (key, value) in object(bytes)? {
            match (key.as_str(), value) {
                ("title", Value::String(text)) => change.title = Some(text),
                ("body", Value::String(text)) => change.body = Some(text),
                ("labels", Value::Array(labels)) => {
                    let names = labels.iter().filter_map(Value::as_str);
                    change.labels = Some(names.map(str::to_owned).collect());
                }
                ("state", Value::String(state))
                    if !new && (state == "open" || state == "closed") =>
                {
                    change.open = Some(state == "open");
                }
                ("state_reason", Value::String(reason))
                    if !new
                        && matches!(reason.as_str(), "completed" | "not_planned" | "reopened") => {}
                (key, value) => return Err(not_permitted(key, &value)),
            }
        }
        Ok(change)
    }
}

impl Issues {
    /// The content of `root`, which may be empty.
    pub(super) fn open(root: &Path) -> io::Result<Self> {
        Ok(Self {
            root: root.to_owned(),
            issues: disk::read(&root.join("issues.json"))?,
        })
    }

    /// The issues in `state` that have all `labels`, newest first.
    pub(super) fn list(&self, state: &str, labels: &[&str]) -> Vec<&StoredIssue> {
        let wanted = |issue: &&StoredIssue| {
            let state = match state {
                "all" => true,
                "closed" => !issue.open,
                _ => issue.open,
            };
            state
                && labels
                    .iter()
                    .all(|label| issue.labels.iter().any(|own| own == label))
        };
        self.issues.iter().rev().filter(wanted).collect()
    }

    /// Makes an issue.
    pub(super) fn create(&mut self, bytes: &[u8]) -> Result<&StoredIssue, Refusal> {
        let change = IssueChange::parse(bytes, true)?;
        let Some(title) = change.title.filter(|title| !title.is_empty()) else {
            return Err(Refusal::validation("Issue", "missing_field", "title"));
        };
        self.add(title, change.body, change.labels.unwrap_or_default(), None)
    }

    /// Adds an issue, or a pull request.
    pub(super) fn add(
        &mut self,
        title: String,
        body: Option<String>,
        labels: Vec<String>,
        pull: Option<StoredPull>,
    ) -> Result<&StoredIssue, Refusal> {
        self.issues.push(StoredIssue {
            number: self.issues.len() + 1,
            title,
            body,
            open: true,
            labels,
            comments: Vec::new(),
            pull,
        });
        self.save()?;
        self.issues.last().ok_or(Refusal::not_found())
    }

    /// Changes an issue.
    pub(super) fn update(&mut self, number: u64, bytes: &[u8]) -> Result<&StoredIssue, Refusal> {
        let change = IssueChange::parse(bytes, false)?;
        let issue = self.issue(number)?;
        issue.title = change.title.unwrap_or_else(|| issue.title.clone());
        issue.body = change.body.or(issue.body.take());
        issue.labels = change.labels.unwrap_or_else(|| issue.labels.clone());
        issue.open = change.open.unwrap_or(issue.open);
        self.save()?;
        self.issue(number).map(|issue| &*issue)
    }

    /// Adds a comment to an issue; returns the number of comments, and its text.
    pub(super) fn comment(
        &mut self,
        number: u64,
        bytes: &[u8],
    ) -> Result<(usize, String), Refusal> {
        let fields = object(bytes)?;
        let body = fields.get("body").and_then(Value::as_str);
        let body = body.filter(|_| fields.len() == 1);
        let body = body.ok_or(Refusal::validation("IssueComment", "missing_field", "body"))?;
        let issue = self.issue(number)?;
        issue.comments.push(body.to_owned());
        let count = issue.comments.len();
        self.save()?;
        Ok((count, body.to_owned()))
    }

    pub(super) fn issue(&mut self, number: u64) -> Result<&mut StoredIssue, Refusal> {
        let mut issues = self.issues.iter_mut();
        issues
            .find(|issue| issue.number as u64 == number)
            .ok_or(Refusal::not_found())
    }

    fn save(&self) -> Result<(), Refusal> {
        Ok(disk::write(&self.root.join("issues.json"), &self.issues)?)
    }
}

/// The fields of the body of a request.
pub(super) fn object(bytes: &[u8]) -> Result<Map<String, Value>, Refusal> {
    match serde_json::from_slice(bytes) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(_) => Err(Refusal::invalid("the body is not an object")),
        Err(_) => Err(Refusal::not_json()),
    }
}

pub(super) fn not_permitted(key: &str, value: &Value) -> Refusal {
    Refusal::invalid(&format!(
        "For 'properties/{key}', {value} is not permitted."
    ))
}

impl Site {
    /// An issue, with every field that GitHub's description requires.
    pub(super) fn issue(&self, issue: &StoredIssue) -> Value {
        let Self {
            url, owner, repo, ..
        } = self;
        let number = issue.number;
        let api = format!("{url}/repos/{owner}/{repo}");
        let own = format!("{api}/issues/{number}");
        let mut fields = json!({
            "url": own,
            "repository_url": api,
            "labels_url": format!("{own}/labels{{/name}}"),
            "comments_url": format!("{own}/comments"),
            "events_url": format!("{own}/events"),
            "html_url": format!("{url}/{owner}/{repo}/issues/{number}"),
            "id": number,
            "node_id": format!("I_{number}"),
            "number": number,
            "title": issue.title,
            "body": issue.body,
            "user": self.user(),
            "labels": issue.labels.iter().map(|name| self.label(name)).collect::<Vec<_>>(),
            "state": if issue.open { "open" } else { "closed" },
            "state_reason": if issue.open { Value::Null } else { "completed".into() },
            "locked": false,
            "assignee": null,
            "assignees": [],
            "milestone": null,
            "comments": issue.comments.len(),
            "created_at": TIME,
            "updated_at": TIME,
            "closed_at": if issue.open { Value::Null } else { TIME.into() },
            "author_association": "NONE",
        });
        if issue.pull.is_some() {
            let page = format!("{url}/{owner}/{repo}/pull/{number}");
            fields["pull_request"] = json!({
                "url": format!("{api}/pulls/{number}"),
                "html_url": page,
                "diff_url": format!("{page}.diff"),
                "patch_url": format!("{page}.patch"),
            });
        }
        fields
    }

    fn label(&self, name: &str) -> Value {
        if self.plain_labels {
            return name.into();
        }
        let Self {
            url, owner, repo, ..
        } = self;
        json!({
            "id": 1,
            "node_id": "LA_1",
            "url": format!("{url}/repos/{owner}/{repo}/labels/{name}"),
            "name": name,
            "description": null,
            "color": "ededed",
            "default": false,
        })
    }

    /// The comment `id` of an issue.
    pub(super) fn comment(&self, number: u64, id: usize, body: &str) -> Value {
        let Self {
            url, owner, repo, ..
        } = self;
        let api = format!("{url}/repos/{owner}/{repo}");
        let page = format!("{url}/{owner}/{repo}/issues/{number}#issuecomment-{id}");
        json!({
            "id": id,
            "node_id": format!("IC_{id}"),
            "url": format!("{api}/issues/comments/{id}"),
            "html_url": page,
            "issue_url": format!("{api}/issues/{number}"),
            "body": body,
            "user": self.user(),
            "created_at": TIME,
            "updated_at": TIME,
            "author_association": "NONE",
        })
    }
}
