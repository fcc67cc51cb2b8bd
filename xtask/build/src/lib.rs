//! Reproducible builds of what this repository publishes: programs by cargo, images as OCI layouts.

#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod images;
pub mod oci;
pub mod report;
pub mod rust_build;
