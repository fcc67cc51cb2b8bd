//! Walks an untrusted tree and changes every object in it to the requested owner.
//!
//! A volume's contents belong to another container, so its tree may change during the walk and may contain links that point
//! anywhere. Three rules keep the walk inside: an object is addressed by a single name, as returned by the kernel, relative to an
//! open directory; no link is ever followed; and only a directory opened this way is entered. Swapping two names meanwhile only
//! changes another object of the same directory, which is to be changed anyway.
//!
//! Directories change owner after their contents, as in coreutils: with only the capability `CHOWN`, a container would lose access
//! to a private directory by changing its owner first.
//!
//! Nearly all of the time is spent in the system calls that read and change the owner of an object, so nothing else is done per
//! object. Threads share the names from one read of a directory. `cargo xtask bench` compares the speed with that of coreutils.

use std::ffi::{CStr, CString, OsStr};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::thread;

use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, OFlags, RawDir, SeekFrom, Stat, Uid};
use rustix::io::Errno;

use crate::names::{Names, Place};
use crate::ownership::{Owner, Request, Tally};

/// How much of a directory is read at a time: about two thousand entries.
const READ_BYTES: usize = 64 * 1024;

/// The minimum number of names per thread: with fewer, starting it costs more than it saves.
const SHARE: usize = 128;

/// After an object with the wrong owner, how many are changed without reading their owner first.
const UNASKED: u32 = 15;

/// More threads than this wait for the file system's journal.
const MOST_THREADS: usize = 4;

/// The maximum number of subdirectories recorded per level, and of levels: with names of 255 bytes, they fill two thirds of the
/// container's 32 MB.
const NOTED: usize = 32;
const DEEPEST: usize = 2048;

const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// A directory that is being walked. It holds a file descriptor, so the limit on open files also bounds the depth; anything deeper
/// is reported as a failure.
struct Frame {
    dir: OwnedFd,
    owner: Owner,
    /// Subdirectories that were read, to be walked before reading on.
    below: Vec<CString>,
    /// Whether it was read to its end.
    ended: bool,
}

impl Frame {
    fn new(dir: OwnedFd, stat: &Stat) -> Self {
        Self {
            dir,
            owner: owner_of(stat),
            below: Vec::new(),
            ended: false,
        }
    }
}

struct Walk<'a> {
    request: &'a Request,
    tally: Tally,
    threads: usize,
    /// The current path, for messages.
    path: PathBuf,
    /// The buffer that the kernel fills with a directory's entries.
    entries: Vec<MaybeUninit<u8>>,
    /// The names of entries that are not directories.
    names: Names,
}

/// Changes every path of the request and, if requested, everything below it.
pub(crate) fn walk(request: &Request) -> Tally {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let mut walk = Walk {
        request,
        tally: Tally::default(),
        threads: threads.min(MOST_THREADS),
        path: PathBuf::new(),
        entries: vec![MaybeUninit::uninit(); READ_BYTES],
        names: Names::default(),
    };
    for path in &request.paths {
        walk.tree(path);
    }
    walk.tally
}

