//! Keeps one issue of a repository up to date across runs, and reads how the runs of a workflow ended.

use http::Method;
use octocrab::Octocrab;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::json;

use super::{MOST_PAGES, PAGE, Token, call, connect};
use crate::endpoint::Endpoints;
use crate::error::NetError;
use crate::retry::RetryPolicy;
use crate::retry::retry;

/// Finds, creates, updates and closes the issue with one marker in one repository.
///
/// An issue is ours if it has our label, which narrows the list, and our marker in its body, which is unlikely to be
/// typed by accident. People may change titles.
pub struct Tracker {
    crab: Octocrab,
    repository: String,
    policy: RetryPolicy,
    label: &'static str,
    marker: &'static str,
}

/// An open issue.
#[derive(Debug, Clone, Deserialize)]
pub struct Issue {
    /// Its number on GitHub.
    pub number: u64,
    /// The URL of its page.
    #[serde(rename = "html_url")]
    pub url: String,
    /// Its text, in Markdown.
    #[serde(default, deserialize_with = "text")]
    pub body: String,
    #[serde(default)]
    labels: Vec<Label>,
    pull_request: Option<IgnoredAny>,
}

/// GitHub's API description allows both forms.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum Label {
    Name(String),
    Whole { name: Option<String> },
}

impl Label {
    fn is(&self, wanted: &str) -> bool {
        match self {
            Self::Name(name) => name == wanted,
            Self::Whole { name } => name.as_deref() == Some(wanted),
        }
    }
}

#[derive(Deserialize)]
struct WorkflowRuns {
    workflow_runs: Vec<WorkflowRun>,
}

#[derive(Deserialize)]
struct WorkflowRun {
    conclusion: Option<String>,
}

/// GitHub writes `null` for an empty text.
fn text<'de, D: serde::Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    Option::<String>::deserialize(from).map(Option::unwrap_or_default)
}

impl Tracker {
    /// A client for the issue with `label` and `marker` in `repository` (`owner/name`). Call it inside a tokio runtime.
    ///
    /// # Errors
    /// If an address is not acceptable.
    pub fn new(
        endpoints: &Endpoints,
        repository: &str,
        token: Option<&Token>,
        label: &'static str,
        marker: &'static str,
    ) -> Result<Self, NetError> {
        let (crab, api, _) = connect(endpoints, token)?;
        Ok(Self {
            crab,
            repository: format!("{api}repos/{repository}"),
            policy: endpoints.retry_policy(),
            label,
            marker,
        })
    }

    /// The open issue, or the oldest if somebody has copied it.
    ///
    /// # Errors
    /// If the list cannot be read.
    pub async fn open(&self) -> Result<Option<Issue>, NetError> {
        let mut found: Option<Issue> = None;
        for page in 1..=MOST_PAGES {
            let url = format!(
                "{}/issues?state=open&labels={}&per_page={PAGE}&page={page}",
                self.repository, self.label
            );
            let issues: Vec<Issue> = self.get(&url).await?;
            let full = issues.len() == usize::from(PAGE);
            let ours =
                |issue: &Issue| issue.pull_request.is_none() && issue.body.contains(self.marker);
            let oldest = issues.into_iter().filter(ours).chain(found.take());
            found = oldest.min_by_key(|issue| issue.number);
            if !full {
                break;
            }
        }
        Ok(found)
    }

    /// Creates the issue. Never retried, because after a lost response the issue may exist; the next run then finds it.
    ///
    /// # Errors
    /// If GitHub refuses or does not respond; `Unauthorised` if it drops the label, as it does if the token may not set
    /// labels.
    pub async fn create(&self, title: &str, body: &str) -> Result<Issue, NetError> {
        let url = format!("{}/issues", self.repository);
        let new = json!({"title": title, "body": self.marked(body), "labels": [self.label]});
        let post = (Method::POST, url.as_str());
        let issue: Issue = call::json(&self.crab, self.policy, post, Some(&new)).await?;
        match issue.labels.iter().any(|label| label.is(self.label)) {
            true => Ok(issue),
            false => {
                let reason = format!(
                    "created without the label `{}`; add it manually",
                    self.label
                );
                Err(NetError::unauthorised(issue.url, reason))
            }
        }
    }

    /// Replaces the text of `issue` by `body`; returns whether it has changed.
    ///
    /// # Errors
    /// If GitHub refuses or does not respond.
    pub async fn update(&self, issue: &Issue, body: &str) -> Result<bool, NetError> {
        let body = self.marked(body);
        // Text edited in a browser has CRLF line ends.
        if issue.body.replace("\r\n", "\n") == body {
            return Ok(false);
        }
        self.patch(issue, json!({"body": body}))
            .await
            .map(|()| true)
    }

    /// Closes `issue` with a comment.
    ///
    /// # Errors
    /// If GitHub refuses or does not respond.
    pub async fn close(&self, issue: &Issue, comment: &str) -> Result<(), NetError> {
        let url = format!("{}/issues/{}/comments", self.repository, issue.number);
        let body = json!({"body": comment});
        let post = (Method::POST, url.as_str());
        call::json::<IgnoredAny>(&self.crab, self.policy, post, Some(&body)).await?;
        let change = json!({"state": "closed", "state_reason": "completed"});
        self.patch(issue, change).await
    }

    /// How many of the last scheduled runs of `workflow` failed in a row, up to `most`. Cancelled and skipped runs do
    /// not count.
    ///
    /// # Errors
    /// If the list cannot be read.
    pub async fn failures_in_a_row(&self, workflow: &str, most: usize) -> Result<usize, NetError> {
        let url = format!(
            "{}/actions/workflows/{workflow}/runs?event=schedule&status=completed&per_page={most}",
            self.repository
        );
        let WorkflowRuns { workflow_runs } = self.get(&url).await?;
        let conclusions = workflow_runs
            .iter()
            .filter_map(|run| run.conclusion.as_deref());
        let told = conclusions.filter(|end| matches!(*end, "success" | "failure" | "timed_out"));
        Ok(told.take_while(|end| *end != "success").count())
    }

    async fn get<T: serde::de::DeserializeOwned>(&self, url: &str) -> Result<T, NetError> {
        retry(self.policy, || async {
            call::json(&self.crab, self.policy, (Method::GET, url), None).await
        })
        .await
    }

    async fn patch(&self, issue: &Issue, change: serde_json::Value) -> Result<(), NetError> {
        let url = format!("{}/issues/{}", self.repository, issue.number);
        retry(self.policy, || async {
            let patch = (Method::PATCH, url.as_str());
            call::json::<IgnoredAny>(&self.crab, self.policy, patch, Some(&change))
                .await
                .map(drop)
        })
        .await
    }

    fn marked(&self, body: &str) -> String {
        format!("{}\n{body}", self.marker)
    }
}
