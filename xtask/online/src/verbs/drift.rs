//! `drift`: verifies all pins, reads all layers of the images, and keeps one GitHub issue up to date with the result.
//!
//! An unreachable network says nothing about pins, so it causes an issue only after the nightly run has failed several
//! times in a row. No counter is stored, because GitHub knows how the runs of the workflow ended. The reason of those
//! failures does not matter: if it had been drift, the issue would already be open.

use xtask_host::error::{Error, Outcome, Result};
use xtask_host::finding::{Finding, Severity};
use xtask_host::report::Report;
use xtask_host::reports::network as reports;
use xtask_host::say;
use xtask_online::args::DriftArgs;
use xtask_online::github::{Issue, Token, Tracker};
use xtask_pins::verify_pins::VerifyPinsArgs;

use super::{verify_images, verify_pins};
use crate::context::Context;

/// The workflow whose runs are counted.
const WORKFLOW: &str = "pin-drift.yml";
/// After this many nights in a row without a response, open an issue.
const THRESHOLD: usize = 3;
const LABEL: &str = "pin-drift";
const MARKER: &str = "<!-- polis: pin-drift -->";
const TITLE: &str = "Pins have drifted";
/// The repository of a fork that runs its own nightly check; set by GitHub Actions.
const REPOSITORY: &str = "GITHUB_REPOSITORY";
/// GitHub allows 65536 characters. Longer text is cut at a line end.
const LONGEST: usize = 60_000;

/// What happens to the issue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum IssueAction {
    None,
    Create,
    Update,
    Close,
}

impl IssueAction {
    fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Create => "create",
            Self::Update => "update",
            Self::Close => "close",
        }
    }
}

/// What to do after a run with `outcome`, if the issue is `open` or not, and `failed` runs before it failed in a row.
fn decide(outcome: Outcome, open: bool, failed: usize) -> IssueAction {
    match (outcome, open) {
        (Outcome::Ok, true) => IssueAction::Close,
        (Outcome::Ok, false) => IssueAction::None,
        // Keep an open issue, because the run that wrote it learned more than this one.
        (Outcome::Network, true) => IssueAction::None,
        (Outcome::Network, false) if failed + 1 < THRESHOLD => IssueAction::None,
        (_, true) => IssueAction::Update,
        (_, false) => IssueAction::Create,
    }
}

/// Runs the verb.
pub(crate) async fn run(context: &Context, args: &DriftArgs) -> Result<Report> {
    let token = context.github_token()?;
    if token.is_none() && !args.dry_run {
        // Check first: drift that cannot be reported is worse than no check at all.
        Token::from_env()?;
    }
    let verifier = context.verifier()?;
    let offline = VerifyPinsArgs {
        offline: false,
        signatures: false,
        today: None,
    };
    let report = verify_pins::verify(context, &verifier, "drift", &offline).await?;
    let images = verify_images::examine(context, verifier.registry(), &|_| true).await?;
    let report = images.join(report);
    match synchronize(context, token.as_ref(), &report, args.dry_run).await {
        Ok((action, issue)) => Ok(with_action(report, action, issue.as_ref(), args.dry_run)),
        Err(error) => Err(Error {
            outcome: error.outcome.max(report.outcome()),
            findings: report.findings,
            ..error.hint("the job must grant `issues: write` and `actions: read`")
        }),
    }
}

/// The repository, as `owner/name`. A fork runs its own nightly check.
pub(crate) fn repository() -> String {
    let named = std::env::var(REPOSITORY).ok();
    let named = named.filter(|name| !name.is_empty());
    named.unwrap_or_else(|| crate::context::REPOSITORY.to_owned())
}

