//! The state directory: the lock, copies in transit and, if pipes do not work, the files that Multipass reads. polis writes nowhere
//! else on the host, except for the targets of `cp`, `sync --apply` and `ssh-config --install`.
//!
//! Other users may have created it first. So it must belong to this user and be accessible only to this user, and links in it are
//! never followed.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::{Error, Kind, Result};
use crate::instance;

/// The prefix of copies in transit.
const SPOOL: &str = "copy-";
/// The suffix of files that are written beside their target.
const BESIDE: &str = ".polis-new";
/// Other files that a killed run leaves: input of Multipass, and an incomplete key pair.
const TRANSIENT: [&str; 7] = [
    "cloud-init.yaml",
    "bundle.tar",
    "agent.tar",
    "agent keys",
    "stdin",
    "ssh_key_new",
    "ssh_key_new.pub",
];
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The directory with the state of the workspaces other than the default one.
pub(crate) const OTHERS: &str = "workspaces";

/// A workspace's part of the state directory, which is created by the first write.
#[derive(Debug)]
pub(crate) struct Store {
    /// The state directory, where the default workspace has its files.
    state: PathBuf,
    /// The directory of this workspace.
    dir: PathBuf,
}

/// Held while a run changes the workspace. The system releases it when the process ends.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

/// A file for Multipass to read; removed when dropped.
#[derive(Debug)]
pub(crate) struct Written(PathBuf);

impl Written {
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        // A file that remains is private.
        let _ignored = fs::remove_file(&self.0);
    }
}

/// A file for a copy in transit; removed when dropped.
#[derive(Debug)]
pub(crate) struct Spool {
    file: File,
    written: Option<Written>,
}

impl Spool {
    /// The file, open for reading and writing. All handles share one position.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// The file from its start. Multipass may have replaced it if it has a name, so it is opened anew.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub(crate) fn received(&self) -> io::Result<File> {
        let mut file = match self.path() {
            Some(path) => File::open(path)?,
            None => self.file.try_clone()?,
        };
        file.seek(SeekFrom::Start(0))?;
        Ok(file)
    }

    /// Its path, if it has a name.
    pub(crate) fn path(&self) -> Option<&Path> {
        self.written.as_ref().map(Written::path)
    }
}

impl Store {
    /// The store of the default workspace in the state directory `dir`.
    pub(crate) fn new(dir: PathBuf) -> Self {
        Self {
            state: dir.clone(),
            dir,
        }
    }

    /// The store of the workspace `name` in the state directory `state`.
    pub(crate) fn of(state: PathBuf, name: &str) -> Self {
        match name {
            instance::DEFAULT => Self::new(state),
            name => Self {
                dir: state.join(OTHERS).join(name),
                state,
            },
        }
    }

    /// The state directory of all workspaces.
    pub(crate) fn state(&self) -> &Path {
        &self.state
    }

    /// Whether a workspace other than this one has a file `name`.
    pub(crate) fn others_have(&self, name: &str) -> bool {
        let named = fs::read_dir(self.state.join(OTHERS)).into_iter().flatten();
        let named = named.flatten().map(|entry| entry.path());
        let mut dirs = named.chain([self.state.clone()]);
        dirs.any(|dir| dir != self.dir && dir.join(name).exists())
    }

    /// Whether any workspace has a file `name`.
    pub(crate) fn any_has(&self, name: &str) -> bool {
        self.dir.join(name).exists() || self.others_have(name)
    }

    /// Takes the lock of this workspace, without waiting.
    ///
    /// # Errors
    /// Of kind `Busy`, or `Unexpected` when the directory cannot be written.
    pub(crate) fn lock(&self) -> Result<Lock> {
        let path = self.path("lock")?;
        let opened = private_file().truncate(false).create(true).open(&path);
        let file = opened.map_err(|error| unwritable(&path, &error))?;
        match file.try_lock() {
            Ok(()) => Ok(Lock { _file: file }),
            Err(TryLockError::WouldBlock) => Err(Error::new(
                Kind::Busy,
                "another polis is running on this workspace",
            )
            .because(format!("it holds `{}`", path.display()))
            .next("wait for it to end, or end it; then run this again")),
            Err(TryLockError::Error(error)) => Err(unwritable(&path, &error)),
        }
    }

