//! Walks a tree that is not to be trusted and gives each object in it to its owner.
//!
//! A volume's contents belong to another container, so its tree may change while it is walked and
//! may hold links that point anywhere. Three rules keep the walk inside: an object is named by one
//! name, straight from the kernel, below an open directory; no link is ever followed; and only a
//! directory that was opened so is entered. Whoever swaps two names meanwhile gets another object
//! of the same directory changed, which has its turn anyway.
//!
//! Directories change owner after their contents, as in coreutils: a container with `CHOWN` and
//! nothing else would lock itself out of a private directory by giving it away first.
//!
//! Nearly all of the time goes into the system calls that ask for the owner of an object and change
//! it; nothing else is done for each. The names of one read of a directory, a
//! thousand or so, are shared between threads.

use std::ffi::{CStr, CString, OsStr};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::thread;

use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, OFlags, RawDir, Stat, Uid};
use rustix::io::Errno;

use crate::chown::{Owner, Request, Tally};

/// How much of a directory is read at a time; what libraries offer to the kernel as well.
const READ_BYTES: usize = 32 * 1024;

/// Bytes of names below which a thread takes longer to start than to help.
const SHARE_BYTES: usize = 2 * 1024;

/// How many objects are changed without asking.
const UNASKED: u32 = 15;

/// More threads than that wait for the file system's journal.
const MOST_THREADS: usize = 4;

const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// A directory that is being walked; it holds one file descriptor, so depth is bounded by the limit
/// on open files, and what lies deeper is reported as a failure.
struct Frame {
    dir: OwnedFd,
    stat: Stat,
    path: PathBuf,
    /// Directories that were read and are to be walked before reading on.
    below: Vec<CString>,
    /// Whether it was read to its end.
    ended: bool,
}

impl Frame {
    fn new(dir: OwnedFd, stat: Stat, path: PathBuf) -> Self {
        Self {
            dir,
            stat,
            path,
            below: Vec::new(),
            ended: false,
        }
    }
}

struct Walk<'a> {
    request: &'a Request,
    tally: Tally,
    threads: usize,
    /// What the kernel tells of one directory, read to its end before another is opened.
    entries: Vec<MaybeUninit<u8>>,
    /// The names in there that are not directories, each with its terminator.
    names: Vec<u8>,
}

/// Changes every path of the request and, if asked to, everything below it.
pub(crate) fn walk(request: &Request) -> Tally {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let mut walk = Walk {
        request,
        tally: Tally::default(),
        threads: threads.min(MOST_THREADS),
        entries: vec![MaybeUninit::uninit(); READ_BYTES],
        names: Vec::new(),
    };
    for path in &request.paths {
        walk.tree(path);
    }
    walk.tally
}

