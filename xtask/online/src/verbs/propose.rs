//! `drift --pull-request`: keeps one pull request up to date with what `update` would change.
//!
//! The new files are made in memory by the code of `update` and checked by that of `verify-pins --offline`. Only if
//! that finds no error are they sent to GitHub, which creates the commit. There is no clone and no push, and no local
//! file is changed.

mod plan;

use std::collections::BTreeMap;

use serde_json::json;

use xtask_host::error::{Error, Outcome, Result};
use xtask_host::finding::{Finding, Severity};
use xtask_host::report::Report;
use xtask_host::reports::network as reports;
use xtask_host::say;
use xtask_host::source::Source;
use xtask_online::args::DriftArgs;
use xtask_online::github::{Branch, GitHub, Pull, Token, blob_name};
use xtask_pins::edit::{self, Change};
use xtask_pins::inventory::{Files, Inventory, judge, page};
use xtask_pins::waivers;

use super::drift::{cut, repository};
use super::update::{self, Move};
use crate::context::Context;
use plan::{BRANCH, Left, Plan, Proposal, RemoteState, Step, plan};

/// The files that GitHub allows no `GITHUB_TOKEN` to change.
const WORKFLOWS: &str = ".github/workflows/";
const COMMENT: &str = "There is nothing left to propose: the pins have been updated otherwise, or these versions no longer exist.";

/// Runs the verb.
pub(crate) async fn run(context: &Context, args: &DriftArgs) -> Result<Report> {
    let token = match (Token::for_pull_requests(), args.dry_run) {
        (Ok(token), _) => Some(token),
        (Err(_), true) => context.github_token()?,
        (Err(error), false) => return Err(error.into()),
    };
    let files = Files::read(&context.workspace.root)?;
    let inventory = Inventory::extract(&files);
    inventory.require_readable()?;
    let mut moves = update::everything(context, &inventory, args.min_age).await?;
    let withheld = withheld(&mut moves, token.as_ref());
    let changes = match moves.is_empty() {
        true => Vec::new(),
        false => update::changes(context, &files, &moves)?,
    };
    let mut findings = judged(&files, &changes)?;
    findings.extend(withheld);
    let mut proposal = (!changes.is_empty()).then(|| Proposal::new(&moves, &changes));
    if let Some(proposal) = &mut proposal {
        proposal.body = cut(say::shown(&proposal.body).into_owned());
    }

    let github = GitHub::new(&context.endpoints, &repository(), token.as_ref())?;
    let remote = Remote::look(&github, context, &files).await?;
    let plan = plan(proposal.as_ref(), &remote.seen);
    let mut opened = None;
    if let (Ok(steps), false) = (&plan.steps, args.dry_run) {
        for step in steps {
            let proposal = proposal.as_ref();
            let done = remote.take(step, proposal, &changes, plan.pull).await;
            opened = done.map_err(with_hint)?.or(opened);
        }
    }
    findings.extend(foreign(&plan));
    let done = !args.dry_run;
    Ok(report(&moves, &changes, &plan, opened.as_ref(), done).with_findings(findings))
}

/// Removes the moves that `token` cannot propose, and returns a warning about them.
fn withheld(moves: &mut Vec<Move>, token: Option<&Token>) -> Option<Finding> {
    // A workflow's token and another app's token look the same, but come from different variables.
    if !token.is_some_and(Token::is_of_a_workflow) {
        return None;
    }
    let of_workflow = |one: &Move| {
        one.edits
            .iter()
            .any(|edit| edit.path.starts_with(WORKFLOWS))
    };
    let names: Vec<String> = moves
        .extract_if(.., |one| of_workflow(one))
        .map(|one| format!("`{}`", one.name))
        .collect();
    (!names.is_empty()).then(|| {
        warning(
            "proposal-workflows",
            format!("not proposed: {}; GitHub does not let `GITHUB_TOKEN` change workflows", names.join(", ")),
            "run `cargo xtask update actions`, or give the job a token that may change workflows, as docs/pins.md says",
        )
    })
}

/// The warnings of `verify-pins --offline` about `files` with `changes` applied.
///
/// # Errors
/// If there are errors, because a proposal must pass.
fn judged(files: &Files, changes: &[Change]) -> Result<Vec<Finding>> {
    if changes.is_empty() {
        return Ok(Vec::new());
    }
    let inventory = Inventory::extract(&files.changed(changes));
    let findings = judge(&inventory, waivers::today(None)?);
    match findings
        .iter()
        .any(|finding| finding.severity == Severity::Error)
    {
        false => Ok(findings),
        true => Err(Error {
            findings,
            ..Error::findings(
                "nothing was proposed: `verify-pins --offline` would fail on the result",
            )
        }
        .hint("fix these findings in the tree; `cargo xtask verify-pins --offline` shows them")),
    }
}

/// The observed state of GitHub, and the client to change it.
struct Remote<'a> {
    github: &'a GitHub,
    /// The name of the default branch.
    base: String,
    head: Branch,
    /// The modes of the files at its head, by path.
    modes: BTreeMap<String, String>,
    seen: RemoteState,
}

