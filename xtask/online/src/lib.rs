//! The network edge of the release tools: registry, downloads and GitHub.
//!
//! This is a separate crate so that no offline verb compiles an HTTP stack.

#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod args;
mod client;
pub mod download;
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
pub mod stand_in;
pub mod state;
mod tls;
mod verify;

pub use endpoint::Endpoints;
pub use error::{ErrorKind, NetError, Rejection};
pub use retry::RetryPolicy;
pub use signature::{Cosign, Count};
pub use state::PinState;
pub use tls::EXTRA_CA;
pub use verify::Verifier;
