//! The compose stack on a real Docker Engine. The published images are out of reach where tests run, so twins of them are
//! built from the contracts in `compose/images/`, and the real `polis` starts them.

pub mod bench;
pub mod certificates;
pub mod health;
pub mod internet;
pub mod lab;
pub mod registry;
pub mod scene;
pub mod tree;
pub mod twins;
pub mod variant;

/// A value, or what went wrong, for people.
pub type Result<T> = std::result::Result<T, String>;
