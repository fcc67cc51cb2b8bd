//! Transfers large files between this machine and the VM: through a pipe if that works, since Multipass may not be allowed to open
//! our files, otherwise by file name.

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

const TOO_MUCH: &str = "the VM sent more than it announced";

/// A file that counts the bytes read and written, and limits the latter.
struct CountingFile {
    file: File,
    left: u64,
    through: Arc<AtomicU64>,
}

impl CountingFile {
    fn count(&mut self, count: usize) -> usize {
        self.left = self.left.saturating_sub(count as u64);
        self.through.fetch_add(count as u64, Ordering::Relaxed);
        count
    }
}

impl Read for CountingFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        Ok(self.count(count))
    }
}

impl Write for CountingFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() as u64 > self.left {
            return Err(io::Error::other(TOO_MUCH));
        }
        let count = self.file.write(bytes)?;
        Ok(self.count(count))
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

    /// Transfers `spool` to `path` in the VM. `tell` is called with the number of bytes so far.
    ///
    /// # Errors
    /// When it does not arrive within `limit`, or a signal arrives.
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

    /// Transfers `path` of the VM, of at most `most` bytes, to the empty `spool`.
    ///
    /// # Errors
    /// When it does not arrive within `limit`, is larger, or a signal arrives.
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
        piped: impl FnOnce(CountingFile) -> Streams,
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
                let counted = CountingFile {
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
