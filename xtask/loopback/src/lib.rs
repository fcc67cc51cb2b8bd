//! Servers on loopback that stand in for the public ones: in a rehearsal of a release, and in
//! tests.
//!
//! They speak the real protocols and keep real bytes on disk, so that the code of a release runs
//! unchanged against them and everyone can look at what it left.

pub mod fault;
pub mod files;
pub mod github;
pub mod journal;
pub mod proxy;
pub mod registry;
mod serve;

use axum::http::Uri;
use reqwest::Url;

pub use fault::{Fault, Faults};
pub use files::EmbeddedFiles;
pub use github::{EmbeddedGitHub, Probe};
pub use journal::{Entry, Hold, Journal, Trip};
pub use proxy::EmbeddedProxy;
pub use registry::EmbeddedRegistry;
pub use serve::Door;

/// The first value of `key` in the query of `uri`, with its escapes undone.
fn query(uri: &Uri, key: &str) -> Option<String> {
    let url = Url::parse(&format!("http://localhost/?{}", uri.query()?)).ok()?;
    let mut pairs = url.query_pairs();
    pairs
        .find(|(name, _)| name == key)
        .map(|(_, value)| value.into_owned())
}
