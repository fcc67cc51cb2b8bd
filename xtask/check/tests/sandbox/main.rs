//! What `check` makes of a compose file that was changed to break out of the sandbox.
//!
//! The edits are made in the parsed document, so that they do not depend on how the file is laid out.

mod edits;
mod foreign;
mod hidden;
mod hostile;
mod mutation;
mod removed;
