//! Requests for issues and workflow runs. Tests write the conclusions of runs to `runs.json`, newest first.

use std::sync::PoisonError;

use axum::http::{Method, StatusCode};
use axum::response::Response;
use serde_json::{Value, json};

use super::call::{Call, PAGE, json, number};
use super::disk;
use super::refusal::Refusal;
use super::site::{Site, TIME};
use super::tags::commit_of;
use crate::query;

impl Call<'_> {
    pub(super) fn issues(&self, path: &[&str]) -> Result<Response, Refusal> {
        let issues = &self.shared.issues;
        let mut issues = issues.lock().unwrap_or_else(PoisonError::into_inner);
        match path {
            [] if self.parts.method == Method::GET => {
                let asked = |key| query(&self.parts.uri, key);
                let labels = asked("labels").unwrap_or_default();
                let labels: Vec<&str> = labels
                    .split(',')
                    .filter(|label| !label.is_empty())
                    .collect();
                let state = asked("state").unwrap_or_default();
                let found = issues.list(&state, &labels);
                self.page(
                    found
                        .into_iter()
                        .map(|issue| self.site.issue(issue))
                        .collect(),
                )
            }
            _ if !self.trusted => Err(Refusal::requires_authentication()),
            [] if self.parts.method == Method::POST => {
                let created = self.site.issue(issues.create(self.body()?)?);
                Ok(json(StatusCode::CREATED, &created))
            }
            [id] if self.parts.method == Method::PATCH => {
                let changed = self.site.issue(issues.update(number(id)?, self.body()?)?);
                Ok(json(StatusCode::OK, &changed))
            }
            [id, "comments"] if self.parts.method == Method::POST => {
                let (count, body) = issues.comment(number(id)?, self.body()?)?;
                let comment = self.site.comment(number(id)?, count, &body);
                Ok(json(StatusCode::CREATED, &comment))
            }
            _ => Err(Refusal::not_found()),
        }
    }

    /// The runs of the only workflow.
    pub(super) fn runs(&self) -> Result<Response, Refusal> {
        let ends: Vec<String> = disk::read(&self.shared.root.join("runs.json"))?;
        let most = query(&self.parts.uri, "per_page").and_then(|text| text.parse().ok());
        let newest = ends.len();
        let runs = ends.iter().take(most.unwrap_or(PAGE.0)).enumerate();
        let runs: Vec<Value> = runs
            .map(|(place, end)| self.site.run(newest - place, end))
            .collect();
        let answer = json!({"total_count": newest, "workflow_runs": runs});
        Ok(json(StatusCode::OK, &answer))
    }
}

impl Site {
    /// The scheduled run `number` of a workflow with the conclusion `end`, with every field that
    /// GitHub's description requires.
    fn run(&self, number: usize, end: &str) -> Value {
        let Self {
            url, owner, repo, ..
        } = self;
        let api = format!("{url}/repos/{owner}/{repo}");
        let own = format!("{api}/actions/runs/{number}");
        let head = commit_of("main");
        let who = json!({"name": owner, "email": "author@example.com"});
        json!({
            "id": number,
            "name": "drift",
            "node_id": format!("WFR_{number}"),
            "head_branch": "main",
            "head_sha": head,
            "path": ".github/workflows/drift.yml@main",
            "run_number": number,
            "event": "schedule",
            "display_title": "drift",
            "status": "completed",
            "conclusion": end,
            "workflow_id": 1,
            "check_suite_id": number,
            "url": own,
            "html_url": format!("{url}/{owner}/{repo}/actions/runs/{number}"),
            "pull_requests": [],
            "created_at": TIME,
            "updated_at": TIME,
            "jobs_url": format!("{own}/jobs"),
            "logs_url": format!("{own}/logs"),
            "check_suite_url": format!("{api}/check-suites/{number}"),
            "artifacts_url": format!("{own}/artifacts"),
            "cancel_url": format!("{own}/cancel"),
            "rerun_url": format!("{own}/rerun"),
            "workflow_url": format!("{api}/actions/workflows/1"),
            "head_commit": {
                "id": head,
                "tree_id": commit_of("tree of main"),
                "message": "Move a pin",
                "timestamp": TIME,
                "author": who,
                "committer": who,
            },
            "repository": self.repository(),
            "head_repository": self.repository(),
        })
    }
}
