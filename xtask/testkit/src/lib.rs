//! For tests only: a copy of the tree to break, and the real programs run on it.
//!
//! A copy is in a known state, whatever state the tree is in (`normal`): a test that passes only
//! while something is waived, or until an action is bumped, would stop the release that does so.
//! What must hold for the tree as it is, is asked of [`Tree::as_it_is`]. `POLIS_TEST_TREE` names
//! another tree to copy.
//!
//! Tests see what users see: exit code, standard output, standard error. The environment of
//! the programs is cleared but for what finds the toolchain, and HOME is the copy.

mod canary;
pub mod fuzz;
mod normal;
mod prepared;
pub mod programs;
mod tree;
mod variant;

pub use canary::{Canary, Given};
pub use normal::{AFTER_WAIVERS, VERSION};
pub use prepared::prepared;
pub use tree::{Ran, TREE, Tree, has_part, repository};
pub use variant::Variant;
