//! The only wrapper around child processes.
//!
//! Success is the default contract: the error of a failed command quotes the command and the tail of its output.
//! `clippy.toml` bans `std::process::Command` everywhere else.
//!
//! A child inherits only the variables that `environment` lists and those that its caller names with [`Run::passing`]
//! or sets, so no secret leaks by accident.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use xshell::Shell;

use crate::environment;
use crate::error::{Error, Outcome, Result};
use crate::signals::{self, Watched};

/// How many lines of a failed command's output the error quotes.
const TAIL: usize = 20;
/// The most that [`Run::converse`] reads from each stream of a child. Credentials and signatures are small.
const MAX_OUTPUT: u64 = 16 << 20;
/// How often to poll a child that has a time limit.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// The answer of a child.
#[derive(Clone, PartialEq, Eq)]
pub struct Answer {
    /// Whether the exit code was 0.
    pub success: bool,
    /// The exit code; `None` if a signal ended the child.
    pub code: Option<i32>,
    /// Standard output. It may be a secret, so `Debug` does not show it.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// A command to run.
pub struct Run {
    program: OsString,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    passing: Vec<String>,
    unset: Vec<String>,
    cwd: Option<PathBuf>,
    stdout_to_stderr: bool,
}

impl Run {
    /// A command that runs `program`, looked up in `PATH`.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Self {
            program: program.as_ref().to_owned(),
            args: Vec::new(),
            env: Vec::new(),
            passing: Vec::new(),
            unset: Vec::new(),
            cwd: None,
            stdout_to_stderr: false,
        }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args
            .extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Sets an environment variable for the child.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.env.push((name.into(), value.as_ref().to_owned()));
        self
    }

    /// Passes on more of our environment: variables by name, or by a prefix that ends with `*`. Secrets that
    /// [`crate::secrets`] has taken are no longer in the environment.
    #[must_use]
    pub fn passing(mut self, names: &[&str]) -> Self {
        self.passing.extend(names.iter().map(|&name| name.into()));
        self
    }

    /// Hides environment variables from the child: one by name, or all with a prefix that ends with `*`.
    #[must_use]
    pub fn env_remove(mut self, name: &str) -> Self {
        self.unset.push(name.into());
        self
    }

    /// Runs the child in `dir`.
    #[must_use]
    pub fn cwd(mut self, dir: &Path) -> Self {
        self.cwd = Some(dir.to_owned());
        self
    }

    /// Runs the command with a low scheduling priority, on systems that have `nice`.
    #[must_use]
    pub fn in_background(mut self) -> Self {
        if cfg!(unix) {
            let program = std::mem::replace(&mut self.program, "nice".into());
            self.args.splice(0..0, ["-n".into(), "10".into(), program]);
        }
        self
    }

    /// Redirects the child's standard output to our standard error, because our standard output is reserved for the
    /// result.
    #[must_use]
    pub fn stdout_to_stderr(mut self) -> Self {
        self.stdout_to_stderr = true;
        self
    }

    /// Runs the command with our standard streams.
    ///
    /// # Errors
    /// If it cannot be started or fails.
    pub fn inherit(&self) -> Result<()> {
        match self.inherit_code()? {
            0 => Ok(()),
            code => Err(self.failed(&format!("exited with code {code}"))),
        }
    }

    /// Runs the command with our standard streams and returns its exit code.
    ///
    /// # Errors
    /// If it cannot be started or a signal ended it.
    pub fn inherit_code(&self) -> Result<i32> {
        let sh = self.shell()?;
        let mut command: std::process::Command = self.command(&sh).into();
        if self.stdout_to_stderr {
            command.stdout(std::io::stderr());
        }
        let status = self.status(&mut command)?;
        status
            .code()
            .ok_or_else(|| self.failed(&format!("it was terminated: {status}")))
    }

    /// Runs the command with an empty standard input and writes both output streams to the file `log`, which is
    /// truncated first.
    ///
    /// # Errors
    /// If the file cannot be created, or the command cannot be started or fails.
    pub fn inherit_into(&self, log: &Path) -> Result<()> {
        let file = (log.parent().map_or(Ok(()), fs::create_dir_all))
            .and_then(|()| File::create(log))
            .and_then(|file| Ok((file.try_clone()?, file)));
        let (stdout, stderr) = file.map_err(|error| {
            Error::machine(format!("cannot write {}", log.display())).because(error.to_string())
        })?;
        let sh = self.shell()?;
        let mut command: std::process::Command = self.command(&sh).into();
        command.stdin(Stdio::null()).stdout(stdout).stderr(stderr);
        let status = self.status(&mut command)?;
        if status.success() {
            return Ok(());
        }
        Err(self.failed(&format!("{status}; see {}", log.display())))
    }

    /// Runs the command and returns its standard output without the last newline.
    ///
    /// # Errors
    /// If it cannot be started or fails; quotes the tail of its standard error.
    pub fn output(&self) -> Result<String> {
        let sh = self.shell()?;
        let mut command: std::process::Command = self.command(&sh).into();
        command.stdin(Stdio::null()).stderr(Stdio::piped());
        let output = self.answer(&mut command)?;
        if output.status.success() {
            let text = String::from_utf8_lossy(&output.stdout);
            return Ok(text.trim_end_matches('\n').to_owned());
        }
        let said = [&output.stderr[..], &output.stdout[..]].concat();
        let because = format!(
            "{}\n{}",
            output.status,
            tail(&String::from_utf8_lossy(&said))
        );
        Err(self.failed(because.trim_end()))
    }

    /// Runs the command with our standard input and standard error. Returns its standard output on success, otherwise
    /// its exit code.
    ///
    /// # Errors
    /// If it cannot be started or a signal ended it.
    pub fn output_or_code(&self) -> Result<std::result::Result<String, i32>> {
        let sh = self.shell()?;
        let mut command: std::process::Command = self.command(&sh).into();
        command.stdin(Stdio::inherit()).stderr(Stdio::inherit());
        let output = self.answer(&mut command)?;
        match output.status.code() {
            Some(0) => Ok(Ok(String::from_utf8_lossy(&output.stdout).into_owned())),
            Some(code) => Ok(Err(code)),
            None => Err(self.failed(&format!("it was terminated: {}", output.status))),
        }
    }

    /// On Unix, replaces this process with the program, so that signals and the exit code are the program's. Elsewhere,
    /// runs the program and returns its exit code.
    ///
    /// # Errors
    /// If it cannot be started or, on systems other than Unix, if it was terminated.
    pub fn exec(&self) -> Result<i32> {
        #[cfg(unix)]
        {
            use std::os::unix::process::CommandExt as _;
            let sh = self.shell()?;
            let mut command: std::process::Command = self.command(&sh).into();
            Err(self.not_started(&command.exec()))
        }
        #[cfg(not(unix))]
        self.inherit_code()
    }

    /// Runs the command and returns its standard output whatever its exit code, for programs whose exit code is part of
    /// the answer.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn output_of_any_exit(&self) -> Result<String> {
        let sh = self.shell()?;
        let mut command: std::process::Command = self.command(&sh).into();
        command.stdin(Stdio::null()).stderr(Stdio::piped());
        let output = self.answer(&mut command)?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Runs the command with `input` on its standard input and returns its answer, whatever its exit code. Kills it
    /// after `limit`, even if a grandchild holds the streams open. Unlike the other methods, its errors
    /// never quote output.
    ///
    /// # Errors
    /// If it cannot be started, does not end in time, or prints more than 16 MiB.
    pub fn converse(&self, input: &str, limit: Duration) -> Result<Answer> {
        let until = Instant::now() + limit;
        let sh = self.shell()?;
        let mut command: std::process::Command = self.command(&sh).into();
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut watched = self.spawn(&mut command)?;
        let child = &mut watched.child;
        let stdout = child.stdout.take().map(drain);
        let stderr = child.stderr.take().map(drain);
        if let Some(mut stdin) = child.stdin.take() {
            let input = input.to_owned();
            // A child that answers without reading all input closes the pipe; its answer still counts.
            thread::spawn(move || stdin.write_all(input.as_bytes()));
        }
        let late = || self.failed(&format!("no response within {} s", limit.as_secs()));
        let said = wait_for(stdout, until).and_then(|out| Ok((out, wait_for(stderr, until)?)));
        if said.is_err() {
            // This fails if the child has just exited, which is fine.
            let _ = child.kill();
            let _ = child.wait();
        }
        let (stdout, stderr) = said.map_err(|missing| match missing {
            Missing::TooMuch => self.failed(&format!("it printed more than {MAX_OUTPUT} bytes")),
            Missing::TooLate => late(),
        })?;
        let status = self.wait(child, until)?.ok_or_else(late)?;
        Ok(Answer {
            success: status.success(),
            code: status.code(),
            stdout: String::from_utf8_lossy(&stdout).into_owned(),
            stderr: String::from_utf8_lossy(&stderr).into_owned(),
        })
    }

    /// Runs `command` and returns its exit status.
    fn status(&self, command: &mut std::process::Command) -> Result<ExitStatus> {
        let mut watched = self.spawn(command)?;
        let status = watched.child.wait();
        self.unless_interrupted(status)
    }

    /// Runs `command` and returns its standard output, and its standard error if piped.
    fn answer(&self, command: &mut std::process::Command) -> Result<Output> {
        let watched = self.spawn(command.stdout(Stdio::piped()))?;
        let _until_it_ends = watched.group;
        self.unless_interrupted(watched.child.wait_with_output())
    }

    fn spawn(&self, command: &mut std::process::Command) -> Result<Watched> {
        signals::spawn(command).map_err(|error| match error.kind() {
            io::ErrorKind::Interrupted => interrupted(),
            _ => self.not_started(&error),
        })
    }

    /// Replaces the result with an interruption if a signal was meant for us, too.
    fn unless_interrupted<T>(&self, ended: io::Result<T>) -> Result<T> {
        if signals::received() {
            return Err(interrupted());
        }
        ended.map_err(|error| self.failed(&error.to_string()))
    }

    /// Waits for `child` to exit. Kills it at `until` and returns `None`.
    fn wait(&self, child: &mut Child, until: Instant) -> Result<Option<ExitStatus>> {
        loop {
            let status = child
                .try_wait()
                .map_err(|error| self.failed(&error.to_string()))?;
            if status.is_some() {
                return Ok(status);
            }
            if Instant::now() >= until {
                let _ = child.kill();
                let _ = child.wait();
                return Ok(None);
            }
            thread::sleep(POLL_INTERVAL);
        }
    }

    /// The command as a user would type it.
    pub fn display(&self) -> String {
        let mut words = vec![self.program.to_string_lossy().into_owned()];
        words.extend(
            self.args
                .iter()
                .map(|arg| arg.to_string_lossy().into_owned()),
        );
        words.join(" ")
    }

    fn shell(&self) -> Result<Shell> {
        let sh = Shell::new().map_err(|error| self.failed(&error.to_string()))?;
        if let Some(dir) = &self.cwd {
            sh.change_dir(dir);
        }
        Ok(sh)
    }

    fn command<'a>(&self, sh: &'a Shell) -> xshell::Cmd<'a> {
        let mut command = sh.cmd(&self.program).args(&self.args).env_clear();
        let passed = std::env::vars_os().filter(|(name, _)| self.passes(name));
        for (name, value) in passed.chain(self.env.iter().cloned()) {
            command = command.env(name, value);
        }
        command
    }

    /// Whether the child inherits the variable `name`. All names on our lists are valid Unicode.
    fn passes(&self, name: &OsStr) -> bool {
        let among = |patterns: &[String], name| {
            let mut patterns = patterns.iter();
            patterns.any(|pattern| environment::matches(pattern, name))
        };
        name.to_str().is_some_and(|name| {
            !among(&self.unset, name) && (environment::passes(name) || among(&self.passing, name))
        })
    }

    fn failed(&self, because: &str) -> Error {
        Error::machine(format!("`{}` failed", self.display())).because(because)
    }

    fn not_started(&self, error: &std::io::Error) -> Error {
        let program = self.program.to_string_lossy();
        self.failed(&format!("cannot start it: {error}"))
            .hint(format!("install `{program}`, or put it on PATH"))
    }
}

