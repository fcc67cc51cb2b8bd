//! Allows one `ci` per checkout at a time: two would write the same logs and share a Docker engine.

use std::fs::{self, File, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};

use xtask_host::error::{Error, Result};
use xtask_host::workspace::Workspace;

/// The lock file below the build directory. It holds the process id of the run.
const PATH: &str = "ci/lock";

/// Locks the checkout until the file is dropped or the process ends.
///
/// # Errors
/// If another `ci` holds the lock, or the file cannot be written.
pub(super) fn take(workspace: &Workspace) -> Result<File> {
    let path = workspace.target.join(PATH);
    let failed = |error: std::io::Error| Error::io("lock", &path, &error);
    fs::create_dir_all(path.with_file_name("")).map_err(failed)?;
    let mut options = File::options();
    let options = options.create(true).read(true).write(true).truncate(false);
    let mut file = options.open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {
            file.set_len(0).map_err(failed)?;
            file.rewind().map_err(failed)?;
            write!(file, "{}", std::process::id()).map_err(failed)?;
            Ok(file)
        }
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            // The error is useful without the number, too.
            let _ = file.read_to_string(&mut holder);
            Err(Error::machine("`cargo xtask ci` is already running in this checkout")
                .because(format!("process {holder} holds `{}`", path.display()))
                .hint("wait until it has ended, or run this one in another checkout (`git worktree add`)"))
        }
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}
