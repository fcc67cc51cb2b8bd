//! Signals for verbs that run long programs: what asks us to end asks our children first.
//!
//! By default TERM ends us and leaves cargo, compilers and tests running. After [`pass_on`] every child of
//! [`crate::process`] leads a process group of its own. INT, TERM and HUP reach that group and the verb then ends as
//! interrupted, on the ordinary path that removes temporary files. A second signal, or ten seconds without an end, kills the group.

use std::io;
use std::process::{Child, Command};

#[cfg(all(unix, feature = "signals"))]
use self::unix as system;

/// Takes over INT, TERM and HUP for the rest of this process, but for those that whoever started us ignores.
/// On other systems than Unix the console tells every process itself, and this does nothing.
#[cfg(feature = "signals")]
pub fn pass_on() {
    #[cfg(unix)]
    system::pass_on();
}

/// Whether a signal has asked us to end.
pub(crate) fn came() -> bool {
    #[cfg(all(unix, feature = "signals"))]
    return system::came();
    #[cfg(not(all(unix, feature = "signals")))]
    false
}

/// A child, and what keeps it on the list of those that signals are passed on to.
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
/// When it cannot be started; [`io::ErrorKind::Interrupted`] when a signal came before.
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

    /// How long children may take to end.
    const GRACE: Duration = Duration::from_secs(10);

    static PASSING_ON: AtomicBool = AtomicBool::new(false);
    static CAME: AtomicBool = AtomicBool::new(false);
    /// The leaders of our children's groups.
    static GROUPS: Mutex<Vec<Pid>> = Mutex::new(Vec::new());

    /// Takes a child off the list when it has been waited for. After a signal nothing of its group outlives it: what a
    /// shell starts in the background ignores INT.
    pub(crate) struct Group(Pid);

    impl Drop for Group {
        fn drop(&mut self) {
            if came() {
                send(&[self.0], Signal::KILL);
            }
            groups().retain(|group| *group != self.0);
        }
    }

    pub(super) fn came() -> bool {
        CAME.load(Ordering::SeqCst)
    }

    pub(super) fn pass_on() {
        let status = std::fs::read_to_string("/proc/self/status").ok();
        let ours = [SIGINT, SIGTERM, SIGHUP]
            .into_iter()
            .filter(|signal| !polis_base::signals::is_ignored(status.as_deref(), *signal));
        // Refused only for signals that cannot be caught.
        let Ok(mut signals) = Signals::new(ours) else {
            return;
        };
        PASSING_ON.store(true, Ordering::SeqCst);
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

    /// Sends `signal` to all groups. Returns whether another signal came before.
    fn tell(signal: Signal) -> bool {
        // With the list locked, so that no child is started unseen.
        let groups = groups();
        let again = CAME.swap(true, Ordering::SeqCst);
        send(&groups, signal);
        again
    }

    fn kill() {
        send(&groups(), Signal::KILL);
    }

    fn send(groups: &[Pid], signal: Signal) {
        for group in groups {
            // One that has just ended needs no signal.
            let _ = kill_process_group(*group, signal);
        }
    }

    pub(super) fn spawn(command: &mut Command) -> io::Result<Watched> {
        if !PASSING_ON.load(Ordering::SeqCst) {
            let child = command.spawn()?;
            return Ok(Watched { child, group: None });
        }
        let mut groups = groups();
        if came() {
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
