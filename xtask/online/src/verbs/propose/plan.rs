//! The proposal, and the steps that bring GitHub up to date with it. Pure.
//!
//! All state is on GitHub. The last line of a commit's message identifies its content and its tree, so that a commit of
//! somebody else, or an amended one of ours, is never taken for ours. A hidden marker in the pull request identifies
//! the moves, so that a pull request that a person has closed is not opened again for the same moves.

use polis_base::Digest;
use serde_json::json;

use xtask_host::report::markdown::{cell_text, code, table};
use xtask_online::github::{Branch, Pull};
use xtask_pins::edit::Change;

use super::super::update::Move;

/// The branch for proposals. Commits of other authors on it are left alone.
pub(super) const BRANCH: &str = "polis/pins";
/// The last line of our commits' messages: their content, and the object ID of their tree.
const TRAILER: &str = "Polis-Pins: ";
const MARKER: (&str, &str) = ("<!-- polis: pins ", " -->");
/// Replaces the moves in the marker if we, and not a person, have closed the pull request.
const WITHDRAWN: &str = "withdrawn";
/// How many pins the title lists.
const NAMED: usize = 3;

/// A proposal.
#[derive(Debug, Clone)]
pub(super) struct Proposal {
    /// The title of the pull request, and the first line of the commit.
    pub(super) title: String,
    /// The text of the pull request.
    pub(super) body: String,
    /// A digest of the moves, which identifies the proposal to people.
    moves: String,
    /// A digest of the changed files before and after, which identifies the proposal to git.
    content: String,
    lines: String,
}

/// The observed state of GitHub.
#[derive(Debug)]
pub(super) struct RemoteState {
    /// The head of [`BRANCH`].
    pub(super) branch: Option<Branch>,
    /// Its pull requests, newest first.
    pub(super) pulls: Vec<Pull>,
}

/// One change on GitHub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Commit on the head of the default branch, and create the branch there, or move it from the commit `from`.
    Branch { from: Option<String> },
    /// Open the pull request.
    Open,
    /// Update the title and text of the open one.
    Rewrite(u64),
    /// Close it, with a comment that there is nothing left to propose.
    Withdraw(u64),
}

/// Why nothing is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Left {
    /// Everything is up to date, and no pull request is open.
    Nothing,
    /// GitHub already has the proposal.
    Unchanged,
    /// A person has closed the pull request with these moves, or merged and reverted it.
    Declined,
    /// The branch ends with a commit that is not ours.
    Foreign(String),
}

impl Left {
    /// The name in reports.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::Nothing => "nothing to propose",
            Self::Unchanged => "unchanged",
            Self::Declined => "turned down",
            Self::Foreign(_) => "foreign commit",
        }
    }
}

/// What to do, and the pull request, if there is one.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plan<'a> {
    /// The steps in order, or the reason why there are none.
    pub(super) steps: Result<Vec<Step>, Left>,
    pub(super) pull: Option<&'a Pull>,
}

/// The plan that brings GitHub up to date with `proposal`.
pub(super) fn plan<'a>(proposal: Option<&Proposal>, seen: &'a RemoteState) -> Plan<'a> {
    let open = seen.pulls.iter().find(|pull| pull.open);
    let left = |left, pull| Plan {
        steps: Err(left),
        pull,
    };
    let branch = seen.branch.as_ref();
    let foreign = branch.filter(|branch| content_of(branch).is_none());
    let proposal = match (proposal, foreign) {
        (None, _) if open.is_none() => return left(Left::Nothing, None),
        (_, Some(branch)) => return left(Left::Foreign(branch.commit.clone()), open),
        (None, None) => {
            let ours = open.filter(|pull| moves_of(pull).is_some());
            return match ours {
                Some(pull) => Plan {
                    steps: Ok(vec![Step::Withdraw(pull.number)]),
                    pull: open,
                },
                None => left(Left::Nothing, open),
            };
        }
        (Some(proposal), None) => proposal,
    };
    let same = |pull: &Pull| moves_of(pull) == Some(&proposal.moves);
    if let (None, Some(closed)) = (open, seen.pulls.iter().find(|pull| same(pull))) {
        return left(Left::Declined, Some(closed));
    }
    let mut steps = Vec::new();
    if branch.and_then(content_of) != Some(&proposal.content) {
        let from = branch.map(|branch| branch.commit.clone());
        steps.push(Step::Branch { from });
    }
    match open {
        None => steps.push(Step::Open),
        // A pull request without our marker belongs to a person, who may write what they like.
        Some(pull) if moves_of(pull).is_some() && !same(pull) => {
            steps.push(Step::Rewrite(pull.number));
        }
        Some(_) => {}
    }
    match steps.is_empty() {
        true => left(Left::Unchanged, open),
        false => Plan {
            steps: Ok(steps),
            pull: open,
        },
    }
}

