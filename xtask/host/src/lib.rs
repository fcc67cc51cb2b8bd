//! Shared by all release programs: options, errors, findings, output, files of the tree and child processes.
//!
//! This crate does not depend on the content of the tree.

#![warn(clippy::print_stdout, clippy::print_stderr)]

mod environment;
pub mod error;
pub mod finding;
pub mod options;
pub mod outcome;
pub mod place;
pub mod print;
pub mod process;
pub mod program;
pub mod progress;
pub mod report;
pub mod reports;
pub mod say;
pub mod secrets;
pub mod signals;
pub mod source;
pub mod toolchain;
#[cfg(feature = "tools")]
pub mod tools;
pub mod tree;
pub mod workspace;
pub mod write;