impl Walk<'_> {
    fn tree(&mut self, path: &Path) {
        let mut stack = Vec::new();
        stack.extend(self.root(path));
        while let Some(frame) = stack.last_mut() {
            if let Some(name) = frame.below.pop() {
                let below = self.directory(frame.dir.as_fd(), &name, &frame.path);
                stack.extend(below);
            } else if !frame.ended {
                self.read(frame);
            } else if let Some(Frame {
                dir, stat, path, ..
            }) = stack.pop()
            {
                change_open(
                    self.request.owner,
                    dir.as_fd(),
                    &stat,
                    &path,
                    &mut self.tally,
                );
            }
        }
    }

    /// Opens a path of the request and changes it, unless it is a directory to be walked first: that
    /// is returned.
    fn root(&mut self, path: &Path) -> Option<Frame> {
        let Ok(name) = CString::new(without_trailing_slashes(path)) else {
            self.tally.fail(path, "open", Errno::INVAL);
            return None;
        };
        // O_PATH pins the object itself, link or not, and needs no permission on it.
        let pinned = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let object = match rustix::fs::openat(CWD, &name, pinned, Mode::empty()) {
            Ok(object) => object,
            Err(error) => {
                self.tally.fail(path, "open", error);
                return None;
            }
        };
        let stat = match rustix::fs::fstat(&object) {
            Ok(stat) => stat,
            Err(error) => {
                self.tally.fail(path, "stat", error);
                return None;
            }
        };
        if self.request.recursive && FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            // "." of the pinned object: no name is looked up a second time.
            match rustix::fs::openat(&object, c".", DIRECTORY, Mode::empty()) {
                Ok(dir) => return Some(Frame::new(dir, stat, path.to_path_buf())),
                Err(error) => self.tally.fail(path, "open directory", error),
            }
        }
        change_open(
            self.request.owner,
            object.as_fd(),
            &stat,
            path,
            &mut self.tally,
        );
        None
    }

    /// Opens a directory below another. What cannot be opened is changed without its contents.
    fn directory(&mut self, parent: BorrowedFd<'_>, name: &CStr, above: &Path) -> Option<Frame> {
        let opened = rustix::fs::openat(parent, name, DIRECTORY, Mode::empty());
        match opened.and_then(|dir| rustix::fs::fstat(&dir).map(|stat| (dir, stat))) {
            Ok((dir, stat)) => return Some(Frame::new(dir, stat, below(above, name))),
            // Something else has taken its name since.
            Err(Errno::NOTDIR | Errno::LOOP) => {}
            Err(error) => self
                .tally
                .fail(&below(above, name), "open directory", error),
        }
        let name = name.to_bytes_with_nul();
        self.tally
            .add(change_all(self.request.owner, parent, name, above));
        None
    }

    /// Reads once from a directory, changes what is no directory and notes what is.
    fn read(&mut self, frame: &mut Frame) {
        self.names.clear();
        let mut entries = RawDir::new(&frame.dir, &mut self.entries);
        loop {
            match entries.next() {
                Some(Ok(entry)) => {
                    let name = entry.file_name();
                    if name != c"." && name != c".." {
                        match kind(frame.dir.as_fd(), name, entry.file_type()) {
                            FileType::Directory => frame.below.push(name.to_owned()),
                            _ => self.names.extend(name.to_bytes_with_nul()),
                        }
                    }
                }
                Some(Err(error)) => {
                    self.tally.fail(&frame.path, "read directory", error);
                    frame.ended = true;
                    break;
                }
                None => {
                    frame.ended = true;
                    break;
                }
            }
            if entries.is_buffer_empty() {
                break;
            }
        }
        self.change_names(frame);
    }

    /// Changes `self.names`, which all lie in the directory, on as many threads as help.
    fn change_names(&mut self, frame: &Frame) {
        let owner = self.request.owner;
        let change_share = |share| change_all(owner, frame.dir.as_fd(), share, &frame.path);
        let threads = self.threads.min(self.names.len() / SHARE_BYTES).max(1);
        let tally = &mut self.tally;
        thread::scope(|scope| {
            let mut rest = self.names.as_slice();
            let mut started = Vec::new();
            for left in (2..=threads).rev() {
                let (share, others) = split(rest, rest.len() / left);
                // Where no thread can be started, this one does the work.
                let thread = thread::Builder::new().spawn_scoped(scope, || change_share(share));
                match thread {
                    Ok(thread) => started.push(thread),
                    Err(_) => tally.add(change_share(share)),
                }
                rest = others;
            }
            tally.add(change_share(rest));
            for thread in started {
                tally.add(thread.join().expect("the thread to end without a panic"));
            }
        });
    }
}

/// The kind of a directory's entry; not every file system tells it along with the name.
fn kind(dir: BorrowedFd<'_>, name: &CStr, told: FileType) -> FileType {
    if told != FileType::Unknown {
        return told;
    }
    // A failure is reported when the object is changed.
    rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)
        .map_or(told, |stat| FileType::from_raw_mode(stat.st_mode))
}