/// The content identifier in the head of a branch, if it is a commit of ours.
fn content_of(branch: &Branch) -> Option<&str> {
    let last = branch.message.trim_end().lines().last()?;
    let (content, tree) = last.strip_prefix(TRAILER)?.split_once(' ')?;
    (tree == branch.tree).then_some(content)
}

/// The moves in the marker of a pull request.
fn moves_of(pull: &Pull) -> Option<&str> {
    let (_, behind) = pull.body.split_once(MARKER.0)?;
    behind.split_once(MARKER.1).map(|(moves, _)| moves)
}

/// The text of `pull`, with the marker of one that we have closed.
pub(super) fn withdrawn(pull: &Pull) -> String {
    let marker = |inside: &str| format!("{}{inside}{}", MARKER.0, MARKER.1);
    let moves = moves_of(pull).unwrap_or_default();
    pull.body.replacen(&marker(moves), &marker(WITHDRAWN), 1)
}

impl Proposal {
    /// The proposal of `moves`, which cause `changes`.
    pub(super) fn new(moves: &[Move], changes: &[Change]) -> Self {
        let key = digest(moves.iter().map(|one| {
            let mut texts: Vec<&str> = one.edits.iter().map(|edit| edit.text.as_str()).collect();
            texts.sort_unstable();
            texts.dedup();
            json!([one.kind, one.name, one.from, one.to, texts])
        }));
        let content = digest(
            changes
                .iter()
                .map(|one| json!([one.path, one.before, one.after])),
        );
        Self {
            title: title(moves),
            body: body(moves, &key),
            moves: key,
            content,
            lines: moves.iter().map(Move::line).collect(),
        }
    }

    /// The message of the commit with the tree `tree`.
    pub(super) fn message(&self, tree: &str) -> String {
        let Self {
            title,
            lines,
            content,
            ..
        } = self;
        format!("{title}\n\n{lines}\n{TRAILER}{content} {tree}\n")
    }
}

fn digest(parts: impl Iterator<Item = serde_json::Value>) -> String {
    let whole: Vec<_> = parts.collect();
    Digest::of(json!(whole).to_string().as_bytes()).hex()
}

fn title(moves: &[Move]) -> String {
    // `yq amd64` and `yq arm64` become `yq`; the registry is removed from images.
    let short = |one: &Move| {
        let name = one.name.split(' ').next().unwrap_or_default();
        let last = name.rsplit('/').next().filter(|_| one.kind == "image");
        last.unwrap_or(name).to_owned()
    };
    let mut names: Vec<String> = moves.iter().map(short).collect();
    names.dedup();
    let more = names.len().saturating_sub(NAMED);
    names.truncate(NAMED);
    let more = match more {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("Update {}{more}", names.join(", "))
}

/// The table of `moves`, in Markdown.
pub(super) fn moves_table(moves: &[Move]) -> String {
    let row = |one: &Move| {
        let notes = one.notes.as_ref();
        vec![
            code(&one.name),
            code(one.from.as_deref().unwrap_or("no version")),
            code(&one.to),
            published(one),
            notes.map_or_else(String::new, |url| format!("[release]({})", cell_text(url))),
        ]
    };
    let rows: Vec<_> = moves.iter().map(row).collect();
    table(&["pin", "from", "to", "published", "notes"], &rows)
}

/// The date, if GitHub knows one.
fn published(one: &Move) -> String {
    let day = one.published.as_deref().and_then(|date| date.get(..10));
    let is_day = |day: &&str| day.bytes().all(|b| b.is_ascii_digit() || b == b'-');
    day.filter(is_day).unwrap_or("not known").to_owned()
}

fn body(moves: &[Move], key: &str) -> String {
    let (begin, end) = MARKER;
    format!(
        "{begin}{key}{end}\n\
         The nightly check found newer versions of what this repository pins. It downloaded and hashed them, and \
         `cargo xtask verify-pins --offline` passes on the result. `cargo xtask update` makes the same \
         changes on any machine.\n\n{}\n\n\
         The check updates this pull request as long as the last commit on `{BRANCH}` is its own. Close it to reject \
         these versions; later ones are proposed again.\n",
        moves_table(moves)
    )
}

#[cfg(test)]
#[path = "plan/tests.rs"]
mod tests;
