//! The release tools of Polis that need no network.
//!
//! `xtask` answers the offline verbs; `xtask-check`, `xtask-dist` and `xtask-online` build on this library
//! and are run for theirs, so that an offline verb never compiles an HTTP stack. Pure modules
//! (`compose`, `contract`, `dockerfile`, `oci`, `pins`, `pins_env`, `versions`, `waivers`, `yaml`)
//! decide; `images`, `rust_build`, `process`, `write` act; `verbs` put them together.

#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod cli;
pub mod compose;
pub mod contract;

pub mod dockerfile;
mod environment;
pub mod error;
pub mod finding;
pub mod heavy;
pub mod images;
mod mapped;
pub mod oci;
pub mod parts;
pub mod pins;
pub mod pins_env;
pub mod process;
pub mod program;
pub mod progress;
pub mod report;
pub mod rust_build;
pub mod say;
pub mod secrets;
pub mod signals;
pub mod source;
pub mod tree;
pub mod verbs;
pub mod versions;
pub mod waivers;
pub mod workspace;
pub mod write;
pub mod yaml;
