//! The compose stack on a real Docker Engine: the shipped images are out of reach where tests run, so twins of them are
//! built from the contracts in `compose/images/`, and the real `polis` starts them.

pub mod twins;

/// A value, or what went wrong, for people.
pub type Result<T> = std::result::Result<T, String>;
