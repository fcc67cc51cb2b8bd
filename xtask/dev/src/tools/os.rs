//! Which distribution this is.

/// Whether the system calls itself `id`, by `/etc/os-release`.
pub(super) fn is(id: &str) -> bool {
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    release.lines().any(|line| {
        line.strip_prefix("ID=")
            .is_some_and(|found| found.trim_matches('"') == id)
    })
}
