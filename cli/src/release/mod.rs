//! Releases of polis: verifying, fetching and installing them.
//!
//! Nothing from the network is trusted except what the key in this program has signed: the list of checksums and its
//! version.

pub(crate) mod archive;
pub(crate) mod fetch;
pub(crate) mod place;
pub(crate) mod statement;
pub(crate) mod url;
