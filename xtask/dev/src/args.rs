//! The arguments of the verbs for a developer's machine.

use clap::{Args, Subcommand};
use xtask_host::program;

use crate::verbs::bench::BenchArgs;
use crate::verbs::ci::CiArgs;

/// The verbs of this program; `cargo xtask` shows their summaries.
#[derive(Debug, Clone, Subcommand)]
pub enum Verb {
    /// Run everything that must pass: checks, lints and all tests
    Ci(CiArgs),
    /// Prepare a developer's machine: test tools, cargo-nextest, a pre-commit hook
    Setup(SetupArgs),
    /// Measure the figures that we promise, and compare them with their limits
    Bench(BenchArgs),
}

/// Arguments of `setup`.
#[derive(Debug, Clone, Args)]
pub struct SetupArgs {
    /// Carry out the plan instead of printing it
    #[arg(long)]
    pub yes: bool,
}

impl program::Verb for Verb {
    fn name(&self) -> &'static str {
        match self {
            Self::Ci(_) => "ci",
            Self::Setup(_) => "setup",
            Self::Bench(_) => "bench",
        }
    }

    fn has_findings(&self) -> bool {
        false
    }
}
