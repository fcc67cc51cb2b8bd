//! Signal handling for verbs that run long programs: a request to end goes to our children first.
//!
//! By default, TERM ends this process and leaves cargo, compilers and tests running. After [`pass_on`], every child of
//! [`crate::process`] leads its own process group. INT, TERM and HUP are forwarded to that group, and the verb then
//! ends as interrupted by the normal path, which removes temporary files. A second signal, or ten seconds, kills the
//! group.

use std::io;
use std::process::{Child, Command};

#[cfg(all(unix, feature = "signals"))]
use self::unix as system;

/// Handles INT, TERM and HUP for the rest of this process, except those that our parent set to be ignored. Does nothing
/// on systems other than Unix, where the console notifies every process itself.
#[cfg(feature = "signals")]
pub fn pass_on() {
    #[cfg(unix)]
    system::pass_on();
}

/// Whether a signal has asked this process to end.
pub(crate) fn received() -> bool {
    #[cfg(all(unix, feature = "signals"))]
    return system::received();
    #[cfg(not(all(unix, feature = "signals")))]
    false
}

/// A child, registered as a recipient of signals.
pub(crate) struct Watched {
    pub(crate) child: Child,
    pub(crate) group: Option<Group>,
}

#[cfg(all(unix, feature = "signals"))]
pub(crate) use system::Group;
#[cfg(not(all(unix, feature = "signals")))]
pub(crate) struct Group;

/// Starts `command`.
///
/// # Errors
/// If it cannot be started; [`io::ErrorKind::Interrupted`] if a signal arrived before.
pub(crate) fn spawn(command: &mut Command) -> io::Result<Watched> {
    #[cfg(all(unix, feature = "signals"))]
    return system::spawn(command);
    #[cfg(not(all(unix, feature = "signals")))]
    command.spawn().map(|child| Watched { child, group: None })
}

#[cfg(all(unix, feature = "signals"))]
mod unix {
    use std::os::unix::process::CommandExt as _;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{Mutex, MutexGuard, PoisonError};
    use std::thread;
    use std::time::Duration;

    use rustix::process::{Pid, Signal, kill_process_group};
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    use signal_hook::iterator::Signals;

    use super::{Child, Command, Watched, io};

    /// How long children may take to exit.
    const GRACE: Duration = Duration::from_secs(10);

    static FORWARDING: AtomicBool = AtomicBool::new(false);
    static RECEIVED: AtomicBool = AtomicBool::new(false);
    /// The process group leaders among our children.
    static GROUPS: Mutex<Vec<Pid>> = Mutex::new(Vec::new());

    /// Unregisters a child after it has been waited for. After a signal, also kills what is left of its group, because
    /// shells start background jobs with INT ignored.
    pub(crate) struct Group(Pid);

    impl Drop for Group {
        fn drop(&mut self) {
            if received() {
                send(&[self.0], Signal::KILL);
            }
            groups().retain(|group| *group != self.0);
        }
    }

    pub(super) fn received() -> bool {
        RECEIVED.load(Ordering::SeqCst)
    }

    pub(super) fn pass_on() {
        let status = std::fs::read_to_string("/proc/self/status").ok();
        let ours = [SIGINT, SIGTERM, SIGHUP]
            .into_iter()
            .filter(|signal| !polis_base::signals::is_ignored(status.as_deref(), *signal));
        // Fails only for signals that cannot be caught.
        let Ok(mut signals) = Signals::new(ours) else {
            return;
        };
        FORWARDING.store(true, Ordering::SeqCst);
        thread::spawn(move || {
            for signal in signals.forever() {
                let again = tell(match signal {
                    SIGINT => Signal::INT,
                    SIGHUP => Signal::HUP,
                    _ => Signal::TERM,
                });
                if again {
                    kill();
                } else {
                    thread::spawn(|| {
                        thread::sleep(GRACE);
                        kill();
                    });
                }
            }
        });
    }

    /// Sends `signal` to all groups. Returns whether another signal arrived before.
    fn tell(signal: Signal) -> bool {
        // Hold the lock, so that no child is started unseen.
        let groups = groups();
        let again = RECEIVED.swap(true, Ordering::SeqCst);
        send(&groups, signal);
        again
    }

    fn kill() {
        send(&groups(), Signal::KILL);
    }

    fn send(groups: &[Pid], signal: Signal) {
        for group in groups {
            // Fails if the group has just exited.
            let _ = kill_process_group(*group, signal);
        }
    }

    pub(super) fn spawn(command: &mut Command) -> io::Result<Watched> {
        if !FORWARDING.load(Ordering::SeqCst) {
            let child = command.spawn()?;
            return Ok(Watched { child, group: None });
        }
        let mut groups = groups();
        if received() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let child: Child = command.process_group(0).spawn()?;
        let leader = Pid::from_child(&child);
        groups.push(leader);
        Ok(Watched {
            child,
            group: Some(Group(leader)),
        })
    }

    fn groups() -> MutexGuard<'static, Vec<Pid>> {
        GROUPS.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
