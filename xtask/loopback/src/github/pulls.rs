//! Requests for pull requests, which are issues with two branches.

use std::sync::PoisonError;

use axum::http::{Method, StatusCode};
use axum::response::Response;
use serde_json::{Map, Value, json};

use super::call::{Call, json, number};
use super::git::Git;
use super::issues::{StoredIssue, StoredPull, not_permitted, object};
use super::refusal::Refusal;
use super::site::{Site, TIME};
use crate::query;

impl Call<'_> {
    pub(super) fn pulls(&self, path: &[&str]) -> Result<Response, Refusal> {
        // Always lock in this order.
        let git = self.shared.git();
        let issues = &self.shared.issues;
        let mut issues = issues.lock().unwrap_or_else(PoisonError::into_inner);
        match path {
            [] if self.parts.method == Method::GET => {
                let asked = |key| query(&self.parts.uri, key);
                let state = asked("state").unwrap_or_default();
                let (head, base) = (asked("head"), asked("base"));
                let owner = format!("{}:", self.shared.owner);
                // GitHub ignores a filter that is not `OWNER:BRANCH`.
                let head = head.as_deref().and_then(|head| head.strip_prefix(&owner));
                let wanted = |pull: &StoredPull| {
                    head.is_none_or(|head| pull.head == head)
                        && base.as_ref().is_none_or(|base| pull.base == *base)
                };
                let found = issues.list(&state, &[]).into_iter();
                let found = found.filter(|issue| issue.pull.as_ref().is_some_and(wanted));
                self.page(found.map(|issue| self.site.pull(issue, &git)).collect())
            }
            _ if !self.trusted => Err(Refusal::requires_authentication()),
            [] if self.parts.method == Method::POST => {
                let (title, body, pull) = new(&object(self.body()?)?)?;
                let said = match (git.head(&pull.head), git.head(&pull.base)) {
                    (None, _) => return Err(Refusal::validation("PullRequest", "invalid", "head")),
                    (_, None) => return Err(Refusal::validation("PullRequest", "invalid", "base")),
                    (head, base) if head == base => Some(format!(
                        "No commits between {} and {}",
                        pull.base, pull.head
                    )),
                    _ => issues.list("open", &[]).into_iter().find_map(|issue| {
                        let other = issue.pull.as_ref()?;
                        let same = (&other.head, &other.base) == (&pull.head, &pull.base);
                        same.then(|| {
                            let owner = &self.shared.owner;
                            format!("A pull request already exists for {owner}:{}.", pull.head)
                        })
                    }),
                };
                if let Some(said) = said {
                    return Err(Refusal::custom("PullRequest", None, &said));
                }
                let made = issues.add(title, body, Vec::new(), Some(pull))?;
                Ok(json(StatusCode::CREATED, &self.site.whole_pull(made, &git)))
            }
            [id] if self.parts.method == Method::PATCH => {
                let id = number(id)?;
                let fields = object(self.body()?)?;
                if let Some((key, value)) = fields
                    .iter()
                    .find(|(key, _)| !matches!(key.as_str(), "title" | "body" | "state"))
                {
                    return Err(not_permitted(key, value));
                }
                if issues.issue(id)?.pull.is_none() {
                    return Err(Refusal::not_found());
                }
                let changed = issues.update(id, self.body()?)?;
                Ok(json(StatusCode::OK, &self.site.whole_pull(changed, &git)))
            }
            _ => Err(Refusal::not_found()),
        }
    }
}

/// The title, text and branches that a request asks for.
fn new(fields: &Map<String, Value>) -> Result<(String, Option<String>, StoredPull), Refusal> {
    let known = ["title", "body", "head", "base"];
    if let Some((key, value)) = fields
        .iter()
        .find(|(key, _)| !known.contains(&key.as_str()))
    {
        return Err(not_permitted(key, value));
    }
    let text = |key: &'static str| {
        let text = fields.get(key).and_then(Value::as_str).map(str::to_owned);
        text.ok_or(Refusal::validation("PullRequest", "missing_field", key))
    };
    let pull = StoredPull {
        head: text("head")?,
        base: text("base")?,
        merged: false,
    };
    Ok((text("title")?, text("body").ok(), pull))
}

impl Site {
    /// A pull request, as lists show it, with every field that GitHub's description requires.
    fn pull(&self, issue: &StoredIssue, git: &Git) -> Value {
        let Self {
            url, owner, repo, ..
        } = self;
        let number = issue.number;
        let api = format!("{url}/repos/{owner}/{repo}");
        let own = format!("{api}/pulls/{number}");
        let as_issue = format!("{api}/issues/{number}");
        let page = format!("{url}/{owner}/{repo}/pull/{number}");
        let none = StoredPull {
            head: String::new(),
            base: String::new(),
            merged: false,
        };
        let StoredPull { head, base, merged } = issue.pull.as_ref().unwrap_or(&none);
        let branch = |name: &str| {
            json!({
                "label": format!("{owner}:{name}"),
                "ref": name,
                "sha": git.head(name).unwrap_or_default(),
                "user": self.user(),
                "repo": self.repository(),
            })
        };
        let link = |tail: &str| json!({"href": format!("{own}{tail}")});
        let statuses = format!("{api}/statuses/{}", git.head(head).unwrap_or_default());
        json!({
            "url": own,
            "id": number,
            "node_id": format!("PR_{number}"),
            "html_url": page,
            "diff_url": format!("{page}.diff"),
            "patch_url": format!("{page}.patch"),
            "issue_url": as_issue,
            "commits_url": format!("{own}/commits"),
            "review_comments_url": format!("{own}/comments"),
            "review_comment_url": format!("{own}/comments{{/number}}"),
            "comments_url": format!("{as_issue}/comments"),
            "statuses_url": statuses,
            "number": number,
            "state": if issue.open { "open" } else { "closed" },
            "locked": false,
            "title": issue.title,
            "user": self.user(),
            "body": issue.body,
            "labels": [],
            "milestone": null,
            "created_at": TIME,
            "updated_at": TIME,
            "closed_at": if issue.open { Value::Null } else { TIME.into() },
            "merged_at": if *merged { TIME.into() } else { Value::Null },
            "merge_commit_sha": null,
            "assignee": null,
            "assignees": [],
            "head": branch(head),
            "base": branch(base),
            "_links": {
                "self": link(""),
                "html": {"href": page},
                "issue": {"href": as_issue},
                "comments": {"href": format!("{as_issue}/comments")},
                "review_comments": link("/comments"),
                "review_comment": link("/comments{/number}"),
                "commits": link("/commits"),
                "statuses": {"href": statuses},
            },
            "author_association": "NONE",
            "auto_merge": null,
        })
    }

    /// The same, with the fields that only its own URL returns.
    fn whole_pull(&self, issue: &StoredIssue, git: &Git) -> Value {
        let mut pull = self.pull(issue, git);
        let rest = json!({
            "merged": issue.pull.as_ref().is_some_and(|pull| pull.merged),
            "merged_by": null,
            "mergeable": null,
            "mergeable_state": "unknown",
            "maintainer_can_modify": false,
            "comments": issue.comments.len(),
            "review_comments": 0,
            "commits": 1,
            "additions": 1,
            "deletions": 1,
            "changed_files": 1,
        });
        if let (Value::Object(pull), Value::Object(rest)) = (&mut pull, rest) {
            pull.extend(rest);
        }
        pull
    }
}