/// Brings the issue up to date with `report`; returns what was done, or would be, and the issue.
async fn synchronize(
    context: &Context,
    token: Option<&Token>,
    report: &Report,
    dry_run: bool,
) -> Result<(IssueAction, Option<Issue>)> {
    let tracker = Tracker::new(&context.endpoints, &repository(), token, LABEL, MARKER)?;
    let open = tracker.open().await?;
    let outcome = report.outcome();
    let failed = match (outcome, &open) {
        (Outcome::Network, None) => tracker.failures_in_a_row(WORKFLOW, THRESHOLD).await?,
        _ => 0,
    };
    let action = decide(outcome, open.is_some(), failed);
    if dry_run {
        return Ok((action, open));
    }
    Ok(match (action, open) {
        (IssueAction::Create, _) => (action, Some(tracker.create(TITLE, &body(report)).await?)),
        (IssueAction::Update, Some(issue)) => match tracker.update(&issue, &body(report)).await? {
            true => (action, Some(issue)),
            false => (IssueAction::None, Some(issue)),
        },
        (IssueAction::Close, Some(issue)) => {
            tracker.close(&issue, "All pins are fine again.").await?;
            (action, Some(issue))
        }
        (_, open) => (IssueAction::None, open),
    })
}

/// `report` with what happened to the issue.
fn with_action(
    mut report: Report,
    action: IssueAction,
    issue: Option<&Issue>,
    dry_run: bool,
) -> Report {
    let place = issue.map_or_else(|| "no issue".to_owned(), |issue| issue.url.clone());
    let verb = match action {
        IssueAction::None => "unchanged",
        IssueAction::Create if dry_run => "would be created",
        IssueAction::Create => "created",
        IssueAction::Update if dry_run => "would be updated",
        IssueAction::Update => "updated",
        IssueAction::Close if dry_run => "would be closed",
        IssueAction::Close => "closed",
    };
    report.text.push_str(&format!("issue: {place}: {verb}\n"));
    let issue = reports::Issue {
        action: action.word(),
        number: issue.map(|issue| issue.number),
        url: issue.map(|issue| issue.url.clone()),
        done: !dry_run && action != IssueAction::None,
    };
    report.add(reports::IssueKept { issue });
    report
}

/// The text of the issue. The same states give the same text, and an unchanged issue is not written again.
fn body(report: &Report) -> String {
    let mut text = String::from(
        "The nightly check downloaded everything that the release and the VM download. Some of it does \
         not match what this repository pins and relies on, or could not be verified. `cargo xtask verify-pins` and \
         `cargo xtask verify-images` reproduce this on any machine. The check updates this issue and closes it.\n\n",
    );
    let errors = report.findings.iter();
    for finding in errors.filter(|finding| finding.severity == Severity::Error) {
        text.push_str(&item(finding));
    }
    text.push('\n');
    text.push_str(report.table.as_deref().unwrap_or_default());
    cut(say::shown(&text).into_owned())
}

/// `text`, cut to what GitHub allows.
pub(crate) fn cut(mut text: String) -> String {
    if let Some((at, _)) = text.char_indices().nth(LONGEST) {
        let line = text[..at].rfind('\n').unwrap_or(at);
        text.truncate(line);
        text.push_str("\n\nThe rest is in the summary of the run.");
    }
    text
}

fn item(finding: &Finding) -> String {
    let place = finding.place.as_ref();
    let place = place.map(|place| format!("`{}:{}` ", place.path, place.line));
    let message = finding.message.replace('\n', " ");
    let help = finding
        .help
        .as_deref()
        .unwrap_or_default()
        .replace('\n', " ");
    format!("- {}{message}\n  {help}\n", place.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_has_its_action() {
        for (outcome, open, failed, action) in [
            (Outcome::Ok, false, 0, IssueAction::None),
            (Outcome::Ok, true, 0, IssueAction::Close),
            (Outcome::Drift, false, 0, IssueAction::Create),
            (Outcome::Drift, true, 0, IssueAction::Update),
            (Outcome::Findings, false, 0, IssueAction::Create),
            (Outcome::Findings, true, 0, IssueAction::Update),
            (Outcome::Network, false, 0, IssueAction::None),
            (Outcome::Network, false, 1, IssueAction::None),
            (Outcome::Network, false, 2, IssueAction::Create),
            (Outcome::Network, true, 9, IssueAction::None),
        ] {
            assert_eq!(
                decide(outcome, open, failed),
                action,
                "{outcome:?} {open} {failed}"
            );
        }
    }

    #[test]
    fn a_text_that_is_too_long_is_cut_at_a_line_end() {
        let table = "| é |\n".repeat(LONGEST);
        let report = Report::new("drift", (), "").with_table(table);
        let body = body(&report);
        assert!(body.chars().count() < 65_536);
        assert!(body.ends_with("| é |\n\nThe rest is in the summary of the run."));
    }
}
