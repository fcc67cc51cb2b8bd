//! The releases of this program: what they state, how they are fetched, and how one takes the place of the program.
//!
//! Nothing that comes from the network is trusted but what the key in this program has signed: the list of checksums, and
//! the version that is signed with it.

pub(crate) mod archive;
pub(crate) mod fetch;
pub(crate) mod place;
pub(crate) mod statement;
pub(crate) mod url;