impl Walk<'_> {
    fn tree(&mut self, path: &Path) {
        path.clone_into(&mut self.path);
        let mut stack = Vec::new();
        stack.extend(self.root(path));
        loop {
            let depth = stack.len();
            let Some(frame) = stack.last_mut() else {
                break;
            };
            if let Some(name) = frame.below.pop() {
                let below = self.directory(frame.dir.as_fd(), &name, depth);
                stack.extend(below);
            } else if !frame.ended {
                self.read(frame);
            } else if let Some(frame) = stack.pop() {
                self.change_open(frame.dir.as_fd(), frame.owner);
                self.path.pop();
            }
        }
    }

    /// Opens a path of the request. Returns a directory that is to be walked first; changes anything else.
    fn root(&mut self, path: &Path) -> Option<Frame> {
        let (object, stat) = match pin(path) {
            Ok(pinned) => pinned,
            Err((operation, error)) => {
                self.tally.fail(path, operation, error);
                return None;
            }
        };
        if self.request.recursive && FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            // "." of the pinned object, so that no name is looked up a second time.
            match rustix::fs::openat(&object, c".", DIRECTORY, Mode::empty()) {
                Ok(dir) => return Some(Frame::new(dir, &stat)),
                Err(error) => self.tally.fail(path, "open directory", error),
            }
        }
        self.change_open(object.as_fd(), owner_of(&stat));
        None
    }

    /// Opens a directory below another. If it cannot be opened, changes it without its contents.
    fn directory(&mut self, parent: BorrowedFd<'_>, name: &CStr, depth: usize) -> Option<Frame> {
        let opened = match depth < DEEPEST {
            true => rustix::fs::openat(parent, name, DIRECTORY, Mode::empty()),
            false => Err(Errno::NAMETOOLONG),
        };
        match opened.and_then(|dir| rustix::fs::fstat(&dir).map(|stat| (dir, stat))) {
            Ok((dir, stat)) => {
                self.path.push(OsStr::from_bytes(name.to_bytes()));
                return Some(Frame::new(dir, &stat));
            }
            // The name now refers to something else.
            Err(Errno::NOTDIR | Errno::LOOP) => {}
            Err(error) => self
                .tally
                .fail(&below(&self.path, name), "open directory", error),
        }
        let only = std::iter::once(name);
        self.tally
            .add(change(self.request.owner, parent, only, &self.path));
        None
    }

    /// Reads once from a directory, records subdirectories and changes everything else.
    fn read(&mut self, frame: &mut Frame) {
        self.names.clear();
        let mut entries = RawDir::new(&frame.dir, &mut self.entries);
        loop {
            let entry = match entries.next() {
                Some(Ok(entry)) => entry,
                end => {
                    frame.ended = true;
                    if let Some(Err(error)) = end {
                        self.tally.fail(&self.path, "read directory", error);
                    }
                    break;
                }
            };
            let name = entry.file_name();
            let next = entry.next_entry_cookie();
            if name != c"." && name != c".." {
                match kind(frame.dir.as_fd(), name, entry.file_type()) {
                    FileType::Directory => frame.below.push(name.to_owned()),
                    _ => self.names.push(entry.ino(), name),
                }
            }
            if frame.below.len() == NOTED {
                if let Err(error) = rustix::fs::seek(&frame.dir, SeekFrom::Start(next)) {
                    self.tally.fail(&self.path, "read directory", error);
                    frame.ended = true;
                }
                break;
            }
            if entries.is_buffer_empty() {
                break;
            }
        }
        self.change_names(frame.dir.as_fd());
    }

    /// Changes `self.names`, all in the same directory, on as many threads as are useful.
    fn change_names(&mut self, dir: BorrowedFd<'_>) {
        let (owner, path) = (self.request.owner, self.path.as_path());
        let order = self.names.in_order();
        let threads = self.threads.min(order.len() / SHARE).max(1);
        let names = &self.names;
        let change_share = |share: &[Place]| {
            let of_share = share.iter().map(|place| names.at(*place));
            change(owner, dir, of_share, path)
        };
        let mut shares = order.chunks(order.len().div_ceil(threads).max(1));
        let first = shares.next().unwrap_or_default();
        let tally = &mut self.tally;
        thread::scope(|scope| {
            let mut started = Vec::new();
            for share in shares {
                let thread = thread::Builder::new().spawn_scoped(scope, || change_share(share));
                match thread {
                    Ok(thread) => started.push(thread),
                    // If no thread can be started, this one does the work.
                    Err(_) => tally.add(change_share(share)),
                }
            }
            tally.add(change_share(first));
            for thread in started {
                tally.add(thread.join().expect("the thread to end without a panic"));
            }
        });
    }

    /// Changes the open object at `self.path` itself, unless it already has the owner.
    fn change_open(&mut self, object: BorrowedFd<'_>, owner: Owner) {
        if owner == self.request.owner {
            self.tally.already += 1;
            return;
        }
        let flags = AtFlags::EMPTY_PATH | AtFlags::SYMLINK_NOFOLLOW;
        match chownat(object, c"", self.request.owner, flags) {
            Ok(()) => self.tally.set += 1,
            Err(error) => self.tally.fail(&self.path, "chown", error),
        }
    }
}

