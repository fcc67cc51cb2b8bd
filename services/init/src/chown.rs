//! `chown`: gives a volume to the user that will work in it.
//!
//! A volume's contents belong to another container, so its tree may change while it is walked and
//! may hold links that point anywhere. Three rules keep the walk inside: every step opens one name
//! below an open directory without following links; what was opened is what gets changed, never its
//! name again; and only a directory so opened is entered.
//!
//! Directories change owner after their contents, as in coreutils: a container with `CHOWN` and
//! nothing else would lock itself out of a private directory by giving it away first.

use std::ffi::CString;
use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use rustix::fs::{AtFlags, CWD, Dir, FileType, Gid, Mode, OFlags, Stat, Uid};
use rustix::io::Errno;

/// A numeric owner: both halves, as names would need a user database that the image does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Owner {
    /// User id.
    pub(crate) uid: u32,
    /// Group id.
    pub(crate) gid: u32,
}

impl Owner {
    /// Parses `UID:GID`. The largest number is refused: to the kernel it means "leave unchanged".
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (uid, gid) = text.split_once(':')?;
        Some(Self {
            uid: parse_id(uid)?,
            gid: parse_id(gid)?,
        })
    }
}

fn parse_id(text: &str) -> Option<u32> {
    // `parse` alone would take "+5".
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|id| digits && *id != u32::MAX)
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.uid, self.gid)
    }
}

/// What to change, and to whom.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Request {
    /// Whether to descend into directories.
    pub(crate) recursive: bool,
    /// The owner that every path shall have.
    pub(crate) owner: Owner,
    /// Where to start; at least one.
    pub(crate) paths: Vec<PathBuf>,
}

/// Changes every path, reports every failure on standard error, and sums up.
pub(crate) fn run(request: &Request) -> ExitCode {
    let mut walk = Walk {
        request,
        tally: Tally::default(),
    };
    for path in &request.paths {
        walk.tree(path);
    }
    let Tally {
        changed,
        already,
        failures,
        hint,
    } = walk.tally;
    let owner = request.owner;
    if failures == 0 {
        println!("polis-init: chown {owner}: {changed} changed, {already} already right");
        return ExitCode::SUCCESS;
    }
    eprintln!(
        "polis-init: chown {owner}: {failures} failed, {changed} changed, {already} already right"
    );
    if let Some(capability) = hint {
        eprintln!(
            "polis-init: likely cause: this container lacks the capability {capability} (compose: cap_add)"
        );
    }
    ExitCode::FAILURE
}

#[derive(Default)]
struct Tally {
    changed: u64,
    already: u64,
    failures: u64,
    /// The capability whose absence would explain the last failure.
    hint: Option<&'static str>,
}

/// A directory that is being walked; it holds one file descriptor, so depth is bounded by the limit
/// on open files, and what lies deeper is reported as a failure.
struct Frame {
    dir: Dir,
    stat: Stat,
    path: PathBuf,
}

struct Walk<'a> {
    request: &'a Request,
    tally: Tally,
}

impl Walk<'_> {
    /// Changes `path` and, if asked to, everything below it.
    fn tree(&mut self, path: &Path) {
        let name = match CString::new(without_trailing_slashes(path)) {
            Ok(name) => name,
            Err(_) => return self.fail(path, "open", Errno::INVAL),
        };
        let mut stack = Vec::new();
        stack.extend(self.enter(CWD, &name, path.to_path_buf()));
        while let Some(frame) = stack.last_mut() {
            match frame.dir.read() {
                Some(Ok(entry)) => {
                    let name = entry.file_name();
                    if name == c"." || name == c".." {
                        continue;
                    }
                    let path = frame
                        .path
                        .join(std::ffi::OsStr::from_bytes(name.to_bytes()));
                    match frame.dir.fd() {
                        Ok(parent) => {
                            let below = self.enter(parent, name, path);
                            stack.extend(below);
                        }
                        Err(error) => self.fail(&path, "open", error),
                    }
                }
                Some(Err(error)) => {
                    let path = frame.path.clone();
                    self.fail(&path, "read directory", error);
                    self.leave(stack.pop());
                }
                None => self.leave(stack.pop()),
            }
        }
    }

    /// Opens `name` below `parent` and changes it, unless it is a directory to be walked first:
    /// that is returned.
    fn enter(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &std::ffi::CStr,
        path: PathBuf,
    ) -> Option<Frame> {
        // O_PATH pins the object itself, link or not, and needs no permission on it.
        let pinned = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let object: OwnedFd = match rustix::fs::openat(parent, name, pinned, Mode::empty()) {
            Ok(object) => object,
            Err(error) => {
                self.fail(&path, "open", error);
                return None;
            }
        };
        let stat = match rustix::fs::fstat(&object) {
            Ok(stat) => stat,
            Err(error) => {
                self.fail(&path, "stat", error);
                return None;
            }
        };
        if self.request.recursive && FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            // "." of the pinned object: no name is looked up a second time.
            let readable = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            match rustix::fs::openat(&object, c".", readable, Mode::empty()).and_then(Dir::new) {
                Ok(dir) => return Some(Frame { dir, stat, path }),
                Err(error) => self.fail(&path, "open directory", error),
            }
        }
        self.change(object.as_fd(), &stat, &path);
        None
    }

    /// Changes a directory whose contents are done.
    fn leave(&mut self, frame: Option<Frame>) {
        let Some(Frame { dir, stat, path }) = frame else {
            return;
        };
        match dir.fd() {
            Ok(fd) => self.change(fd, &stat, &path),
            Err(error) => self.fail(&path, "chown", error),
        }
    }

    /// Changes the open object itself. A right owner is left alone, so that a second run writes
    /// nothing.
    fn change(&mut self, object: BorrowedFd<'_>, stat: &Stat, path: &Path) {
        let Owner { uid, gid } = self.request.owner;
        if (stat.st_uid, stat.st_gid) == (uid, gid) {
            self.tally.already += 1;
            return;
        }
        let flags = AtFlags::EMPTY_PATH | AtFlags::SYMLINK_NOFOLLOW;
        match rustix::fs::chownat(
            object,
            c"",
            Some(Uid::from_raw(uid)),
            Some(Gid::from_raw(gid)),
            flags,
        ) {
            Ok(()) => self.tally.changed += 1,
            Err(error) => self.fail(path, "chown", error),
        }
    }

    fn fail(&mut self, path: &Path, operation: &str, error: Errno) {
        // Debug quotes the path and escapes line breaks: one failure is always one line.
        eprintln!("polis-init: {path:?}: {operation}: {error}");
        self.tally.failures += 1;
        match error {
            Errno::PERM => self.tally.hint = Some("CHOWN"),
            Errno::ACCESS => self.tally.hint = Some("DAC_OVERRIDE"),
            _ => {}
        }
    }
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
    fn an_owner_is_two_plain_numbers() {
        assert_eq!(
            Owner::parse("0:4294967294"),
            Some(Owner {
                uid: 0,
                gid: 4294967294
            })
        );
        for text in [
            "",
            ":",
            "1",
            "1:",
            ":1",
            "+1:1",
            "-1:1",
            "1:4294967295",
            "1:4294967296",
            "root:root",
            "1:2:3",
            "1.2",
        ] {
            assert_eq!(Owner::parse(text), None, "{text}");
        }
    }

    #[test]
    fn trailing_slashes_go_but_the_root_stays() {
        assert_eq!(without_trailing_slashes(Path::new("/data//")), b"/data");
        assert_eq!(without_trailing_slashes(Path::new("///")), b"/");
    }
}
