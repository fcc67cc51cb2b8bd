//! The only module that starts and kills processes.

use std::io;
use std::os::unix::process::{CommandExt, parent_id};
use std::path::Path;
use std::process::{Child, Command};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

/// The interval between checks while waiting.
pub(crate) const TICK: Duration = Duration::from_millis(5);
/// How long to sleep until the next check for something that has been awaited for `waited`: a twentieth of that, so that long
/// waits are cheap and short ones end at once.
pub(crate) fn pause(waited: Duration) -> Duration {
    (waited / 20).clamp(TICK / 10, TICK * 4)
}

/// How long "forever" lasts at most, should a test not clean up.
const FOREVER: Duration = Duration::from_secs(600);

/// A command, not yet started.
#[expect(
    clippy::disallowed_methods,
    reason = "the only place where the fake and its tests start programs"
)]
pub(crate) fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    Command::new(program)
}

/// A command in its own process group, so that it can be killed together with its children. It reacts to Ctrl-C even if the
/// test's own parent, such as `nohup` or a background job of a shell, ignores it.
pub(crate) fn group(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = if ignores_interrupts() {
        let mut command = command("/usr/bin/env");
        command.arg("--default-signal=INT,HUP").arg(program);
        command
    } else {
        command(program)
    };
    command.process_group(0);
    command
}

/// Whether this process, and so its children, ignores SIGINT or SIGHUP. Always false except on Linux.
fn ignores_interrupts() -> bool {
    static IGNORED: OnceLock<bool> = OnceLock::new();
    *IGNORED.get_or_init(|| {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
        let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
        let bit = |signal: Signal| 1_u64 << (signal.as_raw() - 1);
        mask.unwrap_or_default() & (bit(Signal::INT) | bit(Signal::HUP)) != 0
    })
}

/// Ignores Ctrl-C, which the child that already runs on the terminal handles, like a client that sends it on as a byte. Processes
/// started later do not inherit this.
pub(crate) fn leave_interrupts() -> io::Result<()> {
    signal_hook::flag::register(signal_hook::consts::SIGINT, Arc::default()).map(drop)
}

/// Starts a program. Retries while the program's file is busy: a test may have written it a moment ago, and a child just forked by
/// another thread of the test still has it open for writing.
pub(crate) fn spawn(command: &mut Command) -> io::Result<Child> {
    let started = Instant::now();
    loop {
        match command.spawn() {
            Err(error)
                if error.kind() == io::ErrorKind::ExecutableFileBusy
                    && started.elapsed() < Duration::from_secs(5) =>
            {
                std::thread::sleep(TICK);
            }
            result => return result,
        }
    }
}

/// Replaces this process.
pub(crate) fn become_program(mut command: Command) -> io::Error {
    command.exec()
}

/// Sends a signal to one process; does nothing if it is gone.
pub(crate) fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = pid_of(pid) {
        let _gone = rustix::process::kill_process(pid, signal);
    }
}

/// Sends a signal to a process group.
pub(crate) fn signal_group(pid: u32, signal: Signal) {
    if let Some(pid) = pid_of(pid) {
        let _gone = rustix::process::kill_process_group(pid, signal);
    }
}

/// Kills a process group.
pub(crate) fn kill_group(pid: u32) {
    signal_group(pid, Signal::KILL);
}

/// Whether a process exists.
pub(crate) fn alive(pid: u32) -> bool {
    pid_of(pid).is_some_and(|pid| rustix::process::test_kill_process(pid).is_ok())
}

fn pid_of(pid: u32) -> Option<Pid> {
    // Never 0 or below: `kill` takes those for groups.
    i32::try_from(pid)
        .ok()
        .filter(|pid| *pid > 1)
        .and_then(Pid::from_raw)
}

/// The process that started this one, remembered by the first call.
pub(crate) fn parent() -> u32 {
    static PARENT: OnceLock<u32> = OnceLock::new();
    *PARENT.get_or_init(parent_id)
}

/// Whether the process that started this one is gone.
pub(crate) fn parent_is_gone() -> bool {
    parent_id() != parent()
}

/// Hangs until the process that started this one, or the sandbox, is gone, so that a test may leave it behind.
pub(crate) fn hang(sandbox: &Path) {
    let start = Instant::now();
    while !parent_is_gone() && sandbox.exists() && start.elapsed() < FOREVER {
        std::thread::sleep(TICK * 4);
    }
}
