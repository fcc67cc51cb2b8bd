//! Runs `multipass` with a time limit and separate streams, and kills it together with its children.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;

use crate::rows::{Answer, Call, Row};

/// The environment variable that names the row, set only for the call under test, so that a wrapper can recognize it.
const ROW: &str = "CONFORMANCE_ROW";

/// The Multipass under test.
pub(crate) struct Host {
    /// The instance.
    pub(crate) name: String,
    dir: TempDir,
    path: String,
    limit: Duration,
    patience: Duration,
}

/// A running call; killed when dropped.
pub(crate) struct Running {
    child: Child,
    readers: [Reader; 2],
}

impl Host {
    /// Creates the folder with the files that rows refer to.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn new(name: &str, limit: Duration, patience: Duration) -> Result<Self, String> {
        let failed =
            |error: std::io::Error| format!("cannot create the files of the rows: {error}");
        // In the home directory: Multipass's snap cannot read other files.
        let home = std::env::var_os("HOME").map_or_else(std::env::temp_dir, PathBuf::from);
        let dir = tempfile::Builder::new()
            .prefix("multipass-conformance-")
            .tempdir_in(home)
            .map_err(failed)?;
        let path = dir.path().display().to_string();
        let make = || {
            let at = |name: &str| dir.path().join(name);
            let mode =
                |name: &str, mode| fs::set_permissions(at(name), fs::Permissions::from_mode(mode));
            fs::create_dir_all(at("folder/inner"))?;
            for (name, text) in [
                ("file", "#!/bin/sh\n"),
                ("suid", "x"),
                ("folder/inner/file", "x"),
                ("bad.yaml", "a: b\n}\n"),
                ("tab.yaml", "a:\n\tb: c\n"),
            ] {
                fs::write(at(name), text)?;
            }
            mode("file", 0o750)?;
            mode("suid", 0o4755)?;
            mode("folder/inner", 0o711)
        };
        make().map_err(failed)?;
        Ok(Self {
            name: name.to_owned(),
            dir,
            path,
            limit,
            patience,
        })
    }

    /// The values of `{vm}` and `{dir}`.
    pub(crate) fn values(&self) -> [(&str, &str); 2] {
        [("vm", &self.name), ("dir", &self.path)]
    }

    /// Makes the calls of one row; returns the answer.
    ///
    /// # Errors
    /// When a call cannot be made.
    pub(crate) fn ask(&self, row: &Row) -> Result<Answer, String> {
        for call in &row.before {
            self.must(call)?;
        }
        let meanwhile = match &row.meanwhile {
            Some(call) => {
                let running = self.start(call, None, false)?;
                // Its spinner starts before the daemon has the request.
                running.until_it_speaks(self.limit);
                thread::sleep(self.patience.min(Duration::from_secs(1)));
                Some(running)
            }
            None => None,
        };
        let running = self.start(&row.call, Some(&row.name), row.unread)?;
        let answer = running.wait(match row.code {
            Some(_) => self.limit,
            None => self.patience,
        });
        if let Some(running) = meanwhile {
            running.wait(self.limit);
        }
        Ok(answer)
    }

    /// Makes a call that must succeed.
    ///
    /// # Errors
    /// When it does not.
    pub(crate) fn must(&self, call: &Call) -> Result<Answer, String> {
        let answer = self.start(call, None, false)?.wait(self.limit);
        match answer.code {
            Some(0) => Ok(answer),
            _ => Err(format!("multipass {}: {answer:?}", call.args.join(" "))),
        }
    }

    /// Like [`Self::must`], with these arguments.
    ///
    /// # Errors
    /// When it does not succeed.
    pub(crate) fn do_it(&self, args: &[&str]) -> Result<Answer, String> {
        self.must(&Call::of(args))
    }

    /// Starts a call. If it is `unread`, the pipe is closed after its first line of output.
    ///
    /// # Errors
    /// When there is no `multipass`.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place where this program starts another"
    )]
    pub(crate) fn start(
        &self,
        call: &Call,
        row: Option<&str>,
        unread: bool,
    ) -> Result<Running, String> {
        let mut command = Command::new("multipass");
        command
            .args(&call.args)
            .process_group(0)
            .current_dir(self.dir.path())
            .stdin(if call.stdin.is_empty() {
                Stdio::null()
            } else {
                Stdio::piped()
            })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        match row {
            Some(row) => command.env(ROW, row),
            None => command.env_remove(ROW),
        };
        let mut child = command
            .spawn()
            .map_err(|error| format!("cannot start multipass: {error}"))?;
        if let Some(mut to) = child.stdin.take() {
            let stdin = call.stdin.clone();
            thread::spawn(move || {
                let _it_reads_no_more = to.write_all(stdin.as_bytes());
            });
        }
        let readers = [
            Reader::new(child.stdout.take(), unread),
            Reader::new(child.stderr.take(), false),
        ];
        Ok(Running { child, readers })
    }
}

impl Call {
    /// A call with these arguments and no standard input.
    pub(crate) fn of(args: &[&str]) -> Self {
        Self {
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
            stdin: String::new(),
        }
    }
}

impl Running {
    /// Waits until it exits, but not longer than `limit`.
    pub(crate) fn wait(mut self, limit: Duration) -> Answer {
        let end = Instant::now() + limit;
        let mut code = None;
        while Instant::now() < end && code.is_none() {
            // There is no exit code if a signal killed it.
            code = match self.child.try_wait() {
                Ok(Some(status)) => Some(status.code().unwrap_or(-1)),
                _ => None,
            };
            thread::sleep(Duration::from_millis(5));
        }
        self.end();
        let streams = [0, 1].map(|stream| self.readers[stream].finish());
        Answer { code, streams }
    }

    fn until_it_speaks(&self, limit: Duration) {
        let end = Instant::now() + limit;
        while self.readers[0].text().is_empty() && Instant::now() < end {
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn end(&mut self) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        if let (Ok(None), Some(pid)) = (self.child.try_wait(), pid) {
            let _gone = kill_process_group(pid, Signal::KILL);
        }
        let _ended = self.child.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

/// Collects what a call prints.
struct Reader {
    bytes: Arc<Mutex<Vec<u8>>>,
    thread: Option<JoinHandle<()>>,
}

impl Reader {
    fn new(from: Option<impl Read + Send + 'static>, unread: bool) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::clone(&bytes);
        let thread = from.map(|mut from| {
            thread::spawn(move || {
                let mut buffer = [0; 4096];
                while let Ok(count @ 1..) = from.read(&mut buffer) {
                    let mut bytes = shared.lock().unwrap_or_else(PoisonError::into_inner);
                    bytes.extend_from_slice(&buffer[..count]);
                    if unread {
                        break;
                    }
                }
            })
        });
        Self { bytes, thread }
    }

    fn text(&self) -> String {
        let bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The output so far. Does not wait for a child that outlives the call and keeps its output open.
    fn finish(&mut self) -> String {
        let end = Instant::now() + Duration::from_millis(500);
        while self
            .thread
            .as_ref()
            .is_some_and(|thread| !thread.is_finished())
            && Instant::now() < end
        {
            thread::sleep(Duration::from_millis(1));
        }
        self.text()
    }
}
