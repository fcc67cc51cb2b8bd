//! The signals that ask polis to end: Ctrl-C, SIGTERM, SIGHUP, or a console that closes.
//!
//! Signals that were ignored when polis was started stay ignored.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};

/// SIGINT, which Ctrl-C sends.
pub(crate) const INTERRUPT: u8 = 2;

/// The last signal that arrived; 0 for none.
static CAME: LazyLock<Arc<AtomicUsize>> = LazyLock::new(Arc::default);

/// Records signals from now on, instead of ending at once. To be called once, before anything else.
#[cfg(unix)]
pub(crate) fn heed() {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    let status = std::fs::read_to_string("/proc/self/status").ok();
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        if let (false, Ok(number)) = (
            polis_base::signals::is_ignored(status.as_deref(), signal),
            usize::try_from(signal),
        ) {
            // Fails only for signals that cannot be caught.
            let _ = signal_hook::flag::register_usize(signal, Arc::clone(&CAME), number);
        }
    }
}

/// Records signals from now on, instead of ending at once. To be called once, before anything else.
#[cfg(not(unix))]
pub(crate) fn heed() {
    // Fails only for a second handler.
    let _ = ctrlc::set_handler(|| CAME.store(INTERRUPT.into(), Ordering::SeqCst));
}

/// Whether a signal has arrived.
pub(crate) fn came() -> bool {
    CAME.load(Ordering::SeqCst) != 0
}

/// Takes the last signal that arrived.
pub(crate) fn take() -> Option<u8> {
    u8::try_from(CAME.swap(0, Ordering::SeqCst))
        .ok()
        .filter(|signal| *signal != 0)
}
