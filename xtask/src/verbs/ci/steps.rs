//! The steps of `ci`, and which of them are wanted.

use crate::cli::CiArgs;

/// A step after the parts: its name, and cargo's arguments.
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
const ROUNDS: [&[&[Step]]; 8] = [
    &[&[FORMAT]],
    &[&[PINS]],
    &[&[CHECK]],
    &[&[BUILD]],
    &[&[BUILD_STAGES]],
    // The machines wait for most of their time, while the tests compute; these take longer than all the rest.
    &[&[TEST], &[PROVISION, FIRST, LINT, LINT_STAGES]],
    // Measures, so it has the cores for itself.
    &[&[STACK]],
    &[&[WINE]],
];

/// What an author asks for after each change.
const QUICK: [Step; 5] = [FORMAT, LINT, PINS, CHECK, UNIT_TESTS];

/// The rounds that `args` asks for, the tests through cargo-nextest where it is there.
pub(super) fn wanted(args: &CiArgs, nextest: bool) -> Vec<Round> {
    if args.quick {
        return QUICK.iter().map(|step| vec![vec![*step]]).collect();
    }
    let is_wanted =
        |(name, _): &&Step| args.only.is_empty() || args.only.iter().any(|only| only == name);
    let lane = |lane: &&[Step]| {
        lane.iter()
            .filter(is_wanted)
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
pub fn names() -> impl Iterator<Item = &'static str> {
    let steps = ROUNDS.iter().flat_map(|round| round.iter());
    steps.flat_map(|lane| lane.iter()).map(|(name, _)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(quick: bool, only: &[&str]) -> Vec<Vec<Vec<&'static str>>> {
        let args = CiArgs {
            quick,
            only: only.iter().map(|&name| name.to_owned()).collect(),
            ..CiArgs::default()
        };
        let names = |lane: Vec<Step>| lane.iter().map(|(name, _)| *name).collect();
        let rounds = wanted(&args, true).into_iter();
        rounds
            .map(|round| round.into_iter().map(names).collect())
            .collect()
    }

    #[test]
    fn everything_is_wanted_unless_something_is_named() {
        let all: Vec<&str> = asked(false, &[]).into_iter().flatten().flatten().collect();
        assert_eq!(all, names().collect::<Vec<_>>());
        assert_eq!(
            asked(false, &["stack", "first", "lint"]),
            [vec![vec!["first", "lint"]], vec![vec!["stack"]]]
        );
        assert_eq!(asked(true, &[]).len(), QUICK.len());
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
