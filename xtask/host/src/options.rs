//! The options that every verb of every release program understands.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// The variable for endpoints, so that commands can be run as they are written against servers on
/// loopback.
pub const ENDPOINTS: &str = "POLIS_ENDPOINTS";

/// Options of every verb.
#[derive(Debug, Clone, Args)]
pub struct Global {
    /// How results are printed; the last three only by verbs that check something
    #[arg(long, global = true, value_enum, default_value_t = Format::Human)]
    pub format: Format,
    /// No progress
    #[arg(long, short, global = true)]
    pub quiet: bool,
    /// Tell what is asked of the network: requests, retries, redirects and times; twice for more.
    /// RUST_LOG does the same
    #[arg(long, short, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// The tree to work on [default: the one this program was built from]
    #[arg(long, global = true, value_name = "DIR")]
    pub root: Option<PathBuf>,
    /// Reach HOST at URL instead of https://HOST: a mirror, or a server on loopback; several in the
    /// variable, with commas between them
    #[arg(
        long = "endpoint",
        global = true,
        value_name = "HOST=URL",
        env = ENDPOINTS,
        hide_env_values = true,
        value_delimiter = ','
    )]
    pub endpoints: Vec<String>,
    /// Whether the endpoints are those of the environment
    #[arg(skip)]
    pub endpoints_from_env: bool,
    /// Give up on the network after this time, whatever a server asks us to wait [default: 900,
    /// 1500 for what reads images whole, none for what releases or pushes]
    #[arg(long, global = true, value_name = "SECONDS")]
    pub deadline: Option<u64>,
    /// Wait this long before a failed request is sent again, and twice as long each time after that [default: 500]
    #[arg(
        long,
        global = true,
        value_name = "MILLISECONDS",
        env = "POLIS_RETRY_DELAY"
    )]
    pub retry_delay: Option<u64>,
}

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Text for people.
    Human,
    /// One JSON document, described by `schemas/report.schema.json`.
    Json,
    /// Findings in SARIF 2.1.0, for code scanning and editors.
    Sarif,
    /// Findings as annotations of GitHub Actions, and a table in the summary of the job.
    Github,
    /// Findings as a table in Markdown.
    Markdown,
}

impl Format {
    /// Whether it shows findings and nothing else, so that only verbs that have some offer it.
    pub fn is_of_findings(self) -> bool {
        matches!(self, Self::Sarif | Self::Github | Self::Markdown)
    }
}
