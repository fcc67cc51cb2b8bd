//! The code on which the CLI and the release tools must agree.
//!
//! Everything here is pure: no files, processes or sockets. `cli` and `xtask` both depend on this crate; neither depends on the
//! other.

#[cfg(feature = "archive")]
pub mod archive;
#[cfg(feature = "archive")]
pub mod bundle;
pub mod digest;
pub mod facts;
pub mod image;
pub mod pages;
pub mod release;
pub mod shown;
pub mod signals;

pub use digest::Digest;
pub use image::ImageRef;
