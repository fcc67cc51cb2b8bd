//! The verbs for a developer's machine: they run the tests, install the test tools and measure. They are apart from the
//! offline verbs, which compile neither these nor what only these need.

#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod args;
pub mod tools;
pub mod verbs;