fn interrupted() -> Error {
    Error::new(Outcome::Interrupted, "interrupted").hint("run the same command again")
}

/// Omits the values of variables, which may be secrets.
impl std::fmt::Debug for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> = self.env.iter().map(|(name, _)| name).collect();
        f.debug_struct("Run")
            .field("command", &self.display())
            .field("cwd", &self.cwd)
            .field("env", &names)
            .finish_non_exhaustive()
    }
}

/// Why the output of a child is not available.
enum Missing {
    /// The child printed more than [`MAX_OUTPUT`].
    TooMuch,
    /// The child did not close the stream in time.
    TooLate,
}

/// Reads `pipe` to its end on another thread, so that the child never blocks on a full pipe. The thread ends when the
/// pipe closes, which may be after we exit.
fn drain(pipe: impl Read + Send + 'static) -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // Bytes that were read before the pipe broke still count.
        let _ = pipe.take(MAX_OUTPUT + 1).read_to_end(&mut bytes);
        sender.send(bytes)
    });
    receiver
}

/// The bytes that [`drain`] read by `until`.
fn wait_for(
    stream: Option<mpsc::Receiver<Vec<u8>>>,
    until: Instant,
) -> std::result::Result<Vec<u8>, Missing> {
    let Some(stream) = stream else {
        return Ok(Vec::new());
    };
    match stream.recv_timeout(until.saturating_duration_since(Instant::now())) {
        Ok(bytes) if bytes.len() as u64 > MAX_OUTPUT => Err(Missing::TooMuch),
        Ok(bytes) => Ok(bytes),
        Err(_) => Err(Missing::TooLate),
    }
}

fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.trim_end().lines().collect();
    lines[lines.len().saturating_sub(TAIL)..].join("\n")
}

#[cfg(test)]
mod tests;
