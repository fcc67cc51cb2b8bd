//! The only module that starts programs. A program is expected to succeed; an error quotes the command and the end of its output.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::Result;

/// The result of a program.
#[derive(Debug, Clone)]
pub struct Ran {
    /// Its exit code; -1 if a signal killed it.
    pub code: i32,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

/// A command that has not been started: the program with its arguments, working directory and standard input.
#[derive(Debug)]
pub struct Run {
    command: Command,
    input: Vec<u8>,
}

impl Run {
    /// `words` are the program and its arguments.
    pub fn new<S: AsRef<str>>(words: &[S]) -> Self {
        let mut words = words.iter().map(AsRef::as_ref);
        #[expect(
            clippy::disallowed_methods,
            reason = "the only place where the proof starts programs"
        )]
        let mut command = Command::new(words.next().unwrap_or_default());
        command.args(words).env("LC_ALL", "C");
        Self {
            command,
            input: Vec::new(),
        }
    }

    /// Sets the working directory.
    pub fn cwd(mut self, dir: &Path) -> Self {
        self.command.current_dir(dir);
        self
    }

    /// Adds an environment variable.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// Sets standard input.
    pub fn input(mut self, input: &[u8]) -> Self {
        self.input = input.to_vec();
        self
    }

    /// Runs it; returns the result, whether it succeeded or not.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn ran(mut self) -> Result<Ran> {
        let shown = format!("{:?}", self.command);
        let failed = |error: std::io::Error| format!("{shown}: {error}");
        self.command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = self.command.spawn().map_err(failed)?;
        let input = child.stdin.take();
        let output = std::thread::scope(|scope| {
            scope.spawn(|| {
                // A program that exits without reading all its input is judged by its exit code.
                if let Some(mut input) = input {
                    let _ = input.write_all(&self.input);
                }
            });
            child.wait_with_output()
        });
        let output = output.map_err(failed)?;
        Ok(Ran {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// Runs it; returns its standard output without trailing blanks.
    ///
    /// # Errors
    /// When it cannot be started or fails.
    pub fn output(self) -> Result<String> {
        let shown = format!("{:?}", self.command);
        let ran = self.ran()?;
        if ran.code == 0 {
            return Ok(ran.stdout.trim_end().to_owned());
        }
        let both = format!("{}\n{}", ran.stdout, ran.stderr);
        let lines: Vec<&str> = both.lines().collect();
        let tail = lines[lines.len().saturating_sub(40)..].join("\n");
        Err(format!("{shown}: exit code {}\n{tail}", ran.code))
    }

    /// Starts it in the background; standard error goes to the file `log`.
    ///
    /// # Errors
    /// When it cannot be started, or the log file cannot be created.
    pub fn background(mut self, log: &Path) -> Result<std::process::Child> {
        let failed = |error: std::io::Error| format!("{:?}: {error}", self.command);
        let file = std::fs::File::create(log).map_err(failed)?;
        self.command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file);
        self.command
            .spawn()
            .map_err(|error| format!("{:?}: {error}", self.command))
    }
}

/// Whether `program` exists in a directory of `PATH`.
pub fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
}
