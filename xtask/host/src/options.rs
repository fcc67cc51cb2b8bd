//! Global options, which every verb of every release program accepts.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// The environment variable for endpoints. It lets documented commands run unchanged against servers on loopback.
pub const ENDPOINTS: &str = "POLIS_ENDPOINTS";

/// Global options.
#[derive(Debug, Clone, Args)]
pub struct Global {
    /// The output format; the last three only for verbs that check something
    #[arg(long, global = true, value_enum, default_value_t = Format::Human)]
    pub format: Format,
    /// Print no progress
    #[arg(long, short, global = true)]
    pub quiet: bool,
    /// Log network activity: requests, retries, redirects and times; repeat for more. RUST_LOG does the same
    #[arg(long, short, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// The tree to work on [default: the one this program was built from]
    #[arg(long, global = true, value_name = "DIR")]
    pub root: Option<PathBuf>,
    /// Reach HOST at URL instead of https://HOST: a mirror, or a server on loopback; separate several with commas in
    /// the variable
    #[arg(
        long = "endpoint",
        global = true,
        value_name = "HOST=URL",
        env = ENDPOINTS,
        hide_env_values = true,
        value_delimiter = ','
    )]
    pub endpoints: Vec<String>,
    /// Whether the endpoints come from the environment.
    #[arg(skip)]
    pub endpoints_from_env: bool,
    /// Give up on the network after this time, even if a server asks us to wait longer [default: 900; 1500 for verbs
    /// that read whole images; none for verbs that release or push]
    #[arg(long, global = true, value_name = "SECONDS")]
    pub deadline: Option<u64>,
    /// Wait this long before the first retry of a failed request, and twice as long before each further one [default:
    /// 500]
    #[arg(
        long,
        global = true,
        value_name = "MILLISECONDS",
        env = "POLIS_RETRY_DELAY"
    )]
    pub retry_delay: Option<u64>,
}

/// The output format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Text for people.
    Human,
    /// One JSON document; see `schemas/report.schema.json`.
    Json,
    /// Findings in SARIF 2.1.0, for code scanning and editors.
    Sarif,
    /// Findings as annotations of GitHub Actions, and a table in the job summary.
    Github,
    /// Findings as a table in Markdown.
    Markdown,
}

impl Format {
    /// Whether the format shows only findings. Only verbs that produce findings accept it.
    pub fn is_of_findings(self) -> bool {
        matches!(self, Self::Sarif | Self::Github | Self::Markdown)
    }
}
