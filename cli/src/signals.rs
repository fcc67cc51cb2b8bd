//! The signals that ask us to end: Ctrl-C, SIGTERM, SIGHUP, or a console that closes.
//!
//! What whoever started us ignores stays ignored.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};

/// What Ctrl-C sends.
pub(crate) const INTERRUPT: u8 = 2;

/// The last signal that came; 0 for none.
static CAME: LazyLock<Arc<AtomicUsize>> = LazyLock::new(Arc::default);

/// Takes note of the signals from now on, instead of ending at once. To be called once, first.
#[cfg(unix)]
pub(crate) fn heed() {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    let status = std::fs::read_to_string("/proc/self/status").ok();
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        if let (false, Ok(number)) = (
            polis_base::signals::is_ignored(status.as_deref(), signal),
            usize::try_from(signal),
        ) {
            // Refused only for signals that cannot be caught.
            let _ = signal_hook::flag::register_usize(signal, Arc::clone(&CAME), number);
        }
    }
}

/// Takes note of the signals from now on, instead of ending at once. To be called once, first.
#[cfg(not(unix))]
pub(crate) fn heed() {
    // Only a second handler is refused, and there is none.
    let _ = ctrlc::set_handler(|| CAME.store(INTERRUPT.into(), Ordering::SeqCst));
}

/// Whether the user wants us to end.
pub(crate) fn came() -> bool {
    CAME.load(Ordering::SeqCst) != 0
}

/// The last signal that came, which from now on has been seen to.
pub(crate) fn take() -> Option<u8> {
    u8::try_from(CAME.swap(0, Ordering::SeqCst))
        .ok()
        .filter(|signal| *signal != 0)
}
