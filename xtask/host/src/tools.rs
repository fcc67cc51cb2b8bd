//! External programs that verify our work. Some are optional, and a check that skips one says so.

/// The environment variable that turns a skipped check for a missing tool into a failure.
pub const REQUIRE: &str = "POLIS_REQUIRE_REAL_PARTS";

/// Whether `program` is on `PATH` and starts.
pub fn installed(program: &str) -> bool {
    which::which(program).is_ok()
}