    /// Writes a file for Multipass to read.
    ///
    /// # Errors
    /// When the directory cannot be written.
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> Result<Written> {
        self.keep(name, bytes).map(Written)
    }

    /// Writes a file that stays, by renaming a temporary one.
    ///
    /// # Errors
    /// When the directory cannot be written.
    pub(crate) fn keep(&self, name: &str, bytes: &[u8]) -> Result<PathBuf> {
        let path = self.path(name)?;
        let beside = self.path(&format!("{name}{BESIDE}"))?;
        let write = || {
            // Left by an earlier run that was killed.
            match fs::remove_file(&beside) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let mut file = private_file().create_new(true).open(&beside)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&beside, &path)
        };
        write().map_err(|error| unwritable(&path, &error))?;
        Ok(path)
    }

    /// Creates an empty file for a copy in transit. Unless `named`, for Multipass to open, it has no name, so that it
    /// disappears even if the run is killed.
    ///
    /// # Errors
    /// When the directory cannot be written.
    pub(crate) fn spool(&self, named: bool) -> Result<Spool> {
        let path = self.path(&format!("{SPOOL}{}", std::process::id()))?;
        self.sweep();
        let mut options = private_file();
        // A file of this name belongs to a process that has ended.
        let opened = options.read(true).truncate(true).create(true).open(&path);
        let file = opened.map_err(|error| unwritable(&path, &error))?;
        let written = Written(path);
        Ok(Spool {
            file,
            written: named.then_some(written),
        })
    }

    /// Removes copies that killed runs have left more than a day ago. A failure only costs space.
    fn sweep(&self) {
        for path in self.left_over() {
            if name_of(&path).starts_with(SPOOL) {
                let _ignored = fs::remove_file(path);
            }
        }
    }

    /// Whether this is the store of the default workspace.
    pub(crate) fn is_default(&self) -> bool {
        self.dir == self.state
    }

    /// Files that killed runs have left. They are safe to remove: no run lasts as long as the day after which they count as old.
    pub(crate) fn left_over(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.dir).into_iter().flatten().flatten();
        let mut found: Vec<PathBuf> = entries
            .filter(|entry| {
                let data = entry.metadata().ok().filter(fs::Metadata::is_file);
                let age = data.and_then(|data| data.modified().ok()?.elapsed().ok());
                age.is_some_and(|age| age > DAY)
            })
            .map(|entry| entry.path())
            .filter(|path| {
                let name = name_of(path);
                let known = TRANSIENT.contains(&name.as_str());
                known || name.starts_with(SPOOL) || name.ends_with(BESIDE)
            })
            .collect();
        found.sort();
        found
    }

    /// The directories and this workspace's files that belong to this user but that other users may open.
    pub(crate) fn open_to_others(&self) -> Vec<PathBuf> {
        let mut all = vec![self.state.clone()];
        if !self.is_default() {
            all.extend([self.state.join(OTHERS), self.dir.clone()]);
        }
        let entries = fs::read_dir(&self.dir).into_iter().flatten().flatten();
        let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        files.retain(|path| path.symlink_metadata().is_ok_and(|data| data.is_file()));
        files.sort();
        all.extend(files);
        all.retain(|path| is_open(path));
        all
    }

    /// The path of the file `name`; creates its directory.
    ///
    /// # Errors
    /// When the directory cannot be created, or belongs to another user.
    pub(crate) fn path(&self, name: &str) -> Result<PathBuf> {
        let above = [&self.state, &self.state.join(OTHERS), &self.dir];
        // The default workspace has no subdirectory.
        let needed = if self.dir == self.state { 1 } else { 3 };
        for dir in &above[..needed] {
            private(dir).map_err(|error| unwritable(dir, &error))?;
        }
        Ok(self.dir.join(name))
    }
}

