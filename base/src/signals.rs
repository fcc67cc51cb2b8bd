//! The signals that a process must keep ignoring.

/// Whether a process with this `/proc/self/status` ignores `signal`, as when it was started by `nohup` or as a background job of
/// a shell. Other systems do not report this without unsafe code; there, only SIGHUP (1) counts as ignored.
pub fn is_ignored(status: Option<&str>, signal: i32) -> bool {
    let mut lines = status.unwrap_or_default().lines();
    let mask = lines.find_map(|line| line.strip_prefix("SigIgn:"));
    match mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()) {
        Some(mask) => mask >> (signal - 1) & 1 == 1,
        None => signal == 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignored_signals_are_read_from_the_status() {
        let status = "Name:\tx\nSigIgn:\t0000000000000003\nSigCgt:\t0\n";
        let ignored = |status| [1, 2, 15].map(|signal| is_ignored(status, signal));
        assert_eq!(ignored(Some(status)), [true, true, false]);
        assert_eq!(ignored(None), [true, false, false]);
    }
}
