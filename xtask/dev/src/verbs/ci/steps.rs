//! The steps of `ci`, and which of them a run selects.

use clap::Args;
use clap::builder::PossibleValuesParser;

/// Arguments of `ci`.
#[derive(Debug, Clone, Default, Args)]
pub struct CiArgs {
    /// Do not install missing parts; say which tests are left out
    #[arg(long)]
    pub no_install: bool,
    /// Only what an author asks after each change: format, lint, pins, check and unit tests; installs nothing
    #[arg(long, conflicts_with = "only")]
    pub quick: bool,
    /// Only this step, or several [see `--list`]
    #[arg(long, value_name = "STEP", value_parser = PossibleValuesParser::new(names()), hide_possible_values = true)]
    pub only: Vec<String>,
    /// Show the steps and their commands, and run none
    #[arg(long)]
    pub list: bool,
}

/// A step: its name, and cargo's arguments.
pub(super) type Step = (&'static str, &'static [&'static str]);

/// Lanes that run side by side, each with its steps one after the other. The first lane prints as it goes, the others
/// when they have ended.
pub(super) type Round = Vec<Vec<Step>>;

const FORMAT: Step = ("format", &["fmt", "--all", "--check"]);
const PINS: Step = ("pins", &["xtask", "verify-pins", "--offline"]);
const CHECK: Step = ("check", &["xtask", "check"]);
const LINT: Step = (
    "lint",
    &[
        "clippy",
        "--locked",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ],
);
/// `--all-targets` leaves out the targets with `test = false`.
const LINT_STAGES: Step = (
    "lint-stages",
    &[
        "clippy",
        "--locked",
        "--workspace",
        "--test",
        "provision",
        "--test",
        "first",
        "--test",
        "stack",
        "--test",
        "wine",
        "--",
        "-D",
        "warnings",
    ],
);
/// Always of the whole workspace: then nothing is built a second time with other features.
const BUILD: Step = ("build", &["test", "--locked", "--workspace", "--no-run"]);
const BUILD_STAGES: Step = (
    "build-stages",
    &[
        "test",
        "--locked",
        "--workspace",
        "--no-run",
        "--test",
        "provision",
        "--test",
        "first",
        "--test",
        "stack",
        "--test",
        "wine",
    ],
);
pub(super) const TEST: Step = (
    "test",
    &[
        "nextest",
        "run",
        "--locked",
        "--workspace",
        "--profile",
        "ci",
    ],
);
/// The same, without cargo-nextest.
const TEST_PLAIN: Step = (
    "test",
    &["test", "--locked", "--workspace", "--no-fail-fast"],
);
const UNIT_TESTS: Step = (
    "unit-tests",
    &["test", "--locked", "--workspace", "--lib", "--bins"],
);
const PROVISION: Step = (
    "provision",
    &["test", "--locked", "--workspace", "--test", "provision"],
);
const FIRST: Step = (
    "first",
    &["test", "--locked", "--workspace", "--test", "first"],
);
const WINE: Step = (
    "wine",
    &["test", "--locked", "--workspace", "--test", "wine"],
);
const STACK: Step = (
    "stack",
    &["test", "--locked", "--workspace", "--test", "stack"],
);

/// What a change has to pass. What uses a Docker engine is in one lane of a round at most, since an engine serves one
/// proof at a time.
const ROUNDS: [&[&[Step]]; 9] = [
    &[&[FORMAT]],
    &[&[PINS]],
    &[&[CHECK]],
    &[&[BUILD]],
    &[&[BUILD_STAGES]],
    // Both have deadlines, and both use the cores: side by side they starve each other.
    &[&[TEST]],
    &[&[PROVISION, FIRST], &[LINT, LINT_STAGES]],
    // Measures, so it has the cores for itself.
    &[&[STACK]],
    &[&[WINE]],
];

/// What an author runs after each change.
const QUICK: [Step; 5] = [FORMAT, LINT, PINS, CHECK, UNIT_TESTS];

/// What starts machines, containers and network namespaces.
const AS_ROOT: [Step; 3] = [PROVISION, FIRST, STACK];

/// The rounds that `args` selects. The tests run through cargo-nextest where `nextest` is installed; steps that only
/// `root` can run are left out for anybody else.
pub(super) fn selected(args: &CiArgs, nextest: bool, root: bool) -> Vec<Round> {
    if args.quick {
        return QUICK.iter().map(|step| vec![vec![*step]]).collect();
    }
    let is_selected = |step: &&Step| {
        let named = args.only.is_empty() || args.only.iter().any(|only| only == step.0);
        named && (root || !AS_ROOT.contains(step))
    };
    let lane = |lane: &&[Step]| {
        lane.iter()
            .filter(is_selected)
            .map(|step| match *step == TEST && !nextest {
                true => TEST_PLAIN,
                false => *step,
            })
            .collect::<Vec<Step>>()
    };
    let rounds = ROUNDS.iter().map(|round| {
        let lanes = round.iter().map(lane);
        lanes.filter(|lane| !lane.is_empty()).collect::<Round>()
    });
    rounds.filter(|round| !round.is_empty()).collect()
}

/// Whether the rest is worth its time when a step of `round` has failed: a failed test says nothing about a stage.
pub(super) fn goes_on(round: &Round) -> bool {
    round.iter().flatten().any(|(name, _)| *name == TEST.0)
}

/// The names that `--only` takes.
fn names() -> impl Iterator<Item = &'static str> {
    let steps = ROUNDS.iter().flat_map(|round| round.iter());
    steps.flat_map(|lane| lane.iter()).map(|(name, _)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names_of(quick: bool, only: &[&str], root: bool) -> Vec<Vec<Vec<&'static str>>> {
        let args = CiArgs {
            quick,
            only: only.iter().map(|&name| name.to_owned()).collect(),
            ..CiArgs::default()
        };
        let names = |lane: Vec<Step>| lane.iter().map(|(name, _)| *name).collect();
        let rounds = selected(&args, true, root).into_iter();
        rounds
            .map(|round| round.into_iter().map(names).collect())
            .collect()
    }

    #[test]
    fn everything_runs_unless_steps_are_named() {
        let all: Vec<&str> = names_of(false, &[], true)
            .into_iter()
            .flatten()
            .flatten()
            .collect();
        assert_eq!(all, names().collect::<Vec<_>>());
        assert_eq!(
            names_of(false, &["stack", "first", "lint"], true),
            [vec![vec!["first"], vec!["lint"]], vec![vec!["stack"]]]
        );
        assert_eq!(names_of(true, &[], true).len(), QUICK.len());
    }

    #[test]
    fn an_ordinary_user_runs_no_machines() {
        assert_eq!(
            names_of(false, &["stack", "first", "lint"], false),
            [[["lint"]]]
        );
    }

    #[test]
    fn a_name_is_one_word_and_names_one_step() {
        let mut seen: Vec<&str> = names().collect();
        assert!(seen.iter().all(|name| !name.contains(' ')), "{seen:?}");
        let count = seen.len();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), count);
    }
}
