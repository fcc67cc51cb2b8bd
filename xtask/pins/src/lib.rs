//! What the tree says, with the place of every word: pins, versions, waivers and contracts of images.
//!
//! Everything here decides: it reads files of the tree and starts no program. Edits are values; who writes them is elsewhere.

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
