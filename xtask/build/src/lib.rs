//! Builds what this repository publishes, the same bytes everywhere: programs by cargo, images as OCI layouts.

#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod images;
pub mod oci;
pub mod report;
pub mod rust_build;
