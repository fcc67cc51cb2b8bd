//! The one place that starts and ends processes.

use std::io;
use std::os::unix::process::{CommandExt, parent_id};
use std::path::Path;
use std::process::{Child, Command};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

/// How often a wait looks again.
pub(crate) const TICK: Duration = Duration::from_millis(5);
/// How long to sleep before looking again at something that has been awaited for `waited`: a twentieth of that, so that a
/// long wait costs little and a short one is noticed at once.
pub(crate) fn pause(waited: Duration) -> Duration {
    (waited / 20).clamp(TICK / 10, TICK * 4)
}

/// The longest that anything "forever" lasts, should a test not clean up.
const FOREVER: Duration = Duration::from_secs(600);

/// A command, not yet started.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place where the double and its tests start programs"
)]
pub(crate) fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    Command::new(program)
}

/// A command in a process group of its own, so that it can be ended with its children. It heeds Ctrl-C even if the test's
/// own parent, such as `nohup` or a shell's background job, ignores it.
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

/// Whether this process, and so what it starts, ignores SIGINT or SIGHUP. Elsewhere than on Linux nobody can tell.
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

/// Leaves a Ctrl-C to what this process has started on the terminal, as a client does that sends it on as a byte. What is
/// started afterwards does not inherit this.
pub(crate) fn leave_interrupts() -> io::Result<()> {
    signal_hook::flag::register(signal_hook::consts::SIGINT, Arc::default()).map(drop)
}

/// Starts a program. A test may have written it a moment ago, and another thread of the test may have forked meanwhile: then
/// its child has the file open for writing until it has become another program.
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

/// Sends a signal to one process; one that is gone needs none.
pub(crate) fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = pid_of(pid) {
        let _gone = rustix::process::kill_process(pid, signal);
    }
}

/// Sends a signal to a whole group.
pub(crate) fn signal_group(pid: u32, signal: Signal) {
    if let Some(pid) = pid_of(pid) {
        let _gone = rustix::process::kill_process_group(pid, signal);
    }
}

/// Kills a whole group.
pub(crate) fn kill_group(pid: u32) {
    signal_group(pid, Signal::KILL);
}

/// Whether a process is there.
pub(crate) fn alive(pid: u32) -> bool {
    pid_of(pid).is_some_and(|pid| rustix::process::test_kill_process(pid).is_ok())
}

fn pid_of(pid: u32) -> Option<Pid> {
    // Never 0 or below: to `kill` those mean groups.
    i32::try_from(pid)
        .ok()
        .filter(|pid| *pid > 1)
        .and_then(Pid::from_raw)
}

/// Who started this process, remembered by the first call of this.
pub(crate) fn parent() -> u32 {
    static PARENT: OnceLock<u32> = OnceLock::new();
    *PARENT.get_or_init(parent_id)
}

/// Whether whoever started this process is gone.
pub(crate) fn parent_is_gone() -> bool {
    parent_id() != parent()
}

/// Does nothing until whoever started this process is gone, or the world is: a hang that a test can leave behind.
pub(crate) fn hang(world: &Path) {
    let start = Instant::now();
    while !parent_is_gone() && world.exists() && start.elapsed() < FOREVER {
        std::thread::sleep(TICK * 4);
    }
}
