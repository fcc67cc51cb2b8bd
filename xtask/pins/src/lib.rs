//! Readers and rules for the files of the tree: pins, versions, waivers, and the contracts of images. Every value has
//! its location in a file.
//!
//! Starts no program and writes no file: edits are values that the caller writes.

#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod compose;
pub mod contract;
pub mod date;
pub mod dockerfile;
pub mod edit;
pub mod inventory;
mod mapped;
pub mod pins_env;
pub mod verify_pins;
pub mod versions;
pub mod waivers;
pub mod yaml;
