//! Tests of the compose stack on a real Docker Engine. Tests cannot reach the published images, so they build twins of them from
//! the contracts in `compose/images/`, and the real `polis` starts those.

pub mod bench;
pub mod certificates;
pub mod health;
pub mod internet;
pub mod isolated;
pub mod lab;
pub mod registry;
pub mod tree;
pub mod twins;
pub mod variant;

/// A value, or an error message for people.
pub type Result<T> = std::result::Result<T, String>;