/// Opens an object, link or not; fails with the operation and its error.
fn pin(path: &Path) -> Result<(OwnedFd, Stat), (&'static str, Errno)> {
    let name = CString::new(without_trailing_slashes(path)).map_err(|_| ("open", Errno::INVAL))?;
    // O_PATH pins the object itself and needs no permission on it.
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = rustix::fs::openat(CWD, &name, flags, Mode::empty());
    let object = opened.map_err(|error| ("open", error))?;
    let stat = rustix::fs::fstat(&object).map_err(|error| ("stat", error))?;
    Ok((object, stat))
}

/// The type of a directory entry; not every file system returns it with the name.
fn kind(dir: BorrowedFd<'_>, name: &CStr, told: FileType) -> FileType {
    if told != FileType::Unknown {
        return told;
    }
    // A failure is reported when the object is changed.
    rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)
        .map_or(told, |stat| FileType::from_raw_mode(stat.st_mode))
}

/// Changes the objects with these names, links or not.
///
/// Leaves an object with the right owner alone, so that a second run writes nothing. Reading the owner costs half as much as
/// changing it, and neighbours are mostly alike: after an object that had to be changed, the next few are changed without reading
/// their owner.
fn change<'a>(
    owner: Owner,
    dir: BorrowedFd<'_>,
    names: impl Iterator<Item = &'a CStr>,
    above: &Path,
) -> Tally {
    let mut tally = Tally::default();
    let mut unasked = 0;
    for name in names {
        if unasked > 0 {
            unasked -= 1;
            if chownat(dir, name, owner, AtFlags::SYMLINK_NOFOLLOW).is_ok() {
                tally.set += 1;
                continue;
            }
            // The owner may already be right although we may not change it, which is not a failure.
        }
        match ask_and_change(owner, dir, name) {
            Ok(Change::Set) => {
                tally.set += 1;
                unasked = UNASKED;
            }
            Ok(Change::Already) => {
                tally.already += 1;
                unasked = 0;
            }
            Err((operation, error)) => tally.fail(&below(above, name), operation, error),
        }
    }
    tally
}

/// The result for an object.
enum Change {
    /// It was changed.
    Set,
    /// It already had the owner.
    Already,
}

/// Fails with the operation and its error.
fn ask_and_change(
    owner: Owner,
    dir: BorrowedFd<'_>,
    name: &CStr,
) -> Result<Change, (&'static str, Errno)> {
    let stat = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW);
    if owner_of(&stat.map_err(|error| ("stat", error))?) == owner {
        return Ok(Change::Already);
    }
    let done = chownat(dir, name, owner, AtFlags::SYMLINK_NOFOLLOW);
    done.map(|()| Change::Set).map_err(|error| ("chown", error))
}

fn chownat(dir: BorrowedFd<'_>, name: &CStr, owner: Owner, flags: AtFlags) -> Result<(), Errno> {
    let (uid, gid) = (Uid::from_raw(owner.uid), Gid::from_raw(owner.gid));
    rustix::fs::chownat(dir, name, Some(uid), Some(gid), flags)
}

fn owner_of(stat: &Stat) -> Owner {
    Owner {
        uid: stat.st_uid,
        gid: stat.st_gid,
    }
}

fn below(above: &Path, name: &CStr) -> PathBuf {
    above.join(OsStr::from_bytes(name.to_bytes()))
}

/// A trailing slash would make the kernel follow a link at the end of the path.
fn without_trailing_slashes(path: &Path) -> Vec<u8> {
    let mut bytes = path.as_os_str().to_os_string().into_vec();
    while bytes.len() > 1 && bytes.ends_with(b"/") {
        bytes.pop();
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trailing_slashes_are_removed_except_for_the_root() {
        assert_eq!(without_trailing_slashes(Path::new("/data//")), b"/data");
        assert_eq!(without_trailing_slashes(Path::new("///")), b"/");
    }
}
