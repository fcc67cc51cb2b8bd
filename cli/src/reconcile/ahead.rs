//! The second line of calls beside a launch: they bring what the VM needs next while Multipass waits for cloud-init.
//!
//! The daemon waits for SSH and cloud-init on a thread of its own (`async_wait_for_ready_all` in canonical/multipass,
//! `src/daemon/daemon.cpp`), answers `list` meanwhile, and hands out the login that `exec` and `transfer` use once the VM
//! is Running; by then cloud-init has created the user with his rights. One that queues the calls behind the launch loses
//! nothing: they have no deadline but its end, nothing depends on them, and the steps that follow do what is left.

use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::Duration;

use crate::multipass::call::Call;
use crate::multipass::state::{VmState, parse_list};
use crate::multipass::{Multipass, list_call};

/// How long no VM has booted yet, and the pause between two looks or attempts.
const FIRST: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_secs(1);
/// How often a call under way is asked whether it has ended.
const TICK: Duration = Duration::from_millis(100);

/// Makes `calls` in order as soon as the VM is Running; when one fails, all of them again. Ends when all have succeeded,
/// or when the other end of `over` is gone: then a call under way is ended too.
pub(super) fn bring(multipass: &Multipass<'_>, calls: &[Call], over: &Receiver<()>) {
    let mut pause = FIRST;
    while over.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
        pause = PAUSE;
        let list = answer(multipass, &list_call(), over);
        let runs = list.is_some_and(|list| matches!(parse_list(&list), Ok(Some(VmState::Running))));
        let brought = |call| answer(multipass, call, over).is_some();
        if runs && calls.iter().all(brought) {
            return;
        }
    }
}

/// What a call prints; none when it fails, or is over before it ends.
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
