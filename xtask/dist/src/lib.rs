//! Builds the files of a release: archives, SBOMs, manifest, checksums, signature. It uses no network.
//!
//! It is a separate crate so that the verbs that check pins compile neither cryptography nor archive
//! formats. [`assemble`] makes everything but the signature, [`Assembled::sign`] adds that.

#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod args;
mod assemble;
mod build;
mod content;
mod crates;
mod files;
mod inspect;
pub mod installers;
mod licences;
mod manifest;
pub mod name;
mod notices;
mod pack;
mod platform;
mod sbom;
pub mod sign;
pub mod verb;

pub use assemble::{Archives, Assembled, Inputs, assemble, facts, inspect_prebuilt};
pub use files::{ReleaseFile, Signed};
pub use inspect::{Expected, Inspected, inspect};
pub use manifest::{Embeds, ManifestArchive, ManifestDownload, ManifestImage, ReleaseManifest};
pub use name::{MANIFEST, RELEASE_TARGETS, ReleaseKind, SIGNATURE, SUMS, archive_name};
pub use sbom::{sbom_name, sbom_of_init};
