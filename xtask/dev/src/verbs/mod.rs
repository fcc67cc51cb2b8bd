//! One verb, one file: each reads what it needs, starts the programs, and reports.

pub mod bench;
pub mod ci;
pub mod setup;