impl<'a> Remote<'a> {
    /// Observes GitHub, and requires that the local files are those of the default branch: a commit based on other
    /// files would revert the difference.
    async fn look(github: &'a GitHub, context: &Context, files: &Files) -> Result<Self> {
        let base = github.default_branch().await?;
        let head = github.branch(&base).await?;
        let head = head.ok_or_else(|| Error::findings(format!("GitHub has no branch `{base}`")))?;
        let entries = github.entries(&head.tree).await?;
        let documentation = context.workspace.root.join(page::PATH).exists();
        let documentation = documentation.then(|| context.workspace.read(page::PATH));
        let documentation = documentation.transpose()?;
        let differs = |source: &&Source| {
            let there = entries.get(&source.path);
            there.is_none_or(|there| there.sha != blob_name(source.text.as_bytes()))
        };
        if let Some(other) = files.all().chain(&documentation).find(differs) {
            let message = format!("`{}` differs from `{base}` on GitHub", other.path);
            return Err(Error::findings(message).hint(format!(
                "check out the head of `{base}` from GitHub, then run the same command again"
            )));
        }
        let modes = entries.into_iter().map(|(path, entry)| (path, entry.mode));
        Ok(Self {
            github,
            head,
            modes: modes.collect(),
            seen: RemoteState {
                pulls: github.pulls(BRANCH, &base).await?,
                branch: github.branch(BRANCH).await?,
            },
            base,
        })
    }

    /// Takes one step; returns the pull request if it was opened.
    async fn take(
        &self,
        step: &Step,
        proposal: Option<&Proposal>,
        changes: &[Change],
        pull: Option<&Pull>,
    ) -> Result<Option<Pull>> {
        let github = self.github;
        match (step, proposal, pull) {
            (Step::Branch { from }, Some(proposal), _) => {
                self.commit(proposal, changes, from.as_deref()).await?;
            }
            (Step::Open, Some(Proposal { title, body, .. }), _) => {
                let opened = github.open_pull(BRANCH, &self.base, title, body).await?;
                return Ok(Some(opened));
            }
            (Step::Rewrite(number), Some(Proposal { title, body, .. }), _) => {
                let change = json!({"title": title, "body": body});
                github.change_pull(*number, &change).await?;
            }
            (Step::Withdraw(number), _, Some(pull)) => {
                github.comment(*number, COMMENT).await?;
                let change = json!({"state": "closed", "body": plan::withdrawn(pull)});
                github.change_pull(*number, &change).await?;
            }
            _ => return Err(Error::machine("a step lacks its proposal or pull request")),
        }
        Ok(None)
    }

    /// Commits `changes` on the head of the default branch, and moves the branch from `from` to that commit.
    async fn commit(
        &self,
        proposal: &Proposal,
        changes: &[Change],
        from: Option<&str>,
    ) -> Result<()> {
        let github = self.github;
        let files = changes.iter().filter_map(|Change { path, after, .. }| {
            let mode = self.modes.get(path)?;
            Some((path.as_str(), mode.as_str(), after.as_str()))
        });
        let tree = github.create_tree(&self.head.tree, files).await?;
        let message = proposal.message(&tree);
        let commit = github.create_commit(&message, &tree, &self.head.commit);
        let commit = commit.await?;
        // GitHub offers no compare-and-swap, so look again, to not lose a commit that was just pushed.
        let now = github.branch(BRANCH).await?.map(|branch| branch.commit);
        if now.as_deref() != from {
            return Err(
                Error::findings(format!("someone else moved `{BRANCH}` in the meantime"))
                    .hint("nothing was changed: run the same command again"),
            );
        }
        github.set_branch(BRANCH, &commit, from.is_some()).await?;
        Ok(())
    }
}

/// `error`, with a hint if the request was refused.
fn with_hint(error: Error) -> Error {
    match error.outcome {
        Outcome::Network => error.hint(
            "the job must grant `contents: write` and `pull-requests: write`, and the repository must allow GitHub Actions to create pull requests (Settings, Actions, General)",
        ),
        _ => error,
    }
}

/// The warning about a commit that was left alone.
fn foreign(plan: &Plan<'_>) -> Option<Finding> {
    let Err(Left::Foreign(commit)) = &plan.steps else {
        return None;
    };
    Some(warning(
        "proposal-foreign-commit",
        format!(
            "the last commit on `{BRANCH}`, `{commit}`, is not from this check: nothing was changed"
        ),
        "merge it or delete the branch; the next check then proposes again",
    ))
}

fn warning(rule: &'static str, message: String, help: &str) -> Finding {
    Finding {
        rule,
        severity: Severity::Warning,
        message,
        place: None,
        help: Some(help.to_owned()),
        outcome: Outcome::Ok,
    }
}

fn report(
    moves: &[Move],
    changes: &[Change],
    plan: &Plan<'_>,
    opened: Option<&Pull>,
    done: bool,
) -> Report {
    let pull = opened.or(plan.pull);
    let (action, said) = match &plan.steps {
        Err(left) => ("none", format!("unchanged ({})", left.word())),
        Ok(steps) => {
            let (action, did, would) = match steps.last() {
                Some(Step::Open) => ("create", "opened", "would be opened"),
                Some(Step::Withdraw(_)) => ("close", "closed", "would be closed"),
                _ => ("update", "updated", "would be updated"),
            };
            (action, if done { did } else { would }.to_owned())
        }
    };
    let place = pull.map_or("no pull request", |pull| &pull.url);
    let mut text = format!("pull request: {place}: {said}\n");
    text.extend(moves.iter().map(Move::line));
    if !done {
        text.push_str(&edit::diff(changes));
    }
    let data = reports::Proposed {
        updates: moves.iter().map(Move::reported).collect(),
        files: changes.iter().map(|change| change.path.clone()).collect(),
        diff: edit::diff(changes),
        pull_request: reports::PullRequest {
            action,
            reason: plan.steps.as_ref().err().map(Left::word),
            branch: BRANCH,
            number: pull.map(|pull| pull.number),
            url: pull.map(|pull| pull.url.clone()),
            done: done && plan.steps.is_ok(),
        },
    };
    let report = Report::new("drift", data, text);
    match moves {
        [] => report,
        moves => report.with_table(plan::moves_table(moves)),
    }
}
