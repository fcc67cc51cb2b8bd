//! A running tool of the guest: its call and its guest.

use crate::call::Call;
use crate::guest::{Guest, paths};

/// A running tool.
#[derive(Debug)]
pub(super) struct Tool {
    /// Its record and its streams.
    pub(super) call: Call,
    /// The guest that it runs in.
    pub(super) guest: Guest,
}

impl Tool {
    /// Refuses an unsupported command line.
    pub(super) fn refuse(&mut self) -> u8 {
        self.call.end.refused = true;
        self.call.err("the fake does not support this\n");
        127
    }

    /// Prints on standard error; returns the exit code of a failure.
    pub(super) fn fail(&self, text: &str) -> u8 {
        let text = paths::to_guest(text, self.guest.root());
        self.call.err(&format!("{text}\n"));
        1
    }
}
