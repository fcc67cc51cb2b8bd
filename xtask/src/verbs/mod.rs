//! One verb, one file: each reads what it needs, asks the pure modules, and reports.

pub mod docs;
pub mod images;
pub mod prepare;
