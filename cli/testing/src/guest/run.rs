//! Runs a command in the guest, with its streams under our hands.

use std::fs;
use std::io::{self, IsTerminal, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use super::paths::{self, ToGuest};
use super::{Guest, INSTANCE};
use crate::commands::call::{TEST, WITHIN};
use crate::process;
use crate::world::DIRECTORY;

/// After so many bytes of output a Windows client reads no more.
const WINDOWS_PIPE: usize = 4096;
/// The codes of a command that was killed, and of one that a signal of ours ended.
const KILLED: u8 = 255;
/// Where the processes of commands under way are listed.
const RUNNING: &str = "run/commands";

/// Whose pipes the client has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pipes {
    /// As they should be.
    Unix,
    /// Output stops after 4096 bytes, piped input never ends.
    Windows,
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Done {
    /// Its exit code.
    pub(crate) code: u8,
    /// What it was given to read.
    pub(crate) stdin: Vec<u8>,
}

impl Guest {
    /// A process of the guest in its folder `directory`, not yet started.
    pub(crate) fn process(&self, program: &str, args: &[String], directory: &str) -> Command {
        let mut command = process::group(program);
        command.args(args.iter().map(|arg| paths::to_host(arg, &self.root)));
        self.dress(&mut command);
        command.current_dir(self.path(directory));
        command
    }

    /// Gives a process the guest's environment and nothing of the host's.
    pub(super) fn dress(&self, command: &mut Command) {
        let bin = self.root.join("bin");
        let local = self.root.join("usr/local/bin");
        let path = format!(
            "{}:{}:/usr/sbin:/usr/bin:/sbin:/bin",
            bin.display(),
            local.display()
        );
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
            .env(DIRECTORY, self.store.dir())
            .env(INSTANCE, &self.name);
        if let Some(test) = std::env::var_os(TEST) {
            command.env(TEST, test);
        }
    }

    /// Runs a command as its user does over SSH, and passes its output on.
    pub(crate) fn run(
        &self,
        call: u64,
        command: &[String],
        directory: Option<&str>,
        pipes: Pipes,
    ) -> io::Result<Done> {
        // The words come as they are, but a shell looks the first one up, as behind SSH.
        let script = match directory {
            Some(_) => "cd \"$1\" && shift && \"$@\"",
            None => "\"$@\"",
        };
        let words = ["-c", script, "bash"].map(str::to_owned).into_iter();
        let words: Vec<String> = words
            .chain(directory.map(str::to_owned))
            .chain(command.iter().cloned())
            .collect();
        let mut process = self.process("bash", &words, "/home/ubuntu");
        process.env(WITHIN, call.to_string());
        let terminal = io::stdin().is_terminal() && io::stdout().is_terminal();
        if terminal {
            return self.run_on_terminal(process);
        }
        process
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = process.spawn()?;
        let listed = self.list(child.id())?;
        let stdin = forward_stdin(self, &mut child, pipes);
        let out = pass_on(self, child.stdout.take(), io::stdout(), pipes);
        let err = pass_on(self, child.stderr.take(), io::stderr(), Pipes::Unix);
        let code = self.wait(&mut child)?;
        // Output first: the client ends when the channel has no more.
        for thread in [out, err] {
            let _ended = thread.join();
        }
        let _gone = fs::remove_file(listed);
        let stdin = stdin.lock().map(|read| read.clone()).unwrap_or_default();
        Ok(Done { code, stdin })
    }

    fn run_on_terminal(&self, mut process: Command) -> io::Result<Done> {
        // In our own group, or the terminal would stop it.
        use std::os::unix::process::CommandExt;
        process::leave_interrupts()?;
        process.process_group(rustix::process::getpgrp().as_raw_nonzero().get());
        let mut child = process.spawn()?;
        let code = self.wait(&mut child)?;
        Ok(Done {
            code,
            stdin: Vec::new(),
        })
    }

    /// Waits for a process while time goes on in the guest.
    fn wait(&self, child: &mut Child) -> io::Result<u8> {
        let mut ticks = 0_u32;
        loop {
            if let Some(status) = child.try_wait()? {
                let code = status.code().and_then(|code| u8::try_from(code).ok());
                // No exit status at all, which is what SSH says of a killed command.
                return Ok(match status.signal() {
                    Some(_) => KILLED,
                    None => code.unwrap_or(KILLED),
                });
            }
            thread::sleep(if ticks < 20 {
                process::TICK / 5
            } else {
                process::TICK
            });
            ticks += 1;
            if ticks.is_multiple_of(20) {
                self.store.look()?;
            }
        }
    }

    fn list(&self, pid: u32) -> io::Result<std::path::PathBuf> {
        let dir = self.root.join(RUNNING);
        fs::create_dir_all(&dir)?;
        let listed = dir.join(pid.to_string());
        fs::write(&listed, "")?;
        Ok(listed)
    }
}

/// Ends the commands that are under way.
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

/// Hands our standard input on, and remembers it. The thread is left behind when the command ends first.
fn forward_stdin(guest: &Guest, child: &mut Child, pipes: Pipes) -> Arc<Mutex<Vec<u8>>> {
    let read = Arc::new(Mutex::new(Vec::new()));
    let remembered = Arc::clone(&read);
    let world = guest.store.dir().to_owned();
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
            process::hang(&world);
        }
    });
    read
}

/// Passes output on as it comes.
fn pass_on(
    guest: &Guest,
    from: Option<impl Read + Send + 'static>,
    mut to: impl Write + Send + 'static,
    pipes: Pipes,
) -> thread::JoinHandle<()> {
    let mut paths = ToGuest::new(&guest.root);
    let world = guest.store.dir().to_owned();
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
                // As in `multipass exec ... | head -1`: the real client notices nothing, and never ends.
                process::hang(&world);
            }
            if pipes == Pipes::Windows && passed > WINDOWS_PIPE {
                process::hang(&world);
            }
        }
        let _nobody_reads = to.write_all(&paths.end()).and_then(|()| to.flush());
    })
}
