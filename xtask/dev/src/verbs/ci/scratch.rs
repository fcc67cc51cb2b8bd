//! The temporary directory of the tests: in memory where possible. Tests create and delete hundreds of thousands of
//! small files, and ext4 spends more time looking for free inodes than the tests spend on everything else.

use std::path::Path;

use tempfile::TempDir;

/// Linux's in-memory file system.
const MEMORY: &str = "/dev/shm";

/// The most that tests use of it in bytes, with a margin.
const ROOM: u64 = 4 << 30;

/// A directory in memory, removed on drop. `None` if there is no such file system or too little space.
pub(super) fn in_memory() -> Option<TempDir> {
    let enough = room(Path::new(MEMORY)).is_some_and(|room| room >= ROOM);
    let dir = enough.then(|| {
        tempfile::Builder::new()
            .prefix("polis-ci-")
            .tempdir_in(MEMORY)
    });
    dir?.ok()
}

/// The free bytes at `path`.
#[cfg(unix)]
fn room(path: &Path) -> Option<u64> {
    let facts = rustix::fs::statvfs(path).ok()?;
    facts.f_bavail.checked_mul(facts.f_frsize)
}

#[cfg(not(unix))]
fn room(_: &Path) -> Option<u64> {
    None
}
