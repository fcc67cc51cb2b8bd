//! One file per verb. Each reads its input, calls pure modules, and returns a report.

pub mod docs;
pub mod images;
pub mod prepare;
