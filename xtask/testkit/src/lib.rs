//! For tests only: a copy of the tree to break, and the real programs to run on it.
//!
//! A copy is always in a known state, whatever the state of the tree (see `normal`). A test that passes only while
//! something is waived, or until an action is updated, would block the release that changes that. Use
//! [`Tree::as_it_is`] for properties that must hold in every state. `POLIS_TEST_TREE` selects another tree to copy.
//!
//! Tests see what users see: exit code, standard output, standard error. Programs get only the environment that the
//! toolchain needs, and HOME is the copy.

mod canary;
pub mod fuzz;
mod json;
mod normal;
mod prepared;
pub mod programs;
mod tree;
mod variant;

pub use canary::{Canary, Given};
pub use json::json_file;
pub use normal::{AFTER_WAIVERS, VERSION};
pub use prepared::prepared;
pub use tree::{Ran, TREE, Tree, cargo_home, has_part, repository};
pub use variant::Variant;
