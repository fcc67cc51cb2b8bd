//! Detects the distribution.

/// Whether `/etc/os-release` identifies the system as `id`.
pub(super) fn is(id: &str) -> bool {
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    release.lines().any(|line| {
        line.strip_prefix("ID=")
            .is_some_and(|found| found.trim_matches('"') == id)
    })
}