fn name_of(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

/// Whether other users may open this file or directory of the user; false for a link.
#[cfg(unix)]
fn is_open(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let found = fs::symlink_metadata(path);
    found.is_ok_and(|found| {
        let ours = found.uid() == rustix::process::geteuid().as_raw();
        ours && !found.is_symlink() && found.mode() & 0o077 != 0
    })
}

/// On Windows, other users cannot access a user's profile.
#[cfg(not(unix))]
fn is_open(_path: &Path) -> bool {
    false
}

/// Options for a private file, without following a link.
fn private_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
        options.custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed());
    }
    options
}

/// Creates a private directory, or checks that an existing one belongs to this user and makes it private.
#[cfg(unix)]
fn private(dir: &Path) -> io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
    if let Some(parent) = dir.parent() {
        fs::create_dir_all(parent)?;
    }
    match DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let found = fs::symlink_metadata(dir)?;
    if !found.is_dir() {
        return Err(io::Error::other("it is not a directory, or a link to one"));
    }
    if found.uid() != rustix::process::geteuid().as_raw() {
        return Err(io::Error::other(format!(
            "it belongs to the user {}",
            found.uid()
        )));
    }
    if found.mode() & 0o077 != 0 {
        fs::set_permissions(dir, fs::Permissions::from_mode(0o700))?;
    }
    Ok(())
}

/// Creates the directory. On Windows, other users cannot access a user's profile.
#[cfg(not(unix))]
fn private(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).create(dir)
}

fn unwritable(path: &Path, error: &std::io::Error) -> Box<Error> {
    Error::new(
        Kind::Unexpected,
        format!("could not write to `{}`", path.display()),
    )
    .caused_by(&error)
    .next("free some space, or give this user write access; then run this again")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_run_at_a_time() {
        let dir = std::env::temp_dir().join(format!("polis-store-{}", std::process::id()));
        let store = Store::new(dir.clone());
        let lock = store.lock().unwrap();
        assert_eq!(store.lock().unwrap_err().kind, Kind::Busy);
        drop(lock);
        assert!(store.lock().is_ok());
        let written = store.write("bundle.tar", b"x").unwrap();
        assert_eq!(fs::read(written.path()).unwrap(), b"x");
        assert!(!dir.join("bundle.tar.polis-new").exists());
        fs::remove_dir_all(dir).unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn the_directory_is_private_and_links_are_not_followed() {
        use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
        let top = std::env::temp_dir().join(format!("polis-private-{}", std::process::id()));
        let dir = top.join("polis");
        fs::create_dir_all(&dir).unwrap();
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o777)).unwrap();
        fs::write(top.join("mine"), "mine").unwrap();
        fs::write(dir.join("lock"), "kept").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;

        let store = Store::new(dir.clone());
        drop(store.lock().unwrap());
        assert_eq!(mode(&dir), 0o700);
        assert_eq!(
            fs::read(dir.join("lock")).unwrap(),
            b"kept",
            "nothing is truncated"
        );
        symlink(top.join("mine"), dir.join("x.polis-new")).unwrap();
        let written = store.write("x", b"y").unwrap();
        assert_eq!(
            (fs::read(written.path()).unwrap(), mode(written.path())),
            (b"y".to_vec(), 0o600)
        );
        fs::remove_file(dir.join("lock")).unwrap();
        symlink(top.join("mine"), dir.join("lock")).unwrap();
        assert!(store.lock().is_err());
        assert_eq!(fs::read(top.join("mine")).unwrap(), b"mine");

        symlink(&dir, top.join("link")).unwrap();
        let error = Store::new(top.join("link")).lock().unwrap_err();
        assert!(error.causes[0].contains("a link"), "{:?}", error.causes);
        fs::remove_dir_all(top).unwrap();
    }
}
