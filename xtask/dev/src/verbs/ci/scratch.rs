//! Where the tests put their files: in memory, where there is such a place. They create and delete hundreds of thousands of
//! small files, and ext4 spends more time on finding an inode that nobody has deleted lately than the tests spend on the rest.

use std::path::Path;

use tempfile::TempDir;

/// Linux's file system in memory.
const MEMORY: &str = "/dev/shm";

/// What the tests need of it at most, in bytes, with room to spare.
const ROOM: u64 = 4 << 30;

/// A directory in memory, removed when dropped; none where there is no such place or not enough room.
pub(super) fn in_memory() -> Option<TempDir> {
    let enough = room(Path::new(MEMORY)).is_some_and(|room| room >= ROOM);
    let dir = enough.then(|| {
        tempfile::Builder::new()
            .prefix("polis-ci-")
            .tempdir_in(MEMORY)
    });
    dir?.ok()
}

/// The bytes that are free for us below `path`.
#[cfg(unix)]
fn room(path: &Path) -> Option<u64> {
    let facts = rustix::fs::statvfs(path).ok()?;
    facts.f_bavail.checked_mul(facts.f_frsize)
}

#[cfg(not(unix))]
fn room(_: &Path) -> Option<u64> {
    None
}
