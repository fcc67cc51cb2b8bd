//! `bench`: measures the figures that this repository promises, and fails if one misses its limit. Wall-clock times: run it
//! on a quiet machine.

mod measure;
mod ownership;
mod tree;

use clap::Args;
use clap::builder::PossibleValuesParser;
use measure::Measured;
use xtask_host::error::{Outcome, Result};
use xtask_host::progress::Progress;
use xtask_host::report::Report;
use xtask_host::reports::release as reports;
use xtask_host::workspace::Workspace;

/// Arguments of `bench`.
#[derive(Debug, Clone, Args)]
pub struct BenchArgs {
    /// Measure only these figures [default: all; see `--list`]
    #[arg(value_name = "FIGURE", value_parser = PossibleValuesParser::new(names()), hide_possible_values = true)]
    pub figures: Vec<String>,
    /// List the figures with their limits, without measuring
    #[arg(long)]
    pub list: bool,
}

/// The limit of a figure.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Limit {
    AtMost(f64),
    AtLeast(f64),
}

/// A figure to measure.
struct Figure {
    name: &'static str,
    about: &'static str,
    limit: Limit,
    unit: &'static str,
    measure: fn(&Workspace) -> Result<Measured>,
}

const FIGURES: [Figure; 10] = [
    Figure {
        name: "offline-build",
        about: "build of `xtask` from nothing, as for the first `verify-pins --offline`",
        limit: Limit::AtMost(16.0),
        unit: "s",
        measure: measure::offline_build,
    },
    Figure {
        name: "polis-size",
        about: "size of the release build of `polis`",
        limit: Limit::AtMost(3.0),
        unit: "MB",
        measure: measure::polis_size,
    },
    Figure {
        name: "polis-start",
        about: "`polis version`, from start to exit",
        limit: Limit::AtMost(5.0),
        unit: "ms",
        measure: measure::polis_start,
    },
    Figure {
        name: "chown-speed",
        about: "coreutils, compared to `polis-init chown -R` on 100,000 files",
        limit: Limit::AtLeast(1.0),
        unit: "times",
        measure: ownership::speed,
    },
    Figure {
        name: "pins-growth",
        about: "`verify-pins --offline` with 8,000 services, compared to 4,000",
        limit: Limit::AtMost(3.0),
        unit: "times",
        measure: measure::pins_growth,
    },
    Figure {
        name: "check-speed",
        about: "cloud-init's validator, compared to `check` on the same file",
        limit: Limit::AtLeast(50.0),
        unit: "times",
        measure: measure::check_speed,
    },
    Figure {
        name: "online",
        about: "the online verbs, compared to `skopeo inspect` and `sha256sum`",
        limit: Limit::AtMost(0.0),
        unit: "failures",
        measure: measure::online,
    },
    Figure {
        name: "first-start",
        about: "a first `polis start` at 50 Mbit/s, compared to its downloads alone",
        limit: Limit::AtMost(1.4),
        unit: "times",
        measure: measure::first_start,
    },
    Figure {
        name: "rehearsal",
        about: "`release --rehearse` with everything built",
        limit: Limit::AtMost(20.0),
        unit: "s",
        measure: measure::rehearsal,
    },
    Figure {
        name: "rehearsal-after-change",
        about: "`release --rehearse` after a change of one line in the CLI",
        limit: Limit::AtMost(60.0),
        unit: "s",
        measure: measure::rehearsal_after_change,
    },
];

impl Limit {
    fn holds(self, value: f64) -> bool {
        match self {
            Self::AtMost(most) => value <= most,
            Self::AtLeast(least) => value >= least,
        }
    }

    fn describe(self, unit: &str) -> String {
        match self {
            Self::AtMost(most) => format!("at most {most} {unit}"),
            Self::AtLeast(least) => format!("at least {least} {unit}"),
        }
    }
}

/// The names that the verb accepts.
fn names() -> impl Iterator<Item = &'static str> {
    FIGURES.iter().map(|figure| figure.name)
}

/// Runs the verb.
///
/// # Errors
/// If a build or a measured program fails.
pub fn run(workspace: &Workspace, args: &BenchArgs, progress: Progress) -> Result<Report> {
    let wanted = |figure: &&Figure| {
        args.figures.is_empty() || args.figures.iter().any(|name| name == figure.name)
    };
    let (mut lines, mut values, mut missed) = (Vec::new(), Vec::new(), 0);
    for figure in FIGURES.iter().filter(wanted) {
        let limit = figure.limit.describe(figure.unit);
        if args.list {
            lines.push(format!("{:<23} {limit:<18} {}", figure.name, figure.about));
            continue;
        }
        progress.note(&format!("measuring {}", figure.name));
        let (value, shown) = match (figure.measure)(workspace)? {
            Measured::Value(value) => {
                let holds = figure.limit.holds(value);
                missed += usize::from(!holds);
                let verdict = if holds { "" } else { "  MISSED" };
                let shown = format!("{value:.2} {}, {limit}{verdict}", figure.unit);
                (Some(value), shown)
            }
            Measured::Skipped(why) => (None, format!("skipped: {why}")),
        };
        lines.push(format!("{:<23} {shown}", figure.name));
        values.push(reports::Figure {
            name: figure.name,
            value,
            unit: figure.unit,
            limit,
        });
    }
    let mut report = Report::new(
        "bench",
        reports::Bench { figures: values },
        lines.join("\n"),
    );
    if missed > 0 {
        report.outcome = Outcome::Findings;
    }
    Ok(report)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_inclusive_and_has_a_direction() {
        assert!(Limit::AtMost(3.0).holds(3.0) && !Limit::AtMost(3.0).holds(3.1));
        assert!(Limit::AtLeast(50.0).holds(50.0) && !Limit::AtLeast(50.0).holds(49.9));
        assert_eq!(Limit::AtMost(3.0).describe("MB"), "at most 3 MB");
    }
}