/// Changes what these names stand for, link or not.
///
/// A right owner is left alone, so that a second run writes nothing. To ask costs half as much as to
/// change, and neighbours are mostly alike: the few after one that had to be changed are changed
/// without asking.
fn change_all(owner: Owner, dir: BorrowedFd<'_>, run: &[u8], above: &Path) -> Tally {
    let mut tally = Tally::default();
    let mut unasked = 0;
    for name in names(run) {
        if unasked > 0 {
            unasked -= 1;
            if chownat(dir, name, owner, AtFlags::SYMLINK_NOFOLLOW).is_ok() {
                tally.set += 1;
                continue;
            }
            // It may be right and not ours to change, which is no failure.
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

/// What became of an object.
enum Change {
    /// It got the owner.
    Set,
    /// It had the owner.
    Already,
}

/// Fails with the operation and its error.
fn ask_and_change(
    owner: Owner,
    dir: BorrowedFd<'_>,
    name: &CStr,
) -> Result<Change, (&'static str, Errno)> {
    let stat = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW);
    if has(&stat.map_err(|error| ("stat", error))?, owner) {
        return Ok(Change::Already);
    }
    let done = chownat(dir, name, owner, AtFlags::SYMLINK_NOFOLLOW);
    done.map(|()| Change::Set).map_err(|error| ("chown", error))
}

/// Changes the open object itself, under the same terms.
fn change_open(owner: Owner, object: BorrowedFd<'_>, stat: &Stat, path: &Path, tally: &mut Tally) {
    if has(stat, owner) {
        tally.already += 1;
        return;
    }
    match chownat(
        object,
        c"",
        owner,
        AtFlags::EMPTY_PATH | AtFlags::SYMLINK_NOFOLLOW,
    ) {
        Ok(()) => tally.set += 1,
        Err(error) => tally.fail(path, "chown", error),
    }
}

fn chownat(dir: BorrowedFd<'_>, name: &CStr, owner: Owner, flags: AtFlags) -> Result<(), Errno> {
    let (uid, gid) = (Uid::from_raw(owner.uid), Gid::from_raw(owner.gid));
    rustix::fs::chownat(dir, name, Some(uid), Some(gid), flags)
}

fn has(stat: &Stat, owner: Owner) -> bool {
    (stat.st_uid, stat.st_gid) == (owner.uid, owner.gid)
}

fn below(above: &Path, name: &CStr) -> PathBuf {
    above.join(OsStr::from_bytes(name.to_bytes()))
}

/// The names in a run of terminated names.
fn names(mut run: &[u8]) -> impl Iterator<Item = &CStr> {
    std::iter::from_fn(move || {
        let name = CStr::from_bytes_until_nul(run).ok()?;
        run = &run[name.to_bytes_with_nul().len()..];
        Some(name)
    })
}

/// Splits a run of terminated names after the name that reaches `at`.
fn split(run: &[u8], at: usize) -> (&[u8], &[u8]) {
    let end = run.iter().skip(at).position(|byte| *byte == 0);
    run.split_at(end.map_or(run.len(), |end| at + end + 1))
}

/// A trailing slash would make the kernel follow a link in the last place.
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
    fn a_run_of_names_splits_between_names() {
        let run = b"a\0bcd\0e\0";
        assert!(names(run).eq([c"a", c"bcd", c"e"]));
        for at in 0..run.len() {
            let (share, rest) = split(run, at);
            assert!(
                names(share).chain(names(rest)).eq([c"a", c"bcd", c"e"]),
                "{at}"
            );
        }
        assert_eq!(split(run, 2), (&b"a\0bcd\0"[..], &b"e\0"[..]));
        assert_eq!(split(b"", 0), (&b""[..], &b""[..]));
    }

    #[test]
    fn trailing_slashes_go_but_the_root_stays() {
        assert_eq!(without_trailing_slashes(Path::new("/data//")), b"/data");
        assert_eq!(without_trailing_slashes(Path::new("///")), b"/");
    }
}
