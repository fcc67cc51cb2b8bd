//! The network edge of the release tools: registry, downloads and GitHub, and servers that stand
//! in for them in a rehearsal.
//!
//! It is a crate of its own so that no offline verb ever compiles an HTTP stack.

#![warn(clippy::print_stdout, clippy::print_stderr)]

mod client;
pub mod download;
pub mod embedded;
pub mod endpoint;
pub mod error;
pub mod github;
pub mod images;
mod openpgp;
mod outcome;
mod proxy;
mod published;
pub mod registry;
mod retry;
mod signature;
pub mod state;
mod tls;
mod verify;

pub use endpoint::{Endpoints, Patience};
pub use error::{ErrorKind, NetError, Rejection};
pub use signature::{Cosign, Count};
pub use state::State;
pub use tls::EXTRA_CA;
pub use verify::Verifier;
