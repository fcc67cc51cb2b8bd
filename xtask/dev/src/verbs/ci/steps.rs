//! The steps of `ci`, and which of them a run selects.

use clap::Args;
use clap::builder::PossibleValuesParser;

/// Arguments of `ci`.
#[derive(Debug, Clone, Default, Args)]
pub struct CiArgs {
    /// Do not install missing test tools; list the tests that are skipped
    #[arg(long)]
    pub no_install: bool,
    /// Only the fast steps, for use after each change: format, lint, pins, check and unit tests; installs nothing
    #[arg(long, conflicts_with = "only")]
    pub quick: bool,
    /// Only these steps [see `--list`]
    #[arg(long, value_name = "STEP", value_delimiter = ',', value_parser = PossibleValuesParser::new(names()), hide_possible_values = true)]
    pub only: Vec<String>,
    /// List the steps and their commands, without running them
    #[arg(long)]
    pub list: bool,
}

/// A step: its name, and the arguments of cargo as words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) name: &'static str,
    arguments: &'static str,
}

impl Step {
    const fn new(name: &'static str, arguments: &'static str) -> Self {
        Self { name, arguments }
    }

    /// The arguments of cargo.
    pub(super) fn arguments(self) -> impl Iterator<Item = &'static str> {
        self.arguments.split(' ')
    }

    /// The command that runs the step alone.
    pub(super) fn command(self) -> String {
        format!("cargo {}", self.arguments)
    }
}

/// Lanes that run in parallel; the steps of a lane run one after the other. The first lane prints immediately, the
/// others when they are done.
pub(super) type Round = Vec<Vec<Step>>;

// Always the whole workspace, so that nothing is rebuilt with other features.
const FORMAT: Step = Step::new("format", "fmt --all --check");
const PINS: Step = Step::new("pins", "xtask verify-pins --offline");
pub(super) const CHECK: Step = Step::new("check", "xtask check");
const LINT: Step = Step::new(
    "lint",
    "clippy --locked --workspace --all-targets -- -D warnings",
);
/// `--all-targets` does not include targets with `test = false`.
const LINT_STAGES: Step = Step::new(
    "lint-stages",
    "clippy --locked --workspace --test provision --test first --test stack --test wine --test built --test ready \
     --test rehearsal -- -D warnings",
);
pub(super) const BUILD: Step = Step::new("build", "test --locked --workspace --no-run");
const BUILD_STAGES: Step = Step::new(
    "build-stages",
    "test --locked --workspace --no-run --test provision --test first --test stack --test wine --test built \
     --test ready --test rehearsal",
);
pub(super) const TEST: Step = Step::new("test", "nextest run --locked --workspace --profile ci");
/// As [`TEST`], without cargo-nextest.
const TEST_PLAIN: Step = Step::new("test", "test --locked --workspace --no-fail-fast");
const UNIT_TESTS: Step = Step::new("unit-tests", "test --locked --workspace --lib --bins");
const PROVISION: Step = Step::new("provision", "test --locked --workspace --test provision");
const FIRST: Step = Step::new("first", "test --locked --workspace --test first");
const WINE: Step = Step::new("wine", "test --locked --workspace --test wine");
/// Tests that build with the release profile; no other step needs what they build.
pub(super) const RELEASES: Step = Step::new(
    "releases",
    "test --locked --workspace --no-fail-fast --test built --test ready --test rehearsal",
);
const STACK: Step = Step::new("stack", "test --locked --workspace --test stack");

/// The steps that need no test tools. They run while the tools are being installed.
const WITHOUT_TOOLS: [&[&[Step]]; 4] = [&[&[FORMAT]], &[&[PINS]], &[&[BUILD]], &[&[BUILD_STAGES]]];

/// The other steps. At most one lane of a round uses Docker, because an engine can serve only one proof at a time.
const WITH_TOOLS: [&[&[Step]]; 4] = [
    &[&[CHECK]],
    // Tests and proofs have deadlines and use all cores, so in parallel they would starve each other.
    &[&[TEST]],
    &[&[PROVISION]],
    // The first lane waits for containers half of the time.
    &[&[FIRST, STACK], &[WINE, LINT, LINT_STAGES, RELEASES]],
];

/// The steps of `--quick`.
const QUICK: [Step; 5] = [FORMAT, LINT, PINS, CHECK, UNIT_TESTS];

/// Steps that start machines, containers and network namespaces, and so need root.
const AS_ROOT: [Step; 3] = [PROVISION, FIRST, STACK];

/// The rounds of a run, in two parts.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Selected {
    /// What runs while the test tools are being installed.
    pub(super) without_tools: Vec<Round>,
    /// What runs once they are installed.
    pub(super) with_tools: Vec<Round>,
}

impl Selected {
    /// All steps, in their order.
    pub(super) fn steps(&self) -> impl Iterator<Item = &Step> {
        let rounds = self.without_tools.iter().chain(&self.with_tools);
        rounds.flatten().flatten()
    }

    /// Whether `step` is one of them.
    pub(super) fn includes(&self, step: &Step) -> bool {
        self.steps().any(|selected| selected == step)
    }
}

/// The rounds that `args` selects. With `nextest`, tests run through cargo-nextest; without `root`, steps that need
/// root are omitted.
pub(super) fn selected(args: &CiArgs, nextest: bool, root: bool) -> Selected {
    if args.quick {
        // Installs nothing.
        return Selected {
            without_tools: Vec::new(),
            with_tools: QUICK.iter().map(|step| vec![vec![*step]]).collect(),
        };
    }
    let is_selected = |step: &&Step| {
        let named = args.only.is_empty() || args.only.iter().any(|only| only == step.name);
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
    let rounds = |rounds: &[&[&[Step]]]| -> Vec<Round> {
        let rounds = rounds.iter().map(|round| {
            let lanes = round.iter().map(lane);
            lanes.filter(|lane| !lane.is_empty()).collect::<Round>()
        });
        rounds.filter(|round| !round.is_empty()).collect()
    };
    Selected {
        without_tools: rounds(&WITHOUT_TOOLS),
        with_tools: rounds(&WITH_TOOLS),
    }
}

/// The steps that `args` names although they need root; a run of all steps omits them.
pub(super) fn named_as_root(args: &CiArgs) -> Vec<&str> {
    let named = args.only.iter().map(String::as_str);
    named
        .filter(|name| AS_ROOT.iter().any(|step| step.name == *name))
        .collect()
}

/// The names that `--only` accepts.
fn names() -> impl Iterator<Item = &'static str> {
    let rounds = WITHOUT_TOOLS.iter().chain(&WITH_TOOLS);
    let lanes = rounds.flat_map(|round| round.iter());
    lanes.flat_map(|lane| lane.iter()).map(|step| step.name)
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
        let names = |lane: Vec<Step>| lane.iter().map(|step| step.name).collect();
        let selected = selected(&args, true, root);
        let rounds = selected.without_tools.into_iter();
        rounds
            .chain(selected.with_tools)
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
            [[vec!["first", "stack"], vec!["lint"]]]
        );
        assert_eq!(names_of(true, &[], true).len(), QUICK.len());
    }

    #[test]
    fn steps_that_need_root_are_omitted_for_others() {
        assert_eq!(
            names_of(false, &["stack", "first", "lint"], false),
            [[["lint"]]]
        );
    }

    #[test]
    fn step_names_are_unique_words() {
        let mut seen: Vec<&str> = names().collect();
        assert!(seen.iter().all(|name| !name.contains(' ')), "{seen:?}");
        let count = seen.len();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), count);
    }
}
