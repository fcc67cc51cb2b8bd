//! Runs a command in the guest, and passes on its streams.

use std::fs;
use std::io::{self, IsTerminal, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;

use super::Guest;
use super::paths::{self, ToGuest};
use crate::environment::{DIRECTORY, INSTANCE, TEST, WITHIN};
use crate::process;

/// The number of bytes of output after which a Windows client stops reading.
const WINDOWS_PIPE: usize = 4096;
/// The exit codes of a command that was killed, and of one that our own signal ended.
const KILLED: u8 = 255;
/// Where the guest has programs other than its own.
const HOST: [&str; 4] = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];
/// Where running commands are listed.
const RUNNING: &str = "run/commands";

/// How the client handles pipes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pipes {
    /// Correctly.
    Unix,
    /// As on Windows: output stops after 4096 bytes, and piped input never ends.
    Windows,
}

/// Called regularly while a command runs, to let time pass in the guest.
pub(crate) type Meanwhile<'a> = &'a dyn Fn() -> io::Result<()>;

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Done {
    /// Its exit code.
    pub(crate) code: u8,
    /// Its standard input.
    pub(crate) stdin: Vec<u8>,
}

impl Guest {
    /// Prepares a process of the guest in its folder `directory`.
    pub(crate) fn process(&self, program: &str, args: &[String], directory: &str) -> Command {
        let mut command = process::group(program);
        command.args(args.iter().map(|arg| paths::to_host(arg, &self.root)));
        self.dress(&mut command);
        command.current_dir(self.path(directory));
        command
    }

    /// Sets a process's environment to the guest's, with nothing of the host's.
    pub(crate) fn dress(&self, command: &mut Command) {
        let bin = self.root.join("bin");
        let local = self.root.join("usr/local/bin");
        let path = format!("{}:{}:{}", bin.display(), local.display(), HOST.join(":"));
        let home = self.root.join("home/ubuntu");
        command
            .env_clear()
            .env("PATH", path)
            .env("HOME", &home)
            .env("TMPDIR", self.root.join("tmp"))
            .env("USER", "ubuntu")
            .env("LOGNAME", "ubuntu")
            .env("SHELL", "/bin/bash")
            .env("LANG", "C.UTF-8")
            .env(DIRECTORY, &self.sandbox)
            .env(INSTANCE, &self.name);
        if let Some(test) = std::env::var_os(TEST) {
            command.env(TEST, test);
        }
    }

    /// Runs a command as its user does over SSH, and passes on its output.
    pub(crate) fn run(
        &self,
        call: u64,
        command: &[String],
        directory: Option<&str>,
        pipes: Pipes,
        meanwhile: Meanwhile<'_>,
    ) -> io::Result<Done> {
        let mut process = self.command(command, directory);
        process.env(WITHIN, call.to_string());
        let terminal = io::stdin().is_terminal() && io::stdout().is_terminal();
        if terminal {
            return run_on_terminal(process, meanwhile);
        }
        process
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = process::spawn(&mut process)?;
        let listed = self.list(child.id())?;
        let stdin = forward_stdin(self, &mut child, pipes);
        let out = pass_on(self, child.stdout.take(), io::stdout(), pipes);
        let err = pass_on(self, child.stderr.take(), io::stderr(), Pipes::Unix);
        let code = wait(&mut child, meanwhile)?;
        // Output first: the client exits when the channel has no more.
        for thread in [out, err] {
            let _ended = thread.join();
        }
        let _gone = fs::remove_file(listed);
        let stdin = stdin.lock().map(|read| read.clone()).unwrap_or_default();
        Ok(Done { code, stdin })
    }

    /// Prepares the process of a command. A shell is needed only to enter a directory.
    fn command(&self, command: &[String], directory: Option<&str>) -> Command {
        if let (None, [program, words @ ..]) = (directory, command)
            && let Some(program) = self.find(program)
        {
            return self.process(&program.to_string_lossy(), words, "/home/ubuntu");
        }
        // Without such a program, it may still be a builtin of the shell that runs it over SSH.
        let script = match directory {
            Some(_) => "cd \"$1\" && shift && \"$@\"",
            None => "\"$@\"",
        };
        let words = ["-c", script, "bash"].map(str::to_owned).into_iter();
        let words: Vec<String> = words
            .chain(directory.map(str::to_owned))
            .chain(command.iter().cloned())
            .collect();
        self.process("bash", &words, "/home/ubuntu")
    }

