//! What the end user's CLI and the release tools must agree on, and nothing else.
//!
//! Everything here is pure: values in, values out, no file, process or socket. `cli` and
//! `xtask` both depend on this crate; neither depends on the other.

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
