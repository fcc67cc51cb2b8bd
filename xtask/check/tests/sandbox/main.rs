//! The findings of `check` for a compose file that was changed to break out of the sandbox.
//!
//! The edits are made in the parsed document, so that they do not depend on the layout of the file.

mod edits;
mod foreign;
mod hidden;
mod hostile;
mod mutation;
mod removed;