    /// The program that the guest's shell finds under a name.
    fn find(&self, name: &str) -> Option<PathBuf> {
        let own = ["bin", "usr/local/bin"].map(|dir| self.root.join(dir));
        let dirs = own.into_iter().chain(HOST.map(PathBuf::from));
        let executable = |path: &PathBuf| {
            let meta = path.metadata();
            meta.is_ok_and(|meta| meta.is_file() && meta.mode() & 0o111 != 0)
        };
        let mut paths = dirs.map(|dir| dir.join(name)).filter(executable);
        paths.next().filter(|_| !name.contains('/'))
    }

    fn list(&self, pid: u32) -> io::Result<PathBuf> {
        let dir = self.root.join(RUNNING);
        fs::create_dir_all(&dir)?;
        let listed = dir.join(pid.to_string());
        fs::write(&listed, "")?;
        Ok(listed)
    }
}

fn run_on_terminal(mut process: Command, meanwhile: Meanwhile<'_>) -> io::Result<Done> {
    // In our own process group, or the terminal would stop it.
    use std::os::unix::process::CommandExt;
    process::leave_interrupts()?;
    process.process_group(rustix::process::getpgrp().as_raw_nonzero().get());
    let mut child = process::spawn(&mut process)?;
    let code = wait(&mut child, meanwhile)?;
    Ok(Done {
        code,
        stdin: Vec::new(),
    })
}

/// Waits for a process.
fn wait(child: &mut Child, meanwhile: Meanwhile<'_>) -> io::Result<u8> {
    let started = Instant::now();
    let mut looked = started;
    loop {
        if let Some(status) = child.try_wait()? {
            let code = status.code().and_then(|code| u8::try_from(code).ok());
            // No exit status at all, as SSH reports a killed command.
            return Ok(match status.signal() {
                Some(_) => KILLED,
                None => code.unwrap_or(KILLED),
            });
        }
        thread::sleep(process::pause(started.elapsed()));
        if looked.elapsed() >= process::TICK * 20 {
            meanwhile()?;
            looked = Instant::now();
        }
    }
}

/// Kills the running commands.
pub(super) fn end_all(guest: &Guest) -> io::Result<()> {
    let Ok(entries) = fs::read_dir(guest.root.join(RUNNING)) else {
        return Ok(());
    };
    for entry in entries {
        let entry = entry?;
        if let Ok(pid) = entry.file_name().to_string_lossy().parse() {
            process::kill_group(pid);
        }
        let _gone = fs::remove_file(entry.path());
    }
    Ok(())
}

/// Passes on our standard input, and records it. If the command ends first, the thread is abandoned.
fn forward_stdin(guest: &Guest, child: &mut Child, pipes: Pipes) -> Arc<Mutex<Vec<u8>>> {
    let read = Arc::new(Mutex::new(Vec::new()));
    let remembered = Arc::clone(&read);
    let sandbox = guest.sandbox.clone();
    let Some(mut to) = child.stdin.take() else {
        return read;
    };
    thread::spawn(move || {
        let mut buffer = [0; 8192];
        let mut any = false;
        while let Ok(count) = io::stdin().read(&mut buffer) {
            if count == 0 {
                break;
            }
            any = true;
            if let Ok(mut read) = remembered.lock() {
                read.extend_from_slice(&buffer[..count]);
            }
            if to.write_all(&buffer[..count]).is_err() {
                break;
            }
        }
        if any && pipes == Pipes::Windows {
            process::hang(&sandbox);
        }
    });
    read
}

/// Passes on output as it arrives.
fn pass_on(
    guest: &Guest,
    from: Option<impl Read + Send + 'static>,
    mut to: impl Write + Send + 'static,
    pipes: Pipes,
) -> thread::JoinHandle<()> {
    let mut paths = ToGuest::new(&guest.root);
    let sandbox = guest.sandbox.clone();
    thread::spawn(move || {
        let Some(mut from) = from else { return };
        let mut buffer = [0; 8192];
        let mut passed = 0;
        while let Ok(count) = from.read(&mut buffer) {
            if count == 0 {
                break;
            }
            passed += count;
            let written = to.write_all(&paths.piece(&buffer[..count]));
            if written.and_then(|()| to.flush()).is_err() {
                // As in `multipass exec ... | head -1`: the real client does not notice, and never exits.
                process::hang(&sandbox);
            }
            if pipes == Pipes::Windows && passed > WINDOWS_PIPE {
                process::hang(&sandbox);
            }
        }
        let _reader_gone = to.write_all(&paths.end()).and_then(|()| to.flush());
    })
}
