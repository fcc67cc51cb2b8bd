//! Calls during a launch: they transfer what the VM needs next while Multipass waits for cloud-init.
//!
//! The daemon waits for SSH and cloud-init in a separate thread (`async_wait_for_ready_all` in canonical/multipass,
//! `src/daemon/daemon.cpp`), answers `list` meanwhile, and lets `exec` and `transfer` log in once the VM is Running, when
//! cloud-init has created the user. If the daemon queues these calls until the launch has ended, nothing is lost: they have
//! no other deadline, nothing depends on them, and the following steps do the rest.

use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::Duration;

use crate::multipass::call::Call;
use crate::multipass::state::{VmState, parse_list};
use crate::multipass::{Multipass, list_call};

/// The pause before the first attempt, when no VM can have booted, and between attempts.
const FIRST: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_secs(1);
/// How often a running call is polled.
const TICK: Duration = Duration::from_millis(100);

/// Makes `calls` in order once the VM is Running; if one fails, restarts with the first. Ends when all have succeeded, or when the
/// sender of `over` is dropped, which also kills the running call.
pub(super) fn transfer(multipass: &Multipass<'_>, calls: &[Call], over: &Receiver<()>) {
    let mut pause = FIRST;
    while over.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
        pause = PAUSE;
        let list = answer(multipass, &list_call(), over);
        let runs = list.is_some_and(|list| matches!(parse_list(&list), Ok(Some(VmState::Running))));
        let succeeds = |call| answer(multipass, call, over).is_some();
        if runs && calls.iter().all(succeeds) {
            return;
        }
    }
}

/// The output of a call; none if it fails or is killed.
fn answer(multipass: &Multipass<'_>, call: &Call, over: &Receiver<()>) -> Option<String> {
    if over.try_recv() == Err(TryRecvError::Disconnected) {
        return None;
    }
    let mut running = multipass.start(call).ok()?;
    while over.try_recv() == Err(TryRecvError::Empty) {
        if let Some(output) = running.poll(TICK).ok()? {
            return (output.code == Some(0)).then_some(output.stdout);
        }
    }
    None
}
