//! The command line of the release tools, and the verbs that need no network.

#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod cli;
pub mod delegate;
pub mod verbs;
