//! One file per verb. Each reads its input, calls pure modules, and returns a report.

pub mod bench;
pub mod ci;
pub mod docs;
pub mod images;
pub mod prepare;
pub mod setup;
