//! The command line of the release tools, and the verbs that need no network.
//!
//! `xtask` answers the offline verbs; `xtask-check`, `xtask-dist` and `xtask-online` are run for theirs, so that an
//! offline verb never compiles an HTTP stack.

#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod cli;
pub mod heavy;
pub mod parts;
pub mod program;
pub mod verbs;
