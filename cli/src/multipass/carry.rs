//! Large files between this machine and the VM. Multipass is handed a pipe where that works, since it may not be allowed to
//! open our files, and else the name of a file.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::call::Call;
use super::{Multipass, failed};
use crate::error::{Kind, Result};
use crate::instance::vm;
use crate::process::{self, Failure, Streams};
use crate::store::Spool;

/// What is said where more comes than may.
const TOO_MUCH: &str = "more comes out of the VM than it announced";

/// A file of ours that counts what goes through it, and takes only so much.
struct Counted {
    file: File,
    left: u64,
    through: Arc<AtomicU64>,
}

impl Counted {
    fn passed(&mut self, count: usize) -> usize {
        self.left = self.left.saturating_sub(count as u64);
        self.through.fetch_add(count as u64, Ordering::Relaxed);
        count
    }
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        Ok(self.passed(count))
    }
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() as u64 > self.left {
            return Err(io::Error::other(TOO_MUCH));
        }
        let count = self.file.write(bytes)?;
        Ok(self.passed(count))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Multipass<'_> {
    /// A file for [`Self::send`] or [`Self::fetch`].
    ///
    /// # Errors
    /// When the state directory cannot be written.
    pub(crate) fn spool(&self) -> Result<Spool> {
        self.options.store.spool(!self.options.pipes)
    }

    /// Brings what is in `spool` to `path` of the VM. `tell` hears how many bytes have gone.
    ///
    /// # Errors
    /// When it does not arrive within `limit`, or the user wants to stop.
    pub(crate) fn send(
        &self,
        spool: &Spool,
        path: &str,
        limit: Duration,
        tell: &mut dyn FnMut(u64),
    ) -> Result<()> {
        let target = format!("{}:{path}", vm());
        let call = Call::new("transfer the copy into the VM", &["transfer", "-", &target]);
        self.carry(&call, spool, u64::MAX, limit, tell, |file| Streams {
            stdin: Some(Box::new(file)),
            stdout: None,
        })
    }

    /// Brings `path` of the VM, of at most `most` bytes, into `spool`, which is empty.
    ///
    /// # Errors
    /// When it does not arrive within `limit`, is larger, or the user wants to stop.
    pub(crate) fn fetch(
        &self,
        path: &str,
        spool: &Spool,
        most: u64,
        limit: Duration,
        tell: &mut dyn FnMut(u64),
    ) -> Result<()> {
        let source = format!("{}:{path}", vm());
        let call = Call::new(
            "transfer the copy out of the VM",
            &["transfer", &source, "-"],
        );
        self.carry(&call, spool, most, limit, tell, |file| Streams {
            stdin: None,
            stdout: Some(Box::new(file)),
        })
    }

    fn carry(
        &self,
        call: &Call,
        spool: &Spool,
        most: u64,
        limit: Duration,
        tell: &mut dyn FnMut(u64),
        piped: impl FnOnce(Counted) -> Streams,
    ) -> Result<()> {
        let lost = |error: io::Error| self.failure(call, Failure::Lost(error));
        let through = Arc::new(AtomicU64::new(0));
        let (args, streams) = match spool.path() {
            Some(path) => (
                call.args_with_file(&path.to_string_lossy()),
                Streams::default(),
            ),
            None => {
                let mut file = spool.file().try_clone().map_err(lost)?;
                file.seek(SeekFrom::Start(0)).map_err(lost)?;
                let through = Arc::clone(&through);
                let left = most;
                let counted = Counted {
                    file,
                    left,
                    through,
                };
                (call.args.clone(), piped(counted))
            }
        };
        self.log(call);
        let started = process::start(&self.program, &args, streams);
        let running = started.map_err(|failure| self.failure(call, failure))?;
        let ended = self.watch(call, running, limit, |_| {
            tell(through.load(Ordering::Relaxed));
            let named = spool.path().and_then(|path| fs::metadata(path).ok());
            match named.is_some_and(|data| data.len() > most) {
                true => Err(lost(io::Error::other(TOO_MUCH))),
                false => Ok(()),
            }
        })?;
        match ended {
            None => {
                let mut error = self.failure(call, Failure::TimedOut(limit));
                error.next =
                    vec!["raise the setting `copy-timeout`; then run this again".to_owned()];
                Err(error)
            }
            Some(output) if output.code == Some(0) => Ok(()),
            Some(output) => Err(failed(call, &output, Kind::Transfer)),
        }
    }
}
