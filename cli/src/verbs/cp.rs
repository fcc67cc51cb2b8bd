//! `polis cp`: copies files and directories into and out of the workspace, each completely or not at all.
//!
//! A hostile workspace writes the archives that come out of it. An archive is checked completely before any of it becomes a file,
//! and is unpacked beside its destination first.

use std::ffi::OsString;
use std::fs;
use std::io::{Seek, SeekFrom};
use std::path::{Path, PathBuf, is_separator};
use std::time::Duration;

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use polis_base::Digest;

use crate::args::CpArgs;
use crate::context::Context;
use crate::copy::names::{self, Bounds, Judge};
use crate::copy::{Copied, Direction, WorkspacePath, pack, unpack};
use crate::error::{Error, Kind, Result};
use crate::guest::copy as calls;
use crate::guest::{self, DAMAGED};
use crate::multipass::call::Call;
use crate::multipass::{Multipass, failed, interrupted, refusal, size};
use crate::output::Done;
use crate::platform::{HERE, System};
use crate::process::Output;
use crate::reports;
use crate::signals;
use crate::view::View;

/// Runs `polis cp`.
///
/// # Errors
/// When nothing was copied.
pub(crate) fn run(context: &Context, args: &CpArgs) -> Result<Done> {
    let home = if args.root { "/root" } else { "/home/polis" };
    let direction = Direction::of(&args.source, &args.destination, home)?;
    let multipass = context.multipass()?;
    super::must_run(&multipass)?;
    let mut copy = CopyJob {
        multipass: &multipass,
        bounds: Bounds {
            bytes: context.settings.copy_size.value.bytes(),
            entries: context.settings.copy_entries.value.into(),
        },
        limit: context.settings.copy_timeout.duration(),
        root: args.root,
        view: View::moving(context.output, context.verbose),
    };
    let copied = match direction {
        Direction::In { from, to } => copy.copy_in(&from, &to),
        Direction::Out { from, to } => copy.copy_out(&from, &to),
    };
    let (copied, destination) = copied.map_err(|mut error| {
        if error.kind == Kind::Interrupted {
            error.next = vec!["run this again: no partial copy was left".to_owned()];
        }
        error
    })?;
    copy.view.done();
    let Copied { files, bytes } = copied;
    let plural = if files == 1 { "" } else { "s" };
    let amount = size::words(bytes);
    let text = format!("Copied {files} file{plural} ({amount}) to {destination}\n");
    let report = reports::files::Copy {
        files,
        bytes,
        destination,
    };
    Ok(Done::new(text, report))
}

struct CopyJob<'a> {
    multipass: &'a Multipass<'a>,
    bounds: Bounds,
    limit: Duration,
    root: bool,
    view: View,
}

