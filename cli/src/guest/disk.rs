//! The disk of the VM.

use serde::Serialize;

use crate::multipass::size;

/// The usage of the VM's disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Disk {
    /// Used space in percent.
    pub(crate) space: u8,
    /// Used inodes in percent.
    pub(crate) inodes: u8,
    /// Free bytes.
    pub(crate) free: u64,
}

/// The percentages at which a disk counts as nearly full and as full; Docker needs space to replace an image.
const NEARLY_FULL: u8 = 85;

const FULL: u8 = 95;

/// The command that frees space, most of which is used by images of earlier versions.
pub(crate) const MAKE_ROOM: &str = "polis exec --vm -- docker image prune --all --force";

impl Disk {
    /// The warning if the disk is nearly full, and whether it is urgent.
    pub(crate) fn warning(&self) -> Option<(String, bool)> {
        let (percent, what) = match self.space >= self.inodes {
            true => (self.space, "disk"),
            false => (self.inodes, "inode table"),
        };
        let text = format!(
            "the VM's {what} is {percent}% full, {} free",
            size::words(self.free)
        );
        (percent >= NEARLY_FULL).then_some((text, percent >= FULL))
    }
}
