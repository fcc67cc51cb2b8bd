//! Loopback stand-ins for the public servers, for rehearsals and tests.
//!
//! They speak the real protocols and keep real bytes on disk, so the release code runs against them
//! unchanged and its results can be inspected.

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

/// The first value of `key` in the query of `uri`, decoded.
fn query(uri: &Uri, key: &str) -> Option<String> {
    let url = Url::parse(&format!("http://localhost/?{}", uri.query()?)).ok()?;
    let mut pairs = url.query_pairs();
    pairs
        .find(|(name, _)| name == key)
        .map(|(_, value)| value.into_owned())
}