impl CopyJob<'_> {
    fn copy_in(&mut self, from: &Path, to: &WorkspacePath) -> Result<(Copied, String)> {
        let spool = self.multipass.spool()?;
        let view = &mut self.view;
        view.step("Reading");
        let judge = Judge::new(System::Linux, self.bounds);
        let (copied, name) = pack::pack(from, judge, spool.file(), &mut |n| view.bytes(n))?;
        let mut file = spool.file();
        let rewound = file.seek(SeekFrom::Start(0));
        let digest = rewound.and_then(|_| Digest::of_reader(file));
        let digest = digest.map_err(|error| unreadable(&error.to_string()))?;

        let archive = calls::archive();
        view.step("Copying");
        let sent = self
            .multipass
            .send(&spool, &archive, self.limit, &mut |n| view.bytes(n));
        if let Err(error) = sent {
            self.forget(&archive);
            return Err(error);
        }
        view.step("Unpacking");
        let call = calls::unpack(&archive, &digest, &to.path, to.directory, self.root);
        let output = self.multipass.output(&call, Some(self.limit))?;
        match output.code {
            Some(0) => Ok((copied, to.shown())),
            Some(calls::BELOW) => {
                let shown = to.shown();
                Ok((copied, format!("{}/{name}", shown.trim_end_matches('/'))))
            }
            _ => Err(self.refused(&call, &output, to)),
        }
    }

    fn copy_out(&mut self, from: &WorkspacePath, to: &Path) -> Result<(Copied, String)> {
        let name = from.name().ok_or_else(|| {
            Error::new(Kind::Usage, format!("`{}` cannot be copied", from.shown()))
                .because("its path does not end in a name")
        })?;
        let place = Destination::of(to, name)?;
        let archive = calls::archive();
        self.view.step("Packing");
        let most = self.bounds.archive();
        let call = calls::pack(&archive, most, &from.path, self.root);
        let output = self.multipass.output(&call, Some(self.limit))?;
        if output.code != Some(0) {
            return Err(self.refused(&call, &output, from));
        }
        let fetched = self.fetch(&archive, &output.stdout, most);
        self.forget(&archive);
        let file = fetched?;
        let judged = unpack::judged(&file, Judge::new(HERE, self.bounds));
        let items = judged.map_err(|reason| {
            let what = format!("`{}` was not copied", from.shown());
            Error::new(Kind::Transfer, what).because(reason)
        })?;
        place.takes(unpack::is_directory(&items))?;
        self.view.step("Writing");
        let view = &mut self.view;
        let dir = Dir::open_ambient_dir(&place.dir, ambient_authority());
        let written = dir.and_then(|dir| {
            unpack::write(&items, &file, &dir, Path::new(&place.name), &mut |n| {
                view.bytes(n)
            })
        });
        let path = place.path();
        let copied = written.map_err(|error| match signals::came() {
            true => interrupted(),
            false => unwritable(&path, error.to_string()),
        })?;
        Ok((copied, path.display().to_string()))
    }

    /// Fetches the archive, and checks it against the digest in the script's answer.
    fn fetch(&mut self, archive: &str, answer: &str, most: u64) -> Result<fs::File> {
        let hex = guest::answer(answer, calls::MADE).map(str::trim);
        let digest = hex.and_then(|hex| Digest::from_hex(hex).ok());
        let digest = digest.ok_or_else(|| unreadable("the VM did not report its digest"))?;
        let spool = self.multipass.spool()?;
        let view = &mut self.view;
        view.step("Copying");
        self.multipass
            .fetch(archive, &spool, most, self.limit, &mut |n| view.bytes(n))?;
        let received = spool.received().and_then(|mut file| {
            let found = Digest::of_reader(&file)?;
            file.seek(SeekFrom::Start(0))?;
            Ok((file, found))
        });
        match received {
            Ok((file, found)) if found == digest => Ok(file),
            Ok(_) => Err(unreadable("it did not arrive completely")),
            Err(error) => Err(unreadable(&error.to_string())),
        }
    }

    /// Removes an archive from the VM. Failures are ignored; a later copy removes what is left.
    fn forget(&self, archive: &str) {
        let _ignored = self
            .multipass
            .call(&calls::forget(archive), Kind::Unexpected);
    }

    /// The error of a script that has copied nothing.
    fn refused(&self, call: &Call, output: &Output, inside: &WorkspacePath) -> Box<Error> {
        let words = refusal::reasons(&output.stderr);
        // The first line of tar is the most specific; our own scripts print one line, after the output of their commands.
        let reason = match output.code {
            Some(calls::FAILED) => words.first().cloned(),
            _ => words.last().cloned(),
        };
        let reason = reason.unwrap_or_else(|| "the workspace gave no reason".to_owned());
        let what = |kind| {
            let what = format!("`{}` was not copied", inside.shown());
            Error::new(kind, what)
        };
        match output.code {
            Some(calls::NO_STACK) => super::workspace::no_stack(self.multipass),
            Some(calls::ABSENT | calls::NO_DIRECTORY | calls::IN_THE_WAY) => {
                what(Kind::Usage).because(reason)
            }
            Some(calls::TOO_LARGE) => what(Kind::Transfer).because(self.bounds.too_large()),
            Some(calls::FAILED) => what(Kind::Transfer).because(reason).log(words),
            Some(DAMAGED) => what(Kind::Transfer).because("it did not arrive completely in the VM"),
            _ => failed(call, output, Kind::Transfer).next("polis status"),
        }
    }
}

/// The destination of a copy on this machine.
#[derive(Debug)]
struct Destination {
    dir: PathBuf,
    name: OsString,
    /// Whether it has to become a directory.
    directory: bool,
}

impl Destination {
    /// `name` inside `to` if that is a directory, otherwise `to` itself.
    fn of(to: &Path, name: &str) -> Result<Self> {
        if fs::metadata(to).is_ok_and(|data| data.is_dir()) {
            let taken = match HERE {
                System::Windows => names::check_for_windows(name.as_bytes()),
                System::Linux | System::MacOs => Ok(()),
            };
            taken.map_err(|reason| {
                unwritable(&to.join(name), reason).next("give it another name")
            })?;
            return Ok(Self {
                dir: to.to_owned(),
                name: name.into(),
                directory: false,
            });
        }
        let given = to.as_os_str().to_string_lossy();
        let dir = to.parent().filter(|dir| !dir.as_os_str().is_empty());
        let dir = dir.unwrap_or(Path::new("."));
        let name = to
            .file_name()
            .ok_or_else(|| unwritable(to, "it does not exist"))?;
        if !fs::metadata(dir).is_ok_and(|data| data.is_dir()) {
            let reason = format!("there is no directory `{}`", dir.display());
            return Err(unwritable(to, reason));
        }
        Ok(Self {
            dir: dir.to_owned(),
            name: name.to_owned(),
            directory: given.ends_with(is_separator),
        })
    }

    fn path(&self) -> PathBuf {
        match self.dir.as_os_str() == "." {
            true => PathBuf::from(&self.name),
            false => self.dir.join(&self.name),
        }
    }

    /// Checks that a directory (or a file) can be written there.
    fn takes(&self, directory: bool) -> Result<()> {
        let path = self.path();
        let found = fs::symlink_metadata(&path);
        let reason = match found {
            _ if self.directory && !directory => {
                "its trailing slash requires a directory, but the source is a file"
            }
            Ok(_) if directory => "it already exists",
            Ok(found) if !found.is_file() => "it already exists, and is not a file",
            _ => return Ok(()),
        };
        Err(unwritable(&path, reason))
    }
}

fn unwritable(path: &Path, reason: impl Into<String>) -> Box<Error> {
    let what = format!("could not write to `{}`", path.display());
    Error::new(Kind::Usage, what).because(reason)
}

fn unreadable(reason: &str) -> Box<Error> {
    Error::new(Kind::Transfer, "could not read the copy").because(reason)
}
