//! One verb, one file: each reads what it needs, asks the pure modules, and reports.

pub mod bench;
pub mod ci;
pub mod docs;
pub mod images;
pub mod prepare;
pub mod setup;
