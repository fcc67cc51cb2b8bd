//! What a release publishes: archives, checksums, signature. No network.
//!
//! It is a crate of its own so that the verbs that check pins compile neither cryptography nor
//! archive formats.

pub mod dist;
pub mod sign;
pub mod verb;
