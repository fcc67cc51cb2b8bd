//! Allows one release per checkout at a time: two would write the same `dist/` and layout.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};

use xtask_host::error::{Error, Result};
use xtask_host::workspace::Workspace;

/// The lock. The operating system releases it when the process ends.
#[derive(Debug)]
pub(crate) struct Lock(#[expect(dead_code, reason = "held, not read")] File);

impl Lock {
    /// Locks the checkout.
    ///
    /// # Errors
    /// If another release is running there.
    pub(crate) fn take(workspace: &Workspace) -> Result<Self> {
        let path = workspace.target.join("release.lock");
        let failed = |error: std::io::Error| Error::io("lock", &path, &error);
        std::fs::create_dir_all(&workspace.target).map_err(failed)?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // The holder is only shown for convenience; some systems do not allow reading a locked file.
                let _ = file.read_to_string(&mut holder);
                return Err(
                    Error::machine("another release is running in this checkout")
                        .because(format!(
                            "`{}` is held by process {}",
                            path.display(),
                            holder.trim()
                        ))
                        .hint("wait until it has ended, then run the same command again"),
                );
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        file.set_len(0).map_err(failed)?;
        file.rewind().map_err(failed)?;
        writeln!(file, "{}", std::process::id()).map_err(failed)?;
        Ok(Self(file))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_release_in_the_same_checkout_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let workspace = Workspace {
            root: dir.path().to_owned(),
            target: dir.path().join("target"),
        };
        let first = Lock::take(&workspace).unwrap();
        let error = Lock::take(&workspace).expect_err("held").to_string();
        assert!(error.contains("another release is running"), "{error}");
        assert!(error.contains(&std::process::id().to_string()), "{error}");
        drop(first);
        assert!(Lock::take(&workspace).is_ok());
    }
}
