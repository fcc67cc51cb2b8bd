//! A tool of the guest under way: its call and its guest.

use crate::call::Call;
use crate::guest::{Guest, paths};

/// A tool under way.
#[derive(Debug)]
pub(super) struct Tool {
    /// Its record and its streams.
    pub(super) call: Call,
    /// The guest that it belongs to.
    pub(super) guest: Guest,
}

impl Tool {
    /// Refuses what is not scripted.
    pub(super) fn refuse(&mut self) -> u8 {
        self.call.end.refused = true;
        self.call.err("the double has no answer to this\n");
        127
    }

    /// Prints on standard error; the code of a failure.
    pub(super) fn fail(&self, text: &str) -> u8 {
        let text = paths::to_guest(text, self.guest.root());
        self.call.err(&format!("{text}\n"));
        1
    }
}
